"""Keys: whatever goes wrong, no key reaches a disk, a notebook, a page, a log, an error or a figure (DESIGN P7)."""

import base64
import json
import os
import urllib.request
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
import relays
from nbclient import NotebookClient
from providers import CASES
from questions import wait_until

from nbstream.testing import Answer, FaultServer, Gate

KEY = "sk-canary+7f3d/9c1b20aa55ee81="
HEADER = "quiet-harbour+lantern/0042="
IN_URL = "url-token-5b77c2d19e"
CHUNK = json.dumps({"choices": [{"index": 0, "delta": {"content": "text "}}], "offset": 0})
NEXT = json.dumps({"choices": [{"index": 0, "delta": {"content": "more"}}], "offset": 5})
END = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\ndata: [DONE]\n\n"
QUOTED = json.dumps(
    {"error": {"message": f"bad key {KEY} with {HEADER} and {IN_URL}", "type": "invalid_request_error"}}
)


def spellings(secrets):
    """Return every way in which *secrets* may be spelled."""
    for secret in secrets:
        yield secret.encode()
        yield quote(secret, safe="").encode()
        yield base64.b64encode(secret.encode())
        yield json.dumps(secret)[1:-1].encode()


def find_keys(what, told, secrets=(KEY, HEADER, IN_URL)):
    """Fail if a secret stands in *told*."""
    found = [spelling for spelling in spellings(secrets) if spelling in told]
    assert not found, f"{what} holds {found}"


def chat(url):
    """Return an expression that asks with all three secrets."""
    return (
        f"nbstream.chat('hi', model='m', base_url='{url}/v1?token=' + os.environ['CANARY_URL'], api_key_env='CANARY',"
        f" headers={{'X-Api-Key': os.environ['CANARY_HEADER']}})"
    )


@pytest.fixture
def secrets_in_env(monkeypatch):
    """Give the kernels of this test their secrets."""
    monkeypatch.setenv("CANARY", KEY)
    monkeypatch.setenv("CANARY_HEADER", HEADER)
    monkeypatch.setenv("CANARY_URL", IN_URL)


def test_no_key_comes_out_anywhere(kernels, secrets_in_env, tmp_path):
    """
    A good call, a refusal that quotes the keys, rubbish, a redirect, a stop and a resume after the relay's death.

    Then everything that was written, shown, sent or told is searched.
    """
    messages = []
    with FaultServer(max_connections=50) as server, FaultServer() as elsewhere:
        kernel = kernels.start().load(sources="import os")
        kernel.hears = messages.append
        stop_gate, kill_gate = Gate(), Gate()
        elsewhere.script([], otherwise=lambda _: Answer.sse(f"data: {CHUNK}\n\n", END))
        server.script(
            [
                Answer.sse(f"data: {CHUNK}\n\n", END),
                Answer([QUOTED.encode()], status=401, headers=[("Content-Type", "application/json")]),
                Answer.sse(f"data: {QUOTED}\n\n"),
                Answer.sse(f"data: {{not json {KEY}\n\n"),
                Answer([], status=307, headers=[("Location", f"{elsewhere.url}/other?token={IN_URL}")]),
                Answer.sse(f"id: 1\ndata: {CHUNK}\n\n", stop_gate),
                Answer.sse(f"id: 1\ndata: {CHUNK}\n\n", kill_gate),
                Answer.sse(f"id: 2\ndata: {NEXT}\n\n", END),
            ]
        )
        ends = []
        for number in range(5):
            page = kernel.execute(f"nbstream.show({chat(server.url)})", f"cell-{number}").page
            ends.append(page.wait_state("complete", "failed", "interrupted"))
        assert ends == ["complete", "failed", "failed", "failed", "complete"]
        page = kernel.execute(f"nbstream.show({chat(server.url)})", "stopped").page
        page.wait_text(5)
        page.press("stop")
        page.wait_state("stopped")
        page = kernel.execute(f"nbstream.show({chat(server.url)})", "killed").page
        page.wait_text(5)
        if kernels.host == "relay":
            (pid,) = relays.pids(kernels.home / "runtime")
            find_keys("environ", Path(f"/proc/{pid}/environ").read_bytes())
            find_keys("command line", Path(f"/proc/{pid}/cmdline").read_bytes())
            for path, told in answers_of(kernels.home / "runtime"):
                find_keys(path, told)
            relays.kill(pid)
            page.wait_state("interrupted")
            page = kernel.execute(f"nbstream.show({chat(server.url)})", "killed").page
        else:
            page.press("stop")
            page.wait_state("stopped")
            page.press("resume")
        page.wait_state("complete")
        assert page.text == "text more"
        kernel.execute("nbstream.streams()\nnbstream.usage()", "told").ok()
        kernel.execute("%stream list\n", "list")
        wait_until(lambda: len(server.requests) == 8, "all calls")
        # The keys did go where they belong, and nowhere else.
        assert [request.headers.get("authorization") for request in server.requests] == [f"Bearer {KEY}"] * 8
        assert [request.headers.get("x-api-key") for request in server.requests] == [HEADER] * 8
        for request in elsewhere.requests:
            find_keys("another origin", json.dumps(dict(request.headers)).encode())
        find_keys("the kernel's messages", json.dumps(messages, default=str).encode())
        assert messages
        find_keys("stderr", kernel.stderr.encode())
    for file in sorted(kernels.home.rglob("*")):
        if file.is_file():
            find_keys(file, file.read_bytes())


#: The key of each provider, by its variable. None has a shape by which it could be told.
CANARIES = {
    case.key[0]: f"{name.replace(' ', '-')}+harbour/{number}c9b1="
    for number, (name, case) in enumerate(CASES.items())
    if case.key is not None
}
#: The question to a provider, as `chat` makes it but for the address: a server of the test stands in for all of them.
ASK = """
import dataclasses, logging, os
from nbstream.sources.http.sse import SSESource
logging.basicConfig(level=logging.DEBUG)
def ask(model, url, given, **options):
    if given:
        options["api_key"] = lambda: os.environ[given]
    made = nbstream.chat("hi", model, **options)
    return SSESource(dataclasses.replace(made.call, url=url), made.format)
"""


def test_no_key_of_any_provider_comes_out(kernels, monkeypatch):
    """
    Each provider answers, and refuses the key by quoting it, before and in the stream; once a function gives the key.

    Then everything that was written, shown, logged or told is searched.
    """
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    messages = []
    with FaultServer(max_connections=100) as server:
        kernel = kernels.start().load(sources=ASK)
        kernel.hears = messages.append
        for name, case in CASES.items():
            if case.key is None:
                continue
            variable, header, scheme = case.key
            key = CANARIES[variable]
            refusal = json.dumps({"error": {"message": f"Incorrect API key provided: {key}", "type": key}})
            as_json = {"Content-Type": "application/json"}
            server.script(
                [
                    case.answer,
                    Answer([refusal], 401, as_json),
                    Answer.sse(f"event: error\ndata: {refusal}\n\n"),
                    Answer([f"no {scheme}{key} here"], 403),
                ]
            )
            before = len(server.requests)
            ends = []
            for number in range(4):
                given = variable if number == 3 else ""
                url = f"{server.url}/{case.path}"
                code = f"s = nbstream.show(ask({case.model!r}, {url!r}, {given!r}, **{case.options!r}))"
                page = kernel.execute(code, f"{name} {number}").page
                ends.append(page.wait_state("complete", "failed", "interrupted"))
            assert ends == ["complete", "failed", "failed", "failed"], name
            asked = server.requests[before:]
            assert [request.headers[header] for request in asked] == [scheme + key] * 4
            assert "***" in page.state["line"]
        kernel.execute("print(repr(s), s.error, s.status())", "told").ok()
        kernel.execute("%stream list\n", "list")
        if kernels.host == "relay":
            (pid,) = relays.pids(kernels.home / "runtime")
            for part in ("environ", "cmdline"):
                find_keys(part, Path(f"/proc/{pid}/{part}").read_bytes(), CANARIES.values())
            for path, told in answers_of(kernels.home / "runtime"):
                find_keys(path, told, CANARIES.values())
        told = json.dumps(messages, default=str)
        assert ("HTTP Request: POST" in told) == (kernels.host == "kernel")
        find_keys("the kernel's messages", told.encode(), CANARIES.values())
        find_keys("stderr", kernel.stderr.encode(), CANARIES.values())
    for file in sorted(kernels.home.rglob("*")):
        if file.is_file():
            find_keys(file, file.read_bytes(), CANARIES.values())


def answers_of(runtime):
    """Yield what the relay tells its own user, by path."""
    (file,) = runtime.glob("nbstream-relay-*.json")
    found = json.loads(file.read_text())

    def get(path):
        request = urllib.request.Request(found["url"] + path, headers={"Authorization": f"Bearer {found['token']}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read() + str(answer.headers).encode()

    listed = get("/v1/streams")
    yield from (("/v1/streams", listed), ("/metrics", get("/metrics")), ("/healthz", get("/healthz")))
    for stream in json.loads(listed.partition(b"date:")[0].rpartition(b"}")[0] + b"}")["streams"]:
        for path in (f"/v1/streams/{stream['id']}", f"/v1/streams/{stream['id']}/records"):
            yield path, get(path)


def test_a_notebook_that_fails_holds_no_key(kernels, secrets_in_env, tmp_path, monkeypatch):
    """Executed without a page: the refusal raises, and the file with its traceback has no key in it."""
    for name in ("NBSTREAM_HOME", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(kernels.home / name.lower()))
    monkeypatch.setenv("NBSTREAM_HOST", kernels.host)
    with FaultServer() as server:
        refusal = Answer([QUOTED.encode()], status=401, headers=[("Content-Type", "application/json")])
        server.script([Answer.sse(f"data: {CHUNK}\n\n", END), refusal])
        cells = ["%load_ext nbstream\nimport nbstream, os", *[f"nbstream.show({chat(server.url)})"] * 2]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        client = NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3")
        client.execute(env=dict(os.environ))
    saved = nbformat.writes(notebook)
    assert "SourceRefused" in saved
    assert "text " in saved
    find_keys("the notebook", saved.encode())
    relays.end_all(kernels.home / "jupyter_runtime_dir")

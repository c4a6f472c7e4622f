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


def spellings():
    """Return every way in which a secret may be spelled."""
    for secret in (KEY, HEADER, IN_URL):
        yield secret.encode()
        yield quote(secret, safe="").encode()
        yield base64.b64encode(secret.encode())
        yield json.dumps(secret)[1:-1].encode()


def find_keys(what, told):
    """Fail if a secret stands in *told*."""
    found = [spelling for spelling in spellings() if spelling in told]
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

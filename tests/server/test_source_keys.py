"""Keys on their way through a source: they go where they belong, and come out of no error and no log."""

import asyncio
import base64
import json
import logging
import time
from urllib.parse import quote

import pytest

import nbstream
from nbstream.errors import SourceError, SourceRefused
from nbstream.recorder.call import Call
from nbstream.sources import as_source
from nbstream.testing import Answer, FaultServer

#: Of no known shape, so that only its value tells it; with everything in it that some spelling escapes.
KEY = 'Quiet+Harbour/9c1b"20\\aa55ee81=='
IN_JSON = json.dumps(KEY)[1:-1]
SPELLINGS = {
    "plain": KEY,
    "lower case": KEY.lower(),
    "JSON": IN_JSON,
    "JSON of PHP": IN_JSON.replace("/", "\\/"),
    "form": quote(KEY, safe=""),
    "form, lower case": quote(KEY, safe="").lower(),
    "path": quote(KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of URLs": base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
}
END = Answer.sse("data: [DONE]\n\n")


@pytest.fixture
def server():
    """Return a server that says what the test writes."""
    with FaultServer() as server:
        yield server


@pytest.fixture(autouse=True)
def key(monkeypatch):
    """Put the key where a notebook has it."""
    monkeypatch.setenv("CANARY_KEY", KEY)


def asked(server, **more):
    """Return the question whose key this is."""
    return nbstream.chat("hi", model="m", base_url=f"{server.url}/v1", api_key_env="CANARY_KEY", **more)


def error_of(source):
    """Make one call as a recorder does; return the error it ends with, None for none."""
    try:
        asyncio.run(Call(source, None, time.monotonic()).run(lambda _: None))
    except SourceError as exc:
        return exc
    return None


def assert_no_key(told):
    """Fail if *told* holds the key in any spelling, or the beginning of one."""
    for spelling in (*SPELLINGS.values(), repr(KEY)[1:-1]):
        assert spelling[:12].lower() not in told.lower()


def ways(spelled):
    """Return answers in which a server gives the key back, by what is odd about them."""
    in_json = json.dumps({"error": {"message": f"bad key {spelled}", "type": spelled}})
    as_json = {"Content-Type": "application/json"}
    return {
        "a refusal": Answer([f"bad key {spelled}"], 401),
        "a refusal in JSON": Answer([in_json], 401, as_json),
        "a refusal that is nearly JSON": Answer([f'{{"error": "bad key {spelled}"'], 401, as_json),
        "a refusal of which the end is cut off": Answer([f"{'x' * 180} {spelled}"], 401),
        "a content type": Answer(["x"], headers={"Content-Type": f"text/{spelled}"}),
        "a frame that is none": Answer.sse(f"data: {{no: {spelled}\n\n"),
        "a frame of which the end is cut off": Answer.sse(f"data: {{{'x' * 60}{spelled}\n\n"),
        "an error inside the stream": Answer.sse(f"data: {in_json}\n\n"),
        "a redirect to no address": Answer(status=302, headers={"Location": f"ftp://{spelled}/"}),
        "a redirect to no host": Answer(status=302, headers={"Location": f"http://[{spelled}/"}),
        "a redirect to no port": Answer(status=302, headers={"Location": f"http://127.0.0.1:{spelled}/"}),
        "a redirect to a refusal": Answer(status=302, headers={"Location": f"/x?{spelled}"}),
    }


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("way", ways(""))
def test_a_key_that_the_server_gives_back_is_not_told(server, way, spelled):
    """However it is spelled, and wherever it stands: the error says everything else."""
    server.script([ways(spelled)[way]], otherwise=Answer([f"bad {spelled}"], 401))
    error = error_of(asked(server))
    assert error is not None
    assert_no_key(str(error))


def test_a_key_in_an_exception_of_the_users_code_is_not_told(server):
    """An iterator, a factory and a `read` function may quote what the environment or the call holds."""

    def broken():
        yield "text"
        raise RuntimeError(f"401 for {KEY}")

    def read(event):
        raise ValueError(f"odd: {event.data}")

    server.script([Answer.sse(f"data: {KEY}\n\n")])
    read_by_hand = nbstream.sse(f"{server.url}/x", headers={"X-Api-Key": KEY}, read=read)
    for source in (as_source(broken()), as_source(broken), read_by_hand):
        error = error_of(source)
        assert any(said in str(error) for said in ("401 for ***", "odd: ***"))
        assert_no_key(str(error))


def test_a_body_with_a_key_goes_to_no_other_server(server):
    """307 repeats the body: one that holds a key is not taken to another origin, one without is; headers never are."""
    with FaultServer() as elsewhere:
        elsewhere.script([], otherwise=END)
        away = Answer(status=307, headers={"Location": f"{elsewhere.url}/other"})
        server.script([away] * 3)
        for body in ({"api_key": KEY}, {"nested": [{"access_token": KEY}]}):
            refused = error_of(
                nbstream.sse(f"{server.url}/x", method="POST", json={**body, "prompt": "hi"}, format="openai.chat")
            )
            assert isinstance(refused, SourceRefused)
            assert "another server" in str(refused)
            assert_no_key(str(refused))
        assert elsewhere.requests == []
        assert error_of(asked(server, headers={"X-Api-Key": KEY})) is None
        (request,) = elsewhere.requests
        assert b'"hi"' in request.body
        assert_no_key(json.dumps(dict(request.headers)) + request.target + request.body.decode())


def test_a_body_with_a_key_follows_a_redirect_at_home(server):
    """On the same server a redirect that repeats the body is followed with it."""
    server.script([Answer(status=307, headers={"Location": "/there"}), END])
    source = nbstream.sse(f"{server.url}/x", method="POST", json={"api_key": KEY}, format="openai.chat")
    assert error_of(source) is None
    assert [json.loads(request.body) for request in server.requests] == [{"api_key": KEY}] * 2


def test_the_libraries_log_no_key(server, caplog):
    """At INFO httpx logs every address, at DEBUG httpcore the headers of every answer: of our calls without keys."""
    caplog.set_level(logging.DEBUG)
    server.script([Answer(status=302, headers={"Location": f"/next?{quote(KEY)}", "X-Echo": KEY})], otherwise=END)
    source = nbstream.sse(f"{server.url}/x?token={quote(KEY, safe='')}", format="openai.chat")
    assert error_of(source) is None
    assert "HTTP Request: GET" in caplog.text
    assert "X-Echo" in caplog.text
    assert_no_key(caplog.text)


def test_other_calls_are_logged_as_ever(server, caplog):
    """Somebody else's use of httpx in the same process is none of our business."""
    import httpx

    caplog.set_level(logging.INFO)
    server.script([Answer(["hello"])])
    with httpx.Client(trust_env=False) as client:
        client.get(f"{server.url}/plain?token=theirs")
    assert "token=theirs" in caplog.text

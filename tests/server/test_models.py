"""`chat()` for every provider, over real sockets: the request that goes out, and the stream that comes back."""

import json
import threading

import pytest
from chain import until
from providers import ARGUMENTS, CASES, TEXT, THOUGHT

import nbstream
from nbstream.sources.models.chat import chat
from nbstream.testing import Answer

KEY = "quiet+harbour/lantern=0042-9c1b"


@pytest.fixture(params=CASES)
def case(request, monkeypatch):
    """Return one provider; no key and no address of the environment moves it."""
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    for one in CASES.values():
        if one.key is not None:
            monkeypatch.delenv(one.key[0], raising=False)
    case = CASES[request.param]
    if case.key is not None:
        monkeypatch.setenv(case.key[0], f" {KEY}\n")
    return case


def test_what_is_asked(chain, case):
    """Method, path, headers and body are those of the provider's API; the key stands in its header alone."""
    chain.server.script([case.answer])
    stream = chain.begin(case.source(chain.server, max_tokens=9), TEXT)
    assert chain.rest(stream) == "complete"
    (request,) = chain.requests
    assert (request.method, request.target) == ("POST", f"/{case.path}")
    body = json.loads(request.body)
    assert body == {**case.body, **case.said, **case.limit}
    for name, value in case.headers.items():
        assert request.headers[name] == value
    told = json.dumps(dict(request.headers)) + request.target + request.body.decode()
    if case.key is None:
        assert "authorization" not in request.headers
    else:
        _, header, scheme = case.key
        assert request.headers[header] == scheme + KEY
        assert told.count(KEY) == 1
    assert stream.title == "When do we sail?"


def test_what_comes_back(chain, case):
    """Text, reasoning, tool call, usage, finish and model: each once, in one vocabulary."""
    chain.server.script([case.answer])
    stream = chain.begin(case.source(chain.server), TEXT)
    assert chain.rest(stream) == "complete"
    assert (stream.text, stream.reasoning, stream.model) == (TEXT, THOUGHT, "m-1")
    (call,) = stream.tool_calls
    assert (call["name"], json.loads(call["arguments"])) == ("tide", ARGUMENTS)
    assert (stream.usage["input"], stream.usage["output"], stream.usage["total"]) == (11, 7, 18)
    assert stream.finish == case.finish


def test_where_it_is_asked(case):
    """Unmoved, the address is the provider's own."""
    source = chat("hi", case.model, **case.options)
    assert (source.call.url, source.format) == (case.url, case.format)


def test_a_missing_key_is_one_line(chain, case, monkeypatch):
    """Nothing is sent; the line names the variable."""
    if case.key is None:
        pytest.skip("it needs none")
    monkeypatch.delenv(case.key[0])
    chain.server.script([case.answer])
    stream = chain.begin(case.source(chain.server), TEXT)
    assert chain.rest(stream) == "failed"
    assert stream.error["message"].startswith(f"{case.key[0]} is not set")
    assert chain.requests == []


def test_a_function_gives_the_key(chain, case):
    """`api_key=function`: asked once for each call, never by the log; its answer goes where a variable's does."""
    asked = []

    def key():
        asked.append(threading.current_thread())
        return f"from-a-function-{len(asked)}"

    chain.server.script([case.answer] * 2)
    sources = [case.source(chain.server, api_key=key, temperature=number) for number in (0, 1)]
    assert asked == []
    for source in sources:
        assert chain.rest(chain.begin(source, TEXT)) == "complete"
    sent = [json.dumps(dict(request.headers)) for request in chain.requests]
    assert ["from-a-function-1" in sent[0], "from-a-function-2" in sent[1]] == [True, True]
    assert len(asked) == 2
    assert b"from-a-function" not in chain.raw()


def refusal_of(chain, source):
    """Return what is said of a call that cannot be made: before there is a stream, or as its end."""
    try:
        stream = chain.begin(source, "")
    except nbstream.SourceRefused as exc:  # the key travels with a call to a relay, so it is asked for here
        return str(exc)
    assert chain.rest(stream) == "failed"
    return stream.error["message"]


def test_a_function_that_gives_no_key(chain):
    """It raises, returns nothing, or something else: one line, nothing sent, and nothing of what it said."""

    def broken():
        raise RuntimeError(f"vault said {KEY}")

    for function, said in (
        (broken, "api_key=: RuntimeError in broken, line "),
        (lambda: "", "api_key= returned no key"),
        (lambda: None, "api_key= returned NoneType, not text"),
        (lambda: "two\nlines", "api_key= holds characters that no key has"),
    ):
        source = chat("hi", "m", base_url=chain.server.url, api_key=function)
        told = refusal_of(chain, source)
        assert said in told
        assert KEY not in told
    assert chain.requests == []
    assert KEY.encode() not in chain.raw()


def test_a_key_from_a_function_is_not_guessed_elsewhere(chain):
    """Where only the log is left, a call whose key a function gave is refused: no variable is tried instead."""
    chain.server.script([Answer.sse('data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n', end="cut")])
    stream = chain.begin(chat("hi", "m", base_url=chain.server.url, api_key=lambda: KEY), "a")
    assert chain.rest(stream) == "interrupted"
    from nbstream.sources import from_spec

    with pytest.raises(nbstream.SourceRefused, match="its key, which a function gave"):
        from_spec(stream.store.status(stream.id).open.source)


def test_a_response_in_the_background_is_read_on(chain, monkeypatch):
    """With `background=True` a cut response is read again behind the last event, with the key: one POST."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    case = CASES["openai responses"]
    events = [
        event.replace('"object": "response"', '"background": true, "object": "response"') for event in case.answer.body
    ]
    chain.server.script([Answer.sse(*events[:6], end="reset"), Answer.sse(*events[6:])])
    stream = chain.begin(case.source(chain.server, background=True), TEXT)
    assert chain.rest(stream) == "complete"
    first, second = chain.requests
    assert json.loads(first.body)["background"] is True
    assert (second.method, second.target) == ("GET", "/v1/responses/resp-1?stream=true&starting_after=5")
    assert [request.headers["authorization"] for request in (first, second)] == [f"Bearer {KEY}"] * 2


def test_stop_cancels_a_response_in_the_background(chain, monkeypatch):
    """It would go on, and cost: Stop tells OpenAI, with the key."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    case = CASES["openai responses"]
    events = [
        event.replace('"object": "response"', '"background": true, "object": "response"') for event in case.answer.body
    ]
    chain.server.script(
        [Answer.sse(*events[:6], end="stall"), Answer(["{}"], headers={"Content-Type": "application/json"})]
    )
    stream = chain.begin(case.source(chain.server, background=True), TEXT)
    until(lambda: stream.text, "the first text")
    stream.stop()
    assert chain.rest(stream) == "stopped"
    until(lambda: len(chain.requests) == 2, "the cancel")
    cancel = chain.requests[1]
    assert (cancel.method, cancel.target) == ("POST", "/v1/responses/resp-1/cancel")
    assert cancel.headers["authorization"] == f"Bearer {KEY}"

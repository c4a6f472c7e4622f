"""Provider formats over a real socket, recorded here and in a relay: every end in its state, all text kept."""

import json
import random

import pytest
from chain import until
from format_samples import ERRORS, ONE_EACH, SAMPLES

import nbstream
from nbstream.testing import Answer

FORMATS = [pytest.param(sample, id=sample.format) for sample in ONE_EACH]
#: Where each is asked, as far as that matters: runs are found beside it.
PATHS = {
    "openai.responses": "/v1/responses?api-version=2026-05",
    "gemini.interactions": "/v1beta/interactions?key=k-1234567",
    "llamacpp": "/proxy/completion",
}
GOES_ON = {sample.format: sample for sample in SAMPLES if sample.goes_on}


def answer(sample, *frames, **options):
    """Return an answer of *frames* as the server of *sample* sends them."""
    return Answer(frames, headers={"Content-Type": sample.media_type}, **options)


def start(chain, sample, *answers, otherwise=None, format=None, headers=None, background=False, **options):
    """Start a stream against *answers*, which are of the format of *sample*."""
    chain.server.script(answers, otherwise=otherwise)
    url = chain.server.url + PATHS.get(sample.format, "/chat")
    body = {"input": "q", "stream": True, **({"background": True} if background else {})}
    source = nbstream.sse(url, method="POST", json=body, headers=headers, format=format or sample.format)
    return nbstream.start(source, **options)


def says(stream):
    """Return what *stream* says of the answer."""
    names = ("text", "reasoning", "refusal", "tool_calls", "usage", "finish", "model")
    return {name: getattr(stream, name) for name in names}


def whole(sample):
    """Return what `says` ought to return for *sample*."""
    names = ("text", "reasoning", "refusal", "tool_calls", "usage", "model")
    return {**{name: getattr(sample, name) for name in names}, "finish": sample.finish[0]}


def is_beginning(stream, sample):
    """Whether all text of *stream* is a beginning of that of *sample*."""
    names = ("text", "reasoning", "refusal")
    return all(getattr(sample, name).startswith(getattr(stream, name)) for name in names)


@pytest.mark.parametrize("sample", [pytest.param(sample, id=sample.file) for sample in SAMPLES])
def test_a_whole_answer_is_complete(chain, sample):
    """Recognised by its first frame: all that it says comes out on the stream, and nothing is unknown."""
    stream = start(chain, sample, answer(sample, sample.raw, piece_bytes=11), format="auto")
    assert stream.wait(15) == "complete", stream.error
    assert says(stream) == whole(sample)
    assert "unknown" not in stream.status()["line"]
    assert len(chain.requests) == 1


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
def test_an_answer_that_breaks_off_is_interrupted(chain, sample, end):
    """However the connection ends before the end mark: interrupted, nothing asked again, the text is kept."""
    stream = start(chain, sample, answer(sample, *sample.before_the_end, end=end))
    assert stream.wait(15) == "interrupted"
    # A reset may overtake bytes that were sent before it.
    assert is_beginning(stream, sample) if end == "reset" else stream.text == sample.text
    assert len(chain.requests) == 1


@pytest.mark.parametrize("sample", FORMATS)
def test_an_error_inside_is_failed(chain, sample):
    """The upstream's own words are in the line, and the text that came before them is kept."""
    stream = start(chain, sample, answer(sample, *sample.before_the_end, ERRORS[sample.format][0]))
    assert stream.wait(15) == "failed"
    assert "out of cheese" in stream.error["message"]
    assert stream.text == sample.text
    assert len(chain.requests) == 1


@pytest.mark.parametrize("sample", FORMATS)
def test_an_error_of_another_shape_is_failed(chain, sample):
    """As a gateway says it, before the end mark: failed, its words without the key in them, the text kept."""
    error = b'{"detail":"key k-canary-7f3a91 is out of cheese"}'
    frame = error + b"\n" if sample.lines else b"data: " + error + b"\n\n"
    rest = sample.frames[len(sample.before_the_end) :]
    headers = {"Authorization": "Bearer k-canary-7f3a91"}
    stream = start(chain, sample, answer(sample, *sample.before_the_end, frame, *rest), headers=headers)
    assert stream.wait(15) == "failed"
    assert "out of cheese" in stream.error["message"]
    assert "k-canary" not in stream.error["message"]
    assert stream.text == sample.text


@pytest.mark.parametrize("first", [True, False])
def test_text_in_the_frame_that_fails_is_stored(chain, first):
    """Its words are in the log before the stream ends, also where nothing else had come; nothing is asked again."""
    sample = next(one for one in ONE_EACH if one.format == "openai.chat")
    said = {"choices": [{"index": 0, "delta": {"content": "last words"}, "finish_reason": "error"}]}
    last = f"data: {json.dumps(said)}\n\ndata: [DONE]\n\n".encode()
    stream = start(chain, sample, answer(sample, *(() if first else sample.before_the_end), last))
    assert stream.wait(15) in {"failed", "interrupted"}
    assert stream.text == ("" if first else sample.text) + "last words"
    assert "finish_reason 'error'" in stream.error["message"]
    assert len(chain.requests) == 1


@pytest.mark.parametrize("sample", FORMATS)
def test_broken_json_is_failed_and_quoted(chain, sample):
    """A frame that is no JSON ends the stream in one line that quotes it; the text before it is kept."""
    broken = b'{"nonsense\n' if sample.lines else b'data: {"nonsense\n\n'
    stream = start(chain, sample, answer(sample, *sample.before_the_end, broken))
    assert stream.wait(15) == "failed"
    assert "nonsense" in stream.error["message"]
    assert stream.text == sample.text


@pytest.mark.parametrize("sample", FORMATS)
def test_too_many_requests_is_asked_again_and_complete(chain, sample):
    """429 before any text: the server's own wait, then the answer, once."""
    body = b'{"error":{"message":"slow down","type":"rate_limit_error"}}'
    headers = {"Content-Type": "application/json", "Retry-After": "0.1"}
    busy = Answer([body], 429, headers=headers, framing="length")
    stream = start(chain, sample, busy, answer(sample, sample.raw))
    assert stream.wait(15) == "complete", stream.error
    assert says(stream) == whole(sample)
    assert len(chain.requests) == 2


@pytest.mark.parametrize("sample", FORMATS)
def test_silence_is_a_stall_that_stop_ends(chain, sample):
    """Nothing comes and the connection stands: stalled; Stop closes it and keeps the text."""
    stalls = answer(sample, *sample.before_the_end, end="stall")
    stream = start(chain, sample, stalls, first_s=0.4, idle_s=0.4)
    until(lambda: stream.state == "stalled", "stalled")
    stream.stop()
    assert stream.wait(15) == "stopped"
    assert stream.text == sample.text
    chain.server.wait_closed(2.0)
    assert len(chain.requests) == 1


# Calls that go on without us


def rest(sample, request):
    """Answer *request* as the server of *sample* does to whoever comes back."""
    frames, query = sample.frames, request.query
    if sample.format == "openai.responses":
        place = int(query.get("starting_after", -1))
        return answer(sample, *frames[place + 1 :])
    if sample.format == "gemini.interactions":
        mark = json.dumps(query["last_event_id"]).encode() if "last_event_id" in query else None
        return answer(sample, *frames[next((at + 1 for at, one in enumerate(frames) if mark and mark in one), 0) :])
    return answer(sample, sample.raw[int(query["from"]) :])


#: How each says that it goes on, and the addresses where it is read again and ended.
OPTIONS = {
    "openai.responses": {},
    "gemini.interactions": {"background": True},
    "llamacpp": {"headers": {"X-Conversation-Id": "c 7::pear"}},
}
AGAIN = {
    "openai.responses": ("/v1/responses/resp_7f31", {"stream": "true", "api-version": "2026-05"}),
    "gemini.interactions": ("/v1beta/interactions/v1_ChdmYWN0", {"stream": "true", "key": "k-1234567"}),
    "llamacpp": ("/proxy/v1/stream", {"conv_id": "c 7::pear", "from": "0"}),
}
CANCEL = {
    "openai.responses": ("POST", "/v1/responses/resp_7f31/cancel", {"api-version": "2026-05"}),
    "gemini.interactions": ("POST", "/v1beta/interactions/v1_ChdmYWN0/cancel", {"key": "k-1234567"}),
    "llamacpp": ("DELETE", "/proxy/v1/stream", {"conv_id": "c 7::pear"}),
}


@pytest.mark.parametrize("format", list(GOES_ON))
def test_a_cut_call_is_read_again_and_never_begun_again(chain, format, seed):
    """Cut at random moments, the call itself goes on: it is read again behind a cursor, and all of it comes, once."""
    sample, rng = GOES_ON[format], random.Random(seed)
    for _ in range(6):
        cut = rng.randrange(len(sample.frames[0]), sample.whole_at)
        before = len(chain.requests)
        first = answer(sample, sample.raw[:cut], end=rng.choice(["clean", "cut"]))
        stream = start(chain, sample, first, otherwise=lambda ask: rest(sample, ask), **OPTIONS[format])
        assert stream.wait(15) == "complete", (cut, stream.error)
        assert says(stream) == whole(sample), cut
        chain.server.wait_closed(2.0)
        (asked,) = chain.requests[before + 1 :]
        path, query = AGAIN[format]
        places = {"starting_after", "last_event_id"}
        assert (asked.method, asked.path, asked.body) == ("GET", path, b""), cut
        assert {name: value for name, value in asked.query.items() if name not in places} == query, cut


@pytest.mark.parametrize("format", list(GOES_ON))
def test_stop_ends_the_call_itself(chain, format):
    """Closing the connection would let it go on, and cost: Stop sends the cancel that the server knows."""
    sample = GOES_ON[format]
    stalls = answer(sample, *sample.before_the_end, end="stall")
    stream = start(chain, sample, stalls, Answer([b"{}"], 200, framing="length"), **OPTIONS[format])
    until(lambda: stream.text == sample.text, "all text has come")
    stream.stop()
    assert stream.wait(15) == "stopped"
    cancel = chain.server.wait_requests(2)[1]
    assert (cancel.method, cancel.path, cancel.query) == CANCEL[format]
    assert stream.error is None
    assert stream.text == sample.text


@pytest.mark.parametrize("format", ["openai.responses", "gemini.interactions"])
def test_a_call_that_is_cut_before_its_first_word_is_not_begun_again(chain, format):
    """The first event names the run: behind a cut it is read from there, and no second one is paid."""
    sample = GOES_ON[format]
    first = answer(sample, sample.frames[0], end="cut")
    stream = start(chain, sample, first, otherwise=lambda ask: rest(sample, ask), **OPTIONS[format])
    assert stream.wait(15) == "complete", stream.error
    assert says(stream) == whole(sample)
    assert [request.method for request in chain.requests] == ["POST", "GET"]


LINES = [pytest.param(sample, id=sample.file) for sample in SAMPLES if sample.lines]


@pytest.mark.parametrize("sample", LINES)
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_the_last_line_needs_no_line_end(chain, sample, framing):
    """A server that leaves it out has sent a whole answer: it is complete, with all that its last line says."""
    stream = start(chain, sample, answer(sample, sample.raw.rstrip(), framing=framing))
    assert stream.wait(15) == "complete", stream.error
    assert says(stream) == whole(sample)


@pytest.mark.parametrize("format", ["ollama.chat", "openai.chat"])
def test_a_line_that_was_cut_is_never_the_end(chain, format, seed):
    """Wherever in its last line the connection ends politely: interrupted, also where a finish_reason came before."""
    sample = next(one for one in SAMPLES if one.lines)
    if format == "openai.chat":
        said = {"choices": [{"index": 0, "delta": {"content": sample.text}}]}
        finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        before, last = [json.dumps(one).encode() + b"\n" for one in (said, finish)], b'{"error":{"message":"boom"}}'
    else:
        before, last = sample.before_the_end, sample.frames[len(sample.before_the_end)].rstrip()
    rng = random.Random(seed)
    for cut in {1, len(last) - 1, *rng.sample(range(2, len(last) - 1), 3)}:
        stream = start(chain, sample, answer(sample, *before, last[:cut]), format=format)
        assert stream.wait(15) == "interrupted", cut
        assert stream.text == sample.text


def test_an_error_that_is_no_event_is_a_lost_connection(chain):
    """Gemini's proxy ends long streams with plain JSON in the middle of the events: the interaction goes on."""
    sample = GOES_ON["gemini.interactions"]
    junk = b'[{\n"error": {\n"code": 503,\n"message": "unavailable",\n"status": "UNAVAILABLE"\n}\n}\n]\n'
    first = answer(sample, *sample.frames[:9], junk)
    stream = start(chain, sample, first, otherwise=lambda ask: rest(sample, ask), **OPTIONS[sample.format])
    assert stream.wait(15) == "complete", stream.error
    assert says(stream) == whole(sample)
    assert [request.method for request in chain.requests] == ["POST", "GET"]


def test_a_background_response_that_failed_is_not_asked_again(chain):
    """It has failed for good: its words, failed, and no third call."""
    sample = GOES_ON["openai.responses"]
    failed = {
        "type": "response.failed", "sequence_number": 4,
        "response": {"id": "resp_7f31", "status": "failed", "error": {"code": "server_error", "message": "no cheese"}},
    }  # fmt: skip
    last = f"data: {json.dumps(failed)}\n\n".encode()
    stream = start(chain, sample, answer(sample, *sample.frames[:4], last))
    assert stream.wait(15) == "failed"
    assert "no cheese" in stream.error["message"]
    assert len(chain.requests) == 1


def test_a_conversation_that_is_another_one_now_is_an_error(chain):
    """What llama.cpp tells again must be what is shown: a new answer under the old id is not joined to it."""
    sample = GOES_ON["llamacpp"]
    other = sample.raw.replace(b"Wetter", b"Wasser")
    first = answer(sample, *sample.before_the_end[:2], end="cut")
    stream = start(chain, sample, first, answer(sample, other), **OPTIONS["llamacpp"])
    assert stream.wait(15) == "failed"
    assert "another one" in stream.error["message"]
    assert sample.text.startswith(stream.text)
    assert stream.text


def test_a_shorter_conversation_is_not_the_end_of_the_one_shown(chain):
    """It is over before the place of the cut: another answer, whose end is not that of what is shown."""
    sample = next(one for one in SAMPLES if one.file == "openai.chat.llamacpp.sse")
    shown = sample.before_the_end[:6]
    for other in ([sample.frames[0], *sample.frames[-3:]], [sample.frames[0], sample.frames[-3]]):
        chain.server.script([answer(sample, *shown, end="cut")], otherwise=answer(sample, *other))
        url, headers = chain.server.url + "/v1/chat/completions", {"X-Conversation-Id": f"c{len(other)}"}
        source = nbstream.sse(url, method="POST", json={"q": len(other)}, format="llamacpp", headers=headers)
        stream = nbstream.start(source)
        assert stream.wait(15) == "failed"
        assert "another one" in stream.error["message"]


def test_a_character_that_two_events_cut_in_two_does_not_end_a_response(chain):
    """Cut behind any event, with an emoji that came as two halves: all text that came is kept, and gone on behind."""
    response = {"id": "resp_7f31", "background": True, "status": "in_progress"}
    at = {"output_index": 0, "content_index": 0}
    deltas = [{"type": "response.output_text.delta", **at, "delta": one} for one in ("a ", "\ud83c", "\udf0a", " b")]
    events = [
        {"type": "response.created", "response": response}, *deltas,
        {"type": "response.completed", "response": {**response, "status": "completed"}},
    ]  # fmt: skip
    frames = [
        f"data: {json.dumps({**event, 'sequence_number': number})}\n\n".encode() for number, event in enumerate(events)
    ]
    for cut in range(1, len(frames)):
        behind = lambda ask: Answer.sse(*frames[int(ask.query["starting_after"]) + 1 :])  # noqa: E731
        chain.server.script([Answer.sse(*frames[:cut], end="cut")], otherwise=behind)
        source = nbstream.sse(chain.server.url + "/v1/responses", method="POST", json={"q": cut})
        stream = nbstream.start(source)
        assert stream.wait(15) == "complete", (cut, stream.error)
        assert stream.text == "a 🌊 b"


def test_a_server_that_loads_its_model_is_waited_for(chain):
    """llama.cpp says 503 until its model is there: asked again as often as it takes, and the state line says why."""
    sample = next(one for one in SAMPLES if one.format == "llamacpp")
    body = b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
    loading = Answer([body], 503, headers={"Content-Type": "application/json", "Retry-After": "0.1"}, framing="length")
    lines = []

    def told(request):
        assert request.method == "POST"
        until(lambda: lines.append(stream.status()["line"]) or "Loading model" in lines[-1], "the line says so")
        return answer(sample, sample.raw)

    # The waits for the model are not counted as tries: behind them a lost call has all of its own.
    broken = Answer(status=502, headers={"Retry-After": "0.1"}, framing="length")
    stream = start(chain, sample, *[loading] * 5, broken, broken, loading, otherwise=told)
    assert stream.wait(15) == "complete", stream.error
    assert says(stream) == whole(sample)
    assert len(chain.requests) == 9


def test_chat_completions_of_llamacpp_go_on_as_well(chain):
    """Known by its `Server` header: with a conversation id the answer is told again, without a second call."""
    sample = next(one for one in SAMPLES if one.file == "openai.chat.llamacpp.sse")
    headers = {"Server": "llama.cpp", "Content-Type": "text/event-stream"}
    frames = sample.before_the_end
    for cut in range(2, len(frames)):
        before = len(chain.requests)
        chain.server.script([Answer(frames[:cut], headers=headers, end="cut"), Answer([sample.raw], headers=headers)])
        url, named = chain.server.url + "/v1/chat/completions", {"X-Conversation-Id": f"c{cut}"}
        stream = nbstream.start(nbstream.sse(url, method="POST", json={"q": cut}, headers=named))
        assert stream.wait(15) == "complete", (cut, stream.error)
        assert says(stream) == whole(sample), cut
        asked = chain.requests[before + 1]
        assert (asked.method, asked.path, asked.query["conv_id"]) == ("GET", "/v1/stream", f"c{cut}")

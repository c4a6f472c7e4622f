"""Errors inside a stream that no format describes, and frames that only look like them."""

import json

import pytest
from format_samples import ONE_EACH, expected, heard, told

from nbstream.errors import SourceError, SourceRefused
from nbstream.sources.contract import End
from nbstream.sources.formats.frames import Suspicion
from nbstream.sources.formats.registry import READERS

CHAT = next(one for one in ONE_EACH if one.format == "openai.chat")
FORMATS = [pytest.param(sample, id=sample.format) for sample in ONE_EACH]

#: Frames that have nothing of an error but words: they are one if nothing of the answer comes behind them.
SUSPECTED = [
    {"detail": "out of cheese"}, {"detail": [{"loc": ["body"], "msg": "out of cheese", "type": "missing"}]},
    {"message": "out of cheese", "code": "DataInspectionFailed", "request_id": "r1"}, {"message": "out of cheese"},
    {"code": 1301, "msg": "out of cheese"}, {"code": 1, "message": "out of cheese"},
    {"code": "1", "message": "out of cheese"}, {"error_code": 336003, "error_msg": "out of cheese"},
    {"status": "connected", "message": "out of cheese"}, {"detail": {"sources": ["out of cheese"]}},
]  # fmt: skip
#: As gateways, frameworks and proxies put them into a stream that has begun, each with the words it must show.
ODD_ERRORS = [
    ({"error": "out of cheese"}, "out of cheese"),
    ({"error": True, "message": "out of cheese"}, "out of cheese"),
    ({"errors": [{"code": 3040, "message": "out of cheese"}], "success": False, "result": {}}, "out of cheese"),
    ({"type": "error", "message": "out of cheese"}, "out of cheese"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "out of cheese"}}, "out of cheese"),
    ({"type": "overloaded_error", "message": "out of cheese"}, "out of cheese"),
    ({"event": "error", "status": 503, "message": "out of cheese"}, "out of cheese"),
    ({"object": "error", "message": "out of cheese", "code": 50001}, "out of cheese"),
    ({"status": 503, "title": "out of cheese"}, "out of cheese"),
    ({"status": False, "message": "out of cheese"}, "out of cheese"),
    ({"statusCode": 500, "message": "out of cheese", "success": True}, "out of cheese"),
    ({"type": "RuntimeError", "message": "out of cheese"}, "out of cheese"),
    ({"type": "exception", "message": "out of cheese"}, "out of cheese"),
    ({"type": "failed", "message": "out of cheese"}, "out of cheese"),
    ({"event": "failure", "message": "out of cheese"}, "out of cheese"),
    ({"type": "Error", "errorText": "out of cheese"}, "out of cheese"),
    ({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "out of cheese"}}, "out of cheese"),
]


def framed(sample, frame, name=""):
    """Return *frame* as the server of *sample* would send it, as an event of this *name*."""
    data = json.dumps(frame).encode()
    return data + b"\n" if sample.lines else (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize(("frame", "said"), ODD_ERRORS)
def test_an_error_of_another_shape_is_an_error(sample, frame, said):
    """Behind any frame, and in the place of the first: the upstream's words, and never an answer that is complete."""
    for count in range(len(sample.before_the_end) + 1):
        for name in (sample.format, "auto"):
            reader, parser = READERS[name](None), sample.parser()
            heard(reader, parser, *sample.frames[:count])
            with pytest.raises(SourceRefused, match=said):
                heard(reader, parser, framed(sample, frame), *sample.frames[count:])


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("frame", SUSPECTED)
def test_words_alone_are_an_error_if_nothing_comes_behind_them(sample, frame):
    """Behind the last word of the answer: neither an end mark nor the end of the connection makes it complete."""
    frames = sample.before_the_end
    for count in (0, len(frames)):
        for name in (sample.format, "auto"):
            reader, parser, suspicion = READERS[name](None), sample.parser(), Suspicion()
            heard(reader, parser, *frames[:count], framed(sample, frame), suspicion=suspicion)
            assert "out of cheese" in str(suspicion.error)
            if count and sample.format == "openai.chat":
                with pytest.raises(SourceRefused, match="out of cheese"):
                    heard(reader, parser, b"data: [DONE]\n\n", suspicion=suspicion)


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize("frame", SUSPECTED)
def test_words_alone_are_no_error_in_front_of_the_answer_and_in_its_midst(sample, frame):
    """A greeting, progress, sources: the answer goes on and is complete, and they are counted."""
    frames, last = sample.frames, len(sample.before_the_end) - 1
    for name in (sample.format, "auto"):
        for count in (0, 1):
            if count > last or (count == 1 and last < 2):
                continue
            reader, suspicion = READERS[name](None), Suspicion()
            chunks = [*frames[:count], framed(sample, frame), *frames[count:]]
            arrivals = heard(reader, sample.parser(), *chunks, suspicion=suspicion)
            assert suspicion.error is None
            if not arrivals[-1].end:
                arrivals.append(reader.eof())
            says = told(arrivals)
            assert {**says, "raw": []} == expected(sample)
            assert says["raw"] == ([] if name == "auto" and not count else ["no type"])


def test_what_else_has_words_is_no_error():
    """A title, words beside usage, and a code for "well" in capitals: also as the last frame before the end mark."""
    usage = {"prompt_tokens": 9, "total_tokens": 39}
    for frame in (
        {"title": "A greeting", "id": "x"}, {"status": "OK", "message": "saved"}, {"code": "SUCCESS", "msg": "saved"},
        {"choices": [], "usage": usage, "title": "A greeting"}, {"usage": usage, "message": "done"},
    ):  # fmt: skip
        frames = [*CHAT.frames[:-1], framed(CHAT, frame), CHAT.frames[-1]]
        assert told(heard(READERS["openai.chat"](None), CHAT.parser(), *frames))["end"] == End(*CHAT.finish)


BESIDE_CHOICES = [
    {"base_resp": {"status_code": 1027, "status_msg": "out of cheese"}}, {"code": 500, "message": "out of cheese"},
    {"status": 429, "detail": "out of cheese"}, {"error": {"message": "out of cheese"}},
]  # fmt: skip


@pytest.mark.parametrize("frame", BESIDE_CHOICES)
def test_an_error_beside_choices_is_one(frame):
    """What the choice says is kept, and the answer has failed."""
    choice = {"index": 0, "delta": {"content": "last words"}, "finish_reason": "stop"}
    reader, parser = READERS["openai.chat"](None), CHAT.parser()
    (arrival,) = heard(reader, parser, framed(CHAT, {"choices": [choice], **frame}))
    assert told([arrival])["text"] == "last words"
    assert "out of cheese" in str(arrival.error)


@pytest.mark.parametrize("reason", ["network_error", "engine_error", "timeout", "error: overloaded", "ERROR"])
def test_a_finish_reason_that_tells_a_failure_is_one(reason):
    """Whatever server invented it; `sensitive` is GLM's content filter."""
    reader = READERS["openai.chat"](None)
    with pytest.raises(SourceRefused, match=reason):
        reader.frame({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    reader = READERS["openai.chat"](None)
    reader.frame({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "sensitive"}]})
    assert reader.eof().end == End("content_filter", "sensitive")


def test_a_completed_response_with_an_error_has_failed():
    """Other servers end every response so."""
    response = {"status": "completed", "error": {"code": "server_error", "message": "out of cheese"}, "output": []}
    with pytest.raises(SourceRefused, match="out of cheese"):
        READERS["openai.responses"](None).frame({"type": "response.completed", "response": response})


@pytest.mark.parametrize("sample", [one for one in FORMATS if not one.values[0].lines])
@pytest.mark.parametrize("data", ["{}", "", "null", '{"type": "ping"}', "out of cheese", '{"code": 7}'])
def test_an_event_named_error_is_one_whatever_it_says(sample, data):
    """Its name is enough: what stands in it may be empty, or no object."""
    reader, parser = READERS[sample.format](None), sample.parser()
    heard(reader, parser, *sample.before_the_end)
    with pytest.raises(SourceError):
        heard(reader, parser, f"event: error\ndata: {data}\n\n".encode(), *sample.frames)


#: Frames beside the answer, as their servers send them.
HARMLESS = {
    "openai.chat": [
        b": PROCESSING\n\n",
        b'data: {"choices":[],"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n',
        b'data: {"id":"c","object":"chat.completion.chunk","model":"pear-1","choices":[],"usage":null}\n\n',
        b'data: {"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"total_tokens":39}}\n\n',
        b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{}}],"x_groq":{"id":"r"}}\n\n',
        b'data: {"choices":[],"object":"chat.completion.chunk","timings":{"prompt_n":9,"predicted_ms":20.5}}\n\n',
        b'data: {"code":0,"message":"Success","choices":[{"index":0,"delta":{"content":""}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":""}}],"base_resp":{"status_code":0,"status_msg":""}}\n\n',
        b'data: {"error":null,"choices":[{"index":0,"delta":{"content":""}}]}\n\n',
    ],
    "openai.responses": [b'data: {"type":"keepalive"}\n\n', b'data: {"type":"response.web_search_call.searching"}\n\n'],
    "anthropic.messages": [b'event: ping\ndata: {"type":"ping"}\n\n', b'data: {"type":"ping"}\n\n'],
    "gemini.generate": [
        b'data: {"usageMetadata":{"promptTokenCount":12},"modelVersion":"quince-3","responseId":"r"}\n\n',
        b'data: {"promptFeedback":{"safetyRatings":[]}}\n\n',
        b'data: {"candidates":[{"index":0,"content":{"role":"model"}}]}\n\n',
    ],
    "gemini.interactions": [b'data: {"event_type":"interaction.status_update","status":"in_progress"}\n\n'],
    "ollama.chat": [b'{"model":"pear-1","message":{"role":"assistant","content":""},"done":false}\n'],
    "llamacpp": [b":\n\n", b'data: {"index":0,"content":"","tokens":[],"stop":false,"tokens_cached":7}\n\n'],
}
#: Frames that nobody knows, and that say no more of an error than their format's own.
UNKNOWN = [
    {"type": "status", "message": "Searching the web"}, {"type": "weather.changed", "detail": "rain"},
    {"event": "progress", "message": "half way"}, {"type": "ping"}, {"status": "in_progress"}, {"code": 0},
    {"code": 200, "message": "ok"}, {"detail": None}, {"errors": []}, {"error": None},
    {"success": True, "message": "queued"},
]  # fmt: skip


@pytest.mark.parametrize("sample", FORMATS)
def test_a_frame_beside_the_answer_is_no_error(sample):
    """Comments, pings, verdicts on the prompt, usage, figures of a server: anywhere, the answer is the same."""
    harmless, frames = HARMLESS[sample.format], sample.frames
    for count in range(1, len(sample.before_the_end) + 1):
        reader = READERS[sample.format](None)
        arrivals = heard(reader, sample.parser(), *frames[:count], *harmless, *frames[count:])
        if not arrivals[-1].end:
            arrivals.append(reader.eof())
        says = told(arrivals)
        # Usage is what was told last; that of the frames put in may be the last one of its kind.
        assert {**says, "usage": {}, "model": sample.model} == {**expected(sample), "usage": {}}


@pytest.mark.parametrize("frame", UNKNOWN)
def test_what_is_merely_unknown_is_no_error(frame):
    """It is counted by its type, and the answer goes on to its end."""
    sample = CHAT
    frames = sample.frames
    says = told(heard(READERS["openai.chat"](None), sample.parser(), frames[0], framed(sample, frame), *frames[1:]))
    assert {**says, "raw": []} == expected(sample)
    assert says["raw"] == [frame.get("event") or frame.get("type") or "no type"]


def test_an_event_with_a_name_of_its_own_is_no_error():
    """`event: progress` says what it is; `event: server_error` does, too."""
    frames, frame = CHAT.frames, {"message": "half way"}
    says = told(heard(READERS["openai.chat"](None), CHAT.parser(), framed(CHAT, frame, "progress"), *frames))
    assert (says["raw"], says["end"]) == (["progress"], End(*CHAT.finish))
    with pytest.raises(SourceRefused, match="half way"):
        heard(READERS["openai.chat"](None), CHAT.parser(), framed(CHAT, frame, "server_error"), *frames)


def test_our_own_frames_and_those_of_agents_have_such_errors_too():
    """The formats without samples of their own: native frames, AG-UI, the UI message stream."""
    first = {
        "nbstream": {"type": "delta", "text": "Hel"}, "agent_output": {"type": "agent_output", "content": "Hel"},
        "agui": {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "Hel"},
        "vercel.ui": {"type": "text-delta", "id": "t", "delta": "Hel"},
    }  # fmt: skip
    sample = CHAT
    for name, said in first.items():
        for frame, words in ODD_ERRORS:
            reader, parser = READERS[name](None), sample.parser()
            heard(reader, parser, framed(sample, said))
            with pytest.raises(SourceRefused, match=words):
                heard(reader, parser, framed(sample, frame))


@pytest.mark.parametrize("name", ["nbstream", "openai.chat"])
def test_an_unknown_event_that_is_no_json_is_counted(name):
    """`event: status` with a word in it says nothing of the answer; one named as an error is one."""
    reader, parser = READERS[name](None), CHAT.parser()
    assert told(heard(reader, parser, b"event: status\ndata: thinking\n\n"))["raw"] == ["status"]
    for event in ("error", "exception", "failed"):
        with pytest.raises(SourceRefused, match="out of cheese"):
            heard(READERS[name](None), CHAT.parser(), f"event: {event}\ndata: out of cheese\n\n".encode())


@pytest.mark.parametrize(("whole", "says"), [("Hello world", "Hello world"), ("Hello ", "Hello "), ("Hi", "Hello ")])
@pytest.mark.parametrize("numbered", [True, False])
def test_a_completed_response_goes_on_behind_its_deltas(whole, says, numbered):
    """What was said is its beginning: the rest is added; else the deltas count."""
    reader, place = READERS["openai.responses"](None), {"output_index": 0, "content_index": 0} if numbered else {}
    first = reader.frame({"type": "response.output_text.delta", "delta": "Hello ", **place})
    output = [{"type": "message", "content": [{"type": "output_text", "text": whole}]}]
    last = reader.frame({"type": "response.completed", "response": {"status": "completed", "output": output}})
    assert told([first, last])["text"] == says

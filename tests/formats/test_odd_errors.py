"""Errors inside a stream that no format describes, and frames that only look like them."""

import json

import pytest
from format_samples import ONE_EACH, expected, heard, told

from nbstream.errors import SourceError, SourceRefused
from nbstream.sources.contract import End
from nbstream.sources.formats.registry import READERS

CHAT = next(one for one in ONE_EACH if one.format == "openai.chat")
FORMATS = [pytest.param(sample, id=sample.format) for sample in ONE_EACH]

#: As gateways, frameworks and proxies put them into a stream that has begun, each with the words it must show.
ODD_ERRORS = [
    ({"detail": "out of cheese"}, "out of cheese"),
    ({"detail": [{"loc": ["body"], "msg": "out of cheese", "type": "missing"}]}, "out of cheese"),
    ({"message": "out of cheese", "code": "DataInspectionFailed", "request_id": "r1"}, "out of cheese"),
    ({"message": "out of cheese"}, "out of cheese"),
    ({"code": 1301, "msg": "out of cheese"}, "out of cheese"),
    ({"error": "out of cheese"}, "out of cheese"),
    ({"error": True, "message": "out of cheese"}, "out of cheese"),
    ({"error_code": 336003, "error_msg": "out of cheese"}, "out of cheese"),
    ({"errors": [{"code": 3040, "message": "out of cheese"}], "success": False, "result": {}}, "out of cheese"),
    ({"type": "error", "message": "out of cheese"}, "out of cheese"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "out of cheese"}}, "out of cheese"),
    ({"type": "overloaded_error", "message": "out of cheese"}, "out of cheese"),
    ({"event": "error", "status": 503, "message": "out of cheese"}, "out of cheese"),
    ({"object": "error", "message": "out of cheese", "code": 50001}, "out of cheese"),
    ({"status": 503, "title": "out of cheese"}, "out of cheese"),
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

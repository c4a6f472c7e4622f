"""Vercel's UI message stream: what its chunks say, however the bytes come."""

import json

import agent_wire
import pytest
from agent_wire import data, heard, parts, said

from nbstream.errors import SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import End
from nbstream.sources.formats.registry import Auto
from nbstream.sources.formats.vercel_ui import VercelUI
from nbstream.sources.http.call import Call
from nbstream.transcript import AgentText


def hears(*chunks):
    """Return what *chunks* give."""
    return heard(VercelUI(), data(*chunks))


def test_a_whole_message_at_every_split():
    """Text, reasoning, a tool call and a step that was taken back come out the same however the bytes are cut."""
    whole = heard(VercelUI(), agent_wire.VERCEL)
    assert said(whole) == agent_wire.VERCEL_SAYS
    assert whole[-1].end == End("stop", "stop")
    for cut in range(1, len(agent_wire.VERCEL)):
        assert heard(VercelUI(), agent_wire.VERCEL, cut) == whole, cut


def test_a_tool_call_and_its_result():
    """Id and name come once, arguments as pieces and not again as a whole; the result as text or JSON."""
    calls = [part for part in parts(heard(VercelUI(), agent_wire.VERCEL)) if part.kind.startswith("tool")]
    assert calls == [
        Part("tool_call", fields={"index": 0, "args_delta": "", "id": "c1", "name": "weather"}),
        Part("tool_call", fields={"index": 0, "args_delta": '{"city": "Zü'}),
        Part("tool_call", fields={"index": 0, "args_delta": 'rich"}'}),
        Part("tool_call", fields={"index": 0, "args_delta": "", "final": True}),
        Part("tool_result", fields={"id": "c1", "content": '{"wind": 7}'}),
    ]
    at_once = hears(
        {"type": "tool-input-available", "toolCallId": "c2", "toolName": "add", "input": {"a": 1}},
        {"type": "tool-output-available", "toolCallId": "c2", "output": "so far", "preliminary": True},
        {"type": "tool-output-error", "toolCallId": "c2", "errorText": "no"},
    )
    assert [part.fields for part in parts(at_once)] == [
        {"index": 0, "args_delta": "", "id": "c2", "name": "add"},
        {"index": 0, "args_delta": '{"a": 1}', "final": True},
        {"id": "c2", "content": "no", "failed": True},
    ]


def test_a_reset_takes_back_the_step_and_nothing_before_it():
    """Text, reasoning and tool calls since `start-step` are taken back, in code points; without a step, everything."""
    said_before = [{"type": "text-delta", "id": "a", "delta": "é😀"}, {"type": "start-step"}]
    step = [
        {"type": "text-delta", "id": "b", "delta": "x"},
        {"type": "reasoning-delta", "id": "c", "delta": "y"},
        {"type": "tool-input-start", "toolCallId": "c1", "toolName": "add"},
        {"type": "reset-step"},
    ]
    assert [part for part in parts(hears(*said_before, *step)) if part.kind == "truncate"] == [
        Part("truncate", fields={"length": 2}),
        Part("truncate", fields={"length": 0, "of": "reasoning"}),
        Part("truncate", fields={"length": 0, "of": "tool_call"}),
    ]
    assert said(hears(said_before[0], {"type": "reset-step"})) == {}
    assert parts(hears(said_before[0], said_before[1], {"type": "reset-step"}))[1:] == []
    again = hears(*said_before, *step, {"type": "text-delta", "id": "d", "delta": "z"})
    assert said(again) == {("assistant", "text"): "é😀\n\nz"}


@pytest.mark.parametrize("streams_first", [True, False])
@pytest.mark.parametrize("streams_again", [True, False])
def test_a_call_of_a_step_that_is_told_again_is_a_new_one(streams_first, streams_again):
    """A reset takes the step's calls back for good: the same id behind it begins anew, with name and arguments."""

    def call(*, streams):
        about = {"toolCallId": "c1", "toolName": "search"}
        whole = {"type": "tool-input-available", **about, "input": {"q": "x"}}
        if not streams:
            return [whole]
        pieces = [{"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": one} for one in ('{"q": ', '"x"}')]
        return [{"type": "tool-input-start", **about}, *pieces, whole]

    kept = {"type": "tool-input-available", "toolCallId": "c0", "toolName": "add", "input": 1}
    arrivals = hears(
        kept, {"type": "start-step"}, *call(streams=streams_first), {"type": "reset-step"},
        *call(streams=streams_again),
        {"type": "tool-output-available", "toolCallId": "c0", "output": "2"},
    )  # fmt: skip
    text = AgentText("assistant")
    for part in parts(arrivals):
        text.add(part)
    assert text.tool_calls == [
        {"index": 0, "id": "c0", "name": "add", "arguments": "1"},
        {"index": 1, "id": "c1", "name": "search", "arguments": '{"q": "x"}'},
    ]


def test_messages_are_set_apart_by_one_blank_line():
    """Two parts of text are two paragraphs, whatever line ends they bring."""
    for first, joined in (("a", "a\n\nb"), ("a\n", "a\n\nb"), ("a\n\n", "a\n\nb")):
        two = hears({"type": "text-delta", "id": "1", "delta": first}, {"type": "text-delta", "id": "2", "delta": "b"})
        assert said(two) == {("assistant", "text"): joined}


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        ({"type": "error", "errorText": "no <b>money</b>"}, "no money"),
        ({"type": "abort", "reason": "user cancelled"}, "aborted the message: user cancelled"),
        ({"type": "finish", "finishReason": "error"}, "finishReason 'error'"),
    ],
)
def test_errors_are_no_success(chunk, message):
    """An error, an abort and a finish by error raise at once, so that a `[DONE]` behind them is never seen."""
    with pytest.raises(SourceRefused, match=message):
        heard(VercelUI(), data(chunk) + b"data: [DONE]\n\n")


def test_the_end_mark():
    """`[DONE]` ends; the end of the connection only behind a `finish`; the reason is told in both words."""
    reader = VercelUI()
    heard(reader, data({"type": "text-delta", "id": "1", "delta": "a"}))
    assert reader.eof() is None
    heard(reader, data({"type": "finish", "finishReason": "content-filter"}))
    assert reader.eof().end == End("content_filter", "content-filter")
    assert heard(VercelUI(), b"data: [DONE]\n\n")[-1].end == End()


def test_usage_model_approval_and_the_unknown():
    """Metadata may tell usage and model; an approval is a wait; what has no meaning here is named only."""
    metadata = {"totalUsage": {"inputTokens": 3, "outputTokens": 4}, "model": "m-1"}
    arrivals = hears(
        {"type": "start", "messageMetadata": metadata},
        {"type": "tool-input-start", "toolCallId": "c1", "toolName": "pay"},
        {"type": "tool-approval-request", "approvalId": "a1", "toolCallId": "c1"},
        {"type": "data-weather", "data": {"secret": 1}},
        {"type": "text-end", "id": "t"},
    )
    assert (arrivals[0].usage, arrivals[0].model) == ({"input": 3, "output": 4}, "m-1")
    assert parts(arrivals)[1:] == [
        Part("waiting", fields={"on": "approval of pay"}),
        Part("raw", fields={"type": "data-weather"}),
    ]


@pytest.mark.parametrize(
    "chunk",
    [
        {"no": "type"}, {"type": 5}, {"type": "text-delta", "id": "t"}, {"type": "text-delta", "id": "t", "delta": 5},
        {"type": "tool-input-delta", "toolCallId": "unknown", "inputTextDelta": "x"}, [1], "text",
    ],
)  # fmt: skip
def test_what_is_no_chunk_is_malformed_and_quoted(chunk):
    """What breaks the format is an error that quotes it."""
    with pytest.raises(SourceMalformed) as caught:
        hears(chunk)
    assert repr(json.dumps(chunk))[:40] in str(caught.value)


def test_auto_knows_it_by_header_or_by_its_first_chunk():
    """The header alone decides, also where the first chunk is one that tells nothing."""
    reader = Auto(None)
    reader.met(Call.of("GET", "http://127.0.0.1/"), {"x-vercel-ai-ui-message-stream": "v1"})
    assert said(heard(reader, data({"type": "text-delta", "id": "t", "delta": "a"}))) == {("assistant", "text"): "a"}
    assert said(heard(Auto(None), agent_wire.VERCEL)) == agent_wire.VERCEL_SAYS

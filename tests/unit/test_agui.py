"""AG-UI: what its events say, however the bytes come; the protocol's own models agree that they are its events."""

import json

import agent_wire
import pytest
from ag_ui.core import Event
from agent_wire import agui, data, heard, parts, said, text_message
from pydantic import TypeAdapter

from nbstream.errors import SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import End
from nbstream.sources.formats.agui import AGUI
from nbstream.sources.formats.registry import Auto
from nbstream.wire.sse import SSEParser

MODEL = TypeAdapter(Event)


def hears(*events):
    """Return what *events* give, each of which must be an AG-UI event."""
    for event in events:
        MODEL.validate_python(event)
    return heard(AGUI(), data(*events))


def test_a_whole_run_at_every_split():
    """Text of two agents, reasoning and a tool call come out the same however the bytes are cut."""
    whole = heard(AGUI(), agent_wire.AGUI)
    assert said(whole) == agent_wire.AGUI_SAYS
    assert whole[-1].end == End()
    for cut in range(1, len(agent_wire.AGUI)):
        assert heard(AGUI(), agent_wire.AGUI, cut) == whole, cut


def test_the_sample_is_of_the_protocol():
    """The models of ag-ui-protocol take every event of the sample."""
    for event in SSEParser().feed(agent_wire.AGUI):
        MODEL.validate_json(event.data)


def test_tool_calls_and_results_belong_to_who_made_them():
    """Arguments come in pieces, the result goes to the caller; chunks may leave out what has not changed."""
    calls = [part for part in parts(heard(AGUI(), agent_wire.AGUI)) if part.kind.startswith("tool")]
    assert calls == [
        Part("tool_call", fields={"index": 0, "args_delta": "", "id": "c1", "name": "weather"}),
        Part("tool_call", fields={"index": 0, "args_delta": '{"city": "Zü'}),
        Part("tool_call", fields={"index": 0, "args_delta": 'rich"}'}),
        Part("tool_call", fields={"index": 0, "args_delta": "", "final": True}),
        Part("tool_result", fields={"id": "c1", "content": "windig"}),
    ]
    chunks = hears(
        {"type": "TOOL_CALL_CHUNK", "toolCallId": "c2", "toolCallName": "add", "subagentRunId": "s9", "delta": "{"},
        {"type": "TOOL_CALL_CHUNK", "delta": "}"},
        {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c2", "content": [{"type": "text", "text": "3"}]},
    )
    assert [(part.agent, part.kind) for part in parts(chunks)] == [("s9", "tool_call")] * 3 + [("s9", "tool_result")]
    assert parts(chunks)[-1].fields == {"id": "c2", "content": "3"}


def test_subagents_have_names_parents_and_ends():
    """Two invocations of one subagent are two agents; each says whose work it is part of, and how it ended."""
    arrivals = hears(
        {"type": "SUBAGENT_STARTED", "subagentRunId": "s1", "name": "reporter"},
        {"type": "SUBAGENT_STARTED", "subagentRunId": "s2", "name": "reporter", "parentSubagentRunId": "s1"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m1", "delta": "a", "subagentRunId": "s1"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m2", "delta": "b", "subagentRunId": "s2"},
        {"type": "SUBAGENT_FINISHED", "subagentRunId": "s2", "outcome": {"type": "suspended"}},
        {"type": "SUBAGENT_ERROR", "subagentRunId": "s1", "message": "lost"},
    )
    assert parts(arrivals) == [
        Part("agent_start", agent="reporter", fields={"name": "reporter", "parent": "assistant"}),
        Part("agent_start", agent="reporter-2", fields={"name": "reporter-2", "parent": "reporter"}),
        Part("text", "a", "reporter"),
        Part("text", "b", "reporter-2"),
        Part("agent_end", agent="reporter-2", fields={"status": "interrupted"}),
        Part("agent_end", agent="reporter", fields={"status": "failed", "message": "lost"}),
    ]


def test_a_step_speaks_while_it_is_alone():
    """Graphs run a node as a step: its text is that of an agent; between steps, and in two at once, it is not."""
    step = {"type": "STEP_STARTED", "stepName": "planner"}
    arrivals = hears(
        step, *text_message("m1", "a"), {"type": "STEP_FINISHED", "stepName": "planner"}, *text_message("m2", "b"),
        step, {"type": "STEP_STARTED", "stepName": "inner", "subagentRunId": "s1"}, *text_message("m3", "c"),
        {"type": "STEP_STARTED", "stepName": "other"}, *text_message("m4", "d"), *text_message("m5", "e", name="Ada"),
    )  # fmt: skip
    assert said(arrivals) == {
        ("planner", "text"): "a\n\nc",
        ("assistant", "text"): "b\n\nd",
        ("Ada", "text"): "e",
    }


def test_interleaved_messages_keep_apart():
    """Content finds its message, and with it its agent, by id."""
    arrivals = hears(
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant", "subagentRunId": "s1"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m2", "role": "assistant", "subagentRunId": "s2"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "a"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m2", "delta": "b"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "c"},
    )
    assert said(arrivals) == {("s1", "text"): "ac", ("s2", "text"): "b"}


@pytest.mark.parametrize("role", ["system", "developer", "user"])
def test_only_the_assistant_speaks(role):
    """What others said is no answer, in messages and in chunks; a message without a role is the assistant's."""
    arrivals = hears(
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": role},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "You are a secret agent"},
        {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
        {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m2", "role": role, "delta": "of the "},
        {"type": "TEXT_MESSAGE_CHUNK", "delta": "queen"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m3"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m3", "delta": "Yes."},
    )
    assert said(arrivals) == {("assistant", "text"): "Yes."}


def test_reasoning_is_its_subagents_when_only_its_start_says_so():
    """As for text, whoever begins a message says all of it; a chunk without an id goes on."""
    arrivals = hears(
        {"type": "SUBAGENT_STARTED", "subagentRunId": "s1", "name": "reporter"},
        {"type": "REASONING_MESSAGE_START", "messageId": "r1", "role": "reasoning", "subagentRunId": "s1"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r1", "delta": "hm"},
        {"type": "REASONING_MESSAGE_CHUNK", "delta": "m"},
        {"type": "REASONING_MESSAGE_END", "messageId": "r1"},
        {"type": "REASONING_MESSAGE_START", "messageId": "r2", "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r2", "delta": "so"},
    )
    assert said(arrivals) == {("reporter", "reasoning"): "hmm", ("assistant", "reasoning"): "so"}


def test_a_name_that_is_empty_names_nobody():
    """Text in a step without a name is the assistant's, and that of a subagent without one its own: none is lost."""
    arrivals = hears(
        {"type": "STEP_STARTED", "stepName": ""},
        *text_message("m1", "a"),
        {"type": "STEP_FINISHED", "stepName": ""},
        {"type": "SUBAGENT_STARTED", "subagentRunId": "s1", "name": ""},
        *text_message("m2", "b", subagentRunId="s1"),
    )
    assert said(arrivals) == {("assistant", "text"): "a", ("s1", "text"): "b"}


def test_a_subagent_that_was_stopped_is_no_failure():
    """The protocol has no word for it: its error code says so, as the relay sends it."""
    arrivals = hears(
        {"type": "SUBAGENT_STARTED", "subagentRunId": "s1", "name": "reporter"},
        {"type": "SUBAGENT_ERROR", "subagentRunId": "s1", "message": "stopped", "code": "stopped"},
    )
    assert parts(arrivals)[-1] == Part("agent_end", agent="reporter", fields={"status": "stopped"})


def test_an_interrupt_is_a_pause():
    """The run waits: the questions are parts, and the end says so."""
    question = {"id": "i1", "reason": "approval", "message": "Send it?"}
    outcome = {"type": "interrupt", "interrupts": [question, {"id": "i2", "reason": "input"}]}
    run = {"threadId": "t", "runId": "r"}
    end = hears({"type": "RUN_FINISHED", **run, "outcome": outcome})[-1]
    assert end.end == End("pause", "interrupt")
    assert [part.fields for part in end.parts] == [{"on": "Send it?"}, {"on": "input"}]
    older = hears({"type": "CUSTOM", "name": "on_interrupt", "value": {"ask": 1}})
    assert parts(older) == [Part("waiting", fields={"on": '{"ask": 1}'})]


def test_the_end_tells_usage_and_pending_tools():
    """Usage is the sum over the models; tool calls that a client must make are the reason to stop."""
    usage = [{"model": "a", "inputTokens": 3, "outputTokens": 4}, {"model": "b", "outputTokens": 5}]
    outcome = {"type": "success", "pendingToolCallIds": ["c1"]}
    run = {"threadId": "t", "runId": "r"}
    end = hears({"type": "RUN_FINISHED", **run, "usage": usage, "outcome": outcome})[-1]
    assert end.end == End("tool_calls", "success")
    assert end.usage == {"input": 3, "output": 9}


@pytest.mark.parametrize(
    ("event", "message", "retryable"),
    [
        ({"type": "RUN_ERROR", "message": "no model"}, "no model", False),
        ({"type": "RUN_ERROR", "message": "busy", "code": "RATE_LIMIT_EXCEEDED"}, "busy", True),
        ({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "cancelled"}}, "cancelled", False),
    ],
)
def test_errors_are_no_success(event, message, retryable):
    """An error, and a run that was cancelled, raise in the upstream's words."""
    with pytest.raises(SourceRefused, match=message) as caught:
        hears(event)
    assert caught.value.retryable is retryable


def test_without_its_end_mark_a_run_is_not_complete():
    """The end of the connection says nothing."""
    reader = AGUI()
    heard(reader, data(*text_message("m1", "a")))
    assert reader.eof() is None


def test_an_agent_that_does_not_stream_is_heard_at_the_end():
    """A snapshot of the conversation is no output, but where nothing else came its last answer is."""
    messages = [{"id": "1", "role": "user", "content": "q"}, {"id": "2", "role": "assistant", "content": "the answer"}]
    snapshot = {"type": "MESSAGES_SNAPSHOT", "messages": messages}
    assert said(heard(AGUI(), agui(snapshot))) == {("assistant", "text"): "the answer"}
    assert said(heard(AGUI(), agui(*text_message("m", "streamed"), snapshot))) == {("assistant", "text"): "streamed"}


def test_the_unknown_is_named_only_and_state_is_no_output():
    """What no reader here understands comes out by its type; state, the user's own words and old names do not."""
    arrivals = heard(
        AGUI(),
        data(
            {"type": "STATE_SNAPSHOT", "snapshot": {"secret": 1}},
            {"type": "TEXT_MESSAGE_CHUNK", "messageId": "u", "role": "user", "delta": "mine"},
            {"type": "SOMETHING_NEW", "secret": 1},
            {"type": "CUSTOM", "name": "chart", "value": 1},
            {"type": "THINKING_TEXT_MESSAGE_CONTENT", "delta": "hm"},
        ),
    )
    assert parts(arrivals) == [
        Part("raw", fields={"type": "SOMETHING_NEW"}),
        Part("raw", fields={"type": "CUSTOM chart"}),
        Part("reasoning", "hm"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"no": "type"}, {"type": 5}, {"type": "TEXT_MESSAGE_CONTENT", "delta": "a"}, [1], "text",
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": 5}, {"type": "RUN_ERROR"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "unknown", "delta": "x"},
    ],
)  # fmt: skip
def test_what_is_no_event_is_malformed_and_quoted(event):
    """What breaks the format is an error that quotes it."""
    with pytest.raises(SourceMalformed) as caught:
        heard(AGUI(), data(event))
    assert repr(json.dumps(event))[:40] in str(caught.value)


def test_auto_knows_it_by_its_first_event():
    """A run begins with `RUN_STARTED`."""
    assert said(heard(Auto(None), agent_wire.AGUI)) == agent_wire.AGUI_SAYS

"""What agent frameworks yield in Python, recognised by shape: LangGraph, LangChain, AG-UI events, the Agents SDK."""

import enum
from types import SimpleNamespace as Thing

import agent_wire
import pytest
from agent_wire import parts, said

from nbstream.errors import SourceLost, SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import End
from nbstream.sources.objects.items import ItemReader


def hears(*items, end=True):
    """Return what an iterator of *items* says."""
    reader = ItemReader()
    arrivals = [reader.read(item) for item in items]
    return [*arrivals, reader.eof()] if end else arrivals


class Message(Thing):
    """A message as LangChain has it."""

    def model_dump(self):
        return dict(vars(self))


def chunk(content, key="m1", **more):
    """Return a piece of a message."""
    return Message(type="AIMessageChunk", content=content, id=key, **more)


def whole(content, key="m1", kind="ai"):
    """Return a whole message."""
    return Message(type=kind, content=content, id=key)


def about(node, step=1):
    """Return the metadata that a graph sends with a message."""
    return {"langgraph_node": node, "langgraph_step": step, "langgraph_checkpoint_ns": f"{node}:1"}


ASK = Thing(id="i1", value={"ask": "Send it?"})


@pytest.mark.parametrize(
    "items",
    [
        [((), "messages", (chunk("Hel"), about("writer"))), ((), "messages", (chunk("lo"), about("writer"))),
         ((), "updates", {"writer": {"messages": [whole("Hello")]}})],
        [("messages", (chunk("Hel"), about("writer"))), ("messages", (chunk("lo"), about("writer"))),
         ("updates", {"writer": None}), ("values", {"messages": [whole("Hello")], "other": object()})],
        [(chunk("Hel"), about("writer")), (chunk("lo"), about("writer"))],
        [{"type": "messages", "ns": (), "data": (chunk("Hello"), about("writer"))}],
        [((), (chunk("Hello"), about("writer")))],
        [{"event": "on_chain_start", "data": {}}, {"event": "on_chain_end", "data": {"output": whole("Hello")}},
         {"event": "on_chat_model_stream", "data": {"chunk": chunk("Hello")}, "metadata": about("writer")}],
        [{"writer": {"messages": [whole("Hello")], "other": object()}}],
    ],
    ids=["all", "modes", "messages", "v2", "subgraphs", "events", "updates"],
)  # fmt: skip
def test_every_way_a_graph_streams(items):
    """However many modes were asked for, with subgraphs or without: the node's text, once."""
    arrivals = hears(*items)
    assert said(arrivals) == {("writer", "text"): "Hello"}
    assert arrivals[-1].end == End()
    assert [part for part in parts(arrivals) if part.kind == "raw"] == []


def test_the_states_of_a_graph():
    """Only `values`: the first state is the question, what is added to it the answer."""
    arrivals = hears({"messages": [whole("q", "q", "human")]}, {"messages": [whole("q", "q", "human"), whole("Hello")]})
    assert list(said(arrivals).values()) == ["Hello"]


def test_a_graph_that_waits_for_a_person():
    """An interrupt is a wait, and the end of the iterator is a pause."""
    arrivals = hears(((), "messages", (chunk("a"), about("w"))), ((), "updates", {"__interrupt__": (ASK,)}))
    assert parts(arrivals)[-1] == Part("waiting", agent="w", fields={"on": '{"ask": "Send it?"}'})
    assert arrivals[-1].end == End("pause", "interrupt")
    assert hears({"__interrupt__": (ASK,)})[-1].end == End("pause", "interrupt")


def test_a_model_alone_has_one_voice():
    """`model.stream()` yields messages without a graph: the assistant speaks, and nobody is introduced."""
    arrivals = hears(chunk("Hel"), chunk("lo"), chunk(""))
    assert parts(arrivals) == [Part("text", "Hel"), Part("text", "lo")]


def told(**about):
    """Return the metadata of a piece of an OpenAI model's message."""
    return {"model_provider": "openai", **about}


LAST = chunk("", chunk_position="last", response_metadata={})


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("tool_calls", "tool_calls"), ("length", "length"), ("odd", "other"), ("end_turn", "stop")],
)
def test_why_a_message_of_a_model_ended(reason, finish):
    """Where the integration writes down why, it is the stream's finish; under whichever name, and with a new id."""
    for name in ("finish_reason", "stop_reason", "done_reason", "status"):
        pieces = [chunk("Hel", "resp_1", response_metadata=told()), chunk("lo", "run-2", response_metadata=told())]
        end = chunk("", "run-2", response_metadata=told(**{name: reason}))
        counted = chunk("", "run-2", response_metadata=told(), usage_metadata={"output_tokens": 2})
        assert hears(*pieces, end, counted, LAST)[-1].end == End(finish, reason)


def test_a_message_that_was_cut_under_langchain():
    """LangChain passes a cut stream on as a whole one: an integration that always says how it ends did not."""
    piece = chunk("Hel", response_metadata=told())
    for items in ([piece], [piece, LAST], [(piece, about("writer"))], [(chunk("a"), {"ls_provider": "ollama"})]):
        with pytest.raises(SourceLost, match="without a finish_reason"):
            hears(*items)
    assert hears(chunk("Hel", response_metadata={"model_provider": "somebody"}), LAST)[-1].end == End()


def test_each_node_s_message_needs_its_end():
    """Two nodes at once: the end of one is not that of the other."""

    def says(node, **more):
        return chunk("x", node, response_metadata=told(**more)), about(node)

    whole_one = [says("one"), says("two"), says("one", finish_reason="stop")]
    with pytest.raises(SourceLost):
        hears(*whole_one)
    assert hears(*whole_one, says("two", finish_reason="stop"))[-1].end == End("stop", "stop")


def event(kind, run="r1", parents=(), **data):
    """Return an event of `astream_events`."""
    return {"event": kind, "run_id": run, "parent_ids": list(parents), "name": "x", "metadata": {}, "data": data}


def test_the_events_of_a_run():
    """Each text once: of models that stream as they do, of others as a whole, of chains without a model theirs."""
    streams = [
        event("on_chain_start", "r0", input="q"),
        event("on_chat_model_stream", "r1", ["r0"], chunk=chunk("Hel")),
        event("on_chain_stream", "r0", chunk=chunk("Hel")),
        event("on_chat_model_stream", "r1", ["r0"], chunk=chunk("lo")),
        event("on_parser_stream", "r2", ["r0"], chunk="lo"),
        event("on_chain_stream", "r0", chunk="lo"),
        event("on_chat_model_end", "r1", ["r0"], output=whole("Hello")),
        event("on_chain_end", "r0", output=whole("Hello")),
    ]
    assert said(hears(*streams)) == {("assistant", "text"): "Hello"}
    silent = [event("on_chat_model_start"), event("on_chat_model_end", output=whole("Hello"))]
    assert list(said(hears(*silent)).values()) == ["Hello"]
    chain = [event("on_chain_stream", "r2", ["r0"], chunk="Hel"), event("on_chain_stream", "r0", chunk="Hel"),
             event("on_chain_stream", "r0", chunk="lo"), event("on_chain_end", "r0", output="Hello")]  # fmt: skip
    assert said(hears(*chain)) == {("assistant", "text"): "Hello"}
    completed = [event("on_llm_stream", chunk=Thing(text="Hel")), event("on_llm_stream", chunk="lo")]
    assert said(hears(*completed)) == {("assistant", "text"): "Hello"}


def test_what_a_tool_answered_among_the_events_of_a_run():
    """It belongs to the call of the model that asked."""
    asks = chunk("", tool_call_chunks=[{"index": 0, "id": "c1", "name": "weather", "args": "{}"}])
    answer = Message(type="tool", content="windig", tool_call_id="c1", id="t1")
    arrivals = hears(event("on_chat_model_stream", chunk=asks), event("on_tool_end", "r2", output=answer))
    assert [part.fields for part in parts(arrivals) if part.kind == "tool_result"] == [
        {"id": "c1", "content": "windig"}
    ]


class Kind(str, enum.Enum):
    RUN_STARTED = "RUN_STARTED"
    TEXT = "TEXT_MESSAGE_CHUNK"
    RUN_FINISHED = "RUN_FINISHED"


class Event:
    def __init__(self, kind, **fields):
        self.type, self._fields = kind, fields

    def model_dump(self, **_):
        return {"type": self.type.value, **self._fields}


RUN = {"threadId": "t", "runId": "r"}


def test_events_of_ag_ui_as_objects_and_as_dicts():
    """What `AGUIAdapter.run_stream()` yields: the run's own end is the end."""
    events = [Event(Kind.RUN_STARTED, **RUN), Event(Kind.TEXT, messageId="m", delta="Hello")]
    arrivals = hears(*events, Event(Kind.RUN_FINISHED, **RUN))
    assert said(arrivals) == {("assistant", "text"): "Hello"}
    assert arrivals[-1].end == End()
    dicts = [{"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "Hello"}, {"type": "RUN_FINISHED", **RUN}]
    assert said(hears(*dicts)) == {("assistant", "text"): "Hello"}
    with pytest.raises(SourceLost, match="RUN_FINISHED"):
        hears(*events)


# The OpenAI Agents SDK


def raw(kind, index=0, **fields):
    """Return an event of the model."""
    return Thing(type="raw_response_event", data=Thing(type=f"response.{kind}", output_index=index, **fields))


def done(name, item):
    """Return an event of the SDK about *item*."""
    return Thing(type="run_item_stream_event", name=name, item=item)


def speaker(name):
    """Return the event that says who runs."""
    return Thing(type="agent_updated_stream_event", new_agent=Thing(name=name))


CALL = Thing(type="function_call", call_id="c1", id="f1", name="weather", arguments='{"city": "Zürich"}')
COMPLETED = raw("completed", response=Thing(model="m-1", usage=Thing(input_tokens=3, output_tokens=2, total_tokens=5)))
HAND_OFF = [
    speaker("triage"),
    raw("reasoning_summary_text.delta", delta="hm"),
    raw("output_text.delta", 1, delta="I ask "),
    raw("output_text.delta", 1, delta="übers Wetter."),
    raw("output_item.added", 2, item=CALL),
    raw("function_call_arguments.delta", 2, delta='{"city": "Zü'),
    raw("function_call_arguments.delta", 2, delta='rich"}'),
    raw("output_item.done", 2, item=CALL),
    COMPLETED,
    done("tool_called", Thing(raw_item=CALL)),
    done("tool_output", Thing(raw_item={"call_id": "c1", "output": "windig"}, output="windig")),
    speaker("weather"),
    raw("output_text.delta", delta="Windig."),
    COMPLETED,
    done("message_output_created", Thing(raw_item=Thing(id="x", content=[Thing(text="Windig.")]))),
    speaker("triage"),
    raw("output_text.delta", delta="Done."),
]


def test_a_hand_off_of_the_agents_sdk():
    """Text belongs to the agent that runs; one that runs again goes on in its own words; usage adds up."""
    arrivals = hears(*HAND_OFF)
    assert said(arrivals) == {
        ("triage", "reasoning"): "hm",
        ("triage", "text"): "I ask übers Wetter.\n\nDone.",
        ("weather", "text"): "Windig.",
    }
    told = [(part.kind, part.agent) for part in parts(arrivals) if part.kind.startswith("agent")]
    assert told == [
        ("agent_start", "triage"), ("agent_end", "triage"), ("agent_start", "weather"), ("agent_end", "weather"),
        ("agent_start", "triage"),
    ]  # fmt: skip
    calls = [part.fields for part in parts(arrivals) if part.kind == "tool_call"]
    assert "".join(call["args_delta"] for call in calls) == agent_wire.WEATHER["arguments"]
    assert calls[-1] == {"index": 0, "args_delta": "", "final": True}
    assert [part.fields for part in parts(arrivals) if part.kind == "tool_result"] == [
        {"id": "c1", "content": "windig"}
    ]
    assert [one.usage for one in arrivals if one.usage][-1] == {"input": 6, "output": 4, "total": 10}


def test_a_model_of_the_agents_sdk_that_does_not_stream():
    """Without pieces the message and the call come as a whole."""
    spoken = Thing(raw_item=Thing(id="x", content=[Thing(text="Hello")]))
    arrivals = hears(speaker("one"), done("tool_called", Thing(raw_item=CALL)), done("message_output_created", spoken))
    assert said(arrivals) == {("one", "text"): "Hello"}
    calls = [part.fields for part in parts(arrivals) if part.kind == "tool_call"]
    assert "".join(call["args_delta"] for call in calls) == CALL.arguments


def test_a_model_that_fails_is_no_success():
    """The error of an answer ends the stream in its words."""
    failed = raw("failed", response=Thing(error=Thing(message="no credit")))
    with pytest.raises(SourceRefused, match="no credit"):
        hears(speaker("one"), failed)


# pydantic-ai


def starts(index, kind, **fields):
    """Return the event that a part begins."""
    return Thing(event_kind="part_start", index=index, part=Thing(part_kind=kind, **fields))


def grows(index, kind, **fields):
    """Return the event that a part goes on."""
    return Thing(event_kind="part_delta", index=index, delta=Thing(part_delta_kind=kind, **fields))


def ends(index, **fields):
    """Return the event that a part has ended."""
    return Thing(event_kind="part_end", index=index, part=Thing(**fields))


def asks(*events, args):
    """Return the events of a call to a tool, and of its result."""
    return [
        starts(1, "tool-call", tool_call_id="c1", tool_name="weather", args=None), *events, ends(1, args=args),
        Thing(event_kind="function_tool_call", part=Thing(part_kind="tool-call", tool_call_id="c1", args=args)),
        Thing(event_kind="function_tool_result",
              part=Thing(part_kind="tool-return", tool_call_id="c1", content="windig")),
    ]  # fmt: skip


USED = Thing(input_tokens=3, output_tokens=2, cache_read_tokens=1)
RESULT = Thing(output="Windig.", response=Thing(model_name="m-1"), usage=USED)


@pytest.mark.parametrize(
    "calls",
    [
        asks(*(grows(1, "tool_call", args_delta=one) for one in ('{"city": ', '"Z"}')), args='{"city": "Z"}'),
        asks(args={"city": "Z"}),
        asks(grows(1, "tool_call", args_delta={"city": "Z"}), args={"city": "Z"}),
    ],
    ids=["pieces", "at once", "dicts"],
)  # fmt: skip
def test_a_run_of_pydantic_ai(calls):
    """Parts of two answers with a tool between them, and the result, which holds the text again."""
    events = [
        starts(0, "thinking", content="h"), grows(0, "thinking", content_delta="m"),
        grows(0, "thinking", content_delta=None), ends(0, content="hm"), *calls,
        starts(0, "text", content="Win"), Thing(event_kind="final_result", tool_name=None),
        grows(0, "text", content_delta="dig."), ends(0, content="Windig."),
        Thing(event_kind="agent_run_result", result=RESULT),
    ]  # fmt: skip
    arrivals = hears(*events)
    assert said(arrivals) == {("assistant", "reasoning"): "hm", ("assistant", "text"): "Windig."}
    told = [part.fields for part in parts(arrivals) if part.kind == "tool_call"]
    assert "".join(call["args_delta"] for call in told) == '{"city": "Z"}'
    assert (told[0]["id"], told[0]["name"], told[-1]["final"]) == ("c1", "weather", True)
    assert [part.fields for part in parts(arrivals) if part.kind == "tool_result"] == [
        {"id": "c1", "content": "windig"}
    ]
    assert arrivals[-2].usage == {"input": 3, "output": 2, "cached": 1}
    assert arrivals[-2].model == "m-1"
    assert [part for part in parts(arrivals) if part.kind == "raw"] == []


def test_an_older_result_of_pydantic_ai():
    """Its usage was a method."""
    event = Thing(event_kind="agent_run_result", result=Thing(usage=lambda: USED))
    assert hears(starts(0, "text", content="a"), event)[1].usage == {"input": 3, "output": 2, "cached": 1}


@pytest.mark.parametrize(
    "item",
    [((), "messages", 5), ("messages", chunk("a")), Thing(type="raw_response_event"),
     {"type": "TEXT_MESSAGE_CONTENT"}, Thing(event_kind="part_start"), grows(7, "tool_call", args_delta="x")],
)  # fmt: skip
def test_what_has_the_shape_but_not_the_content_is_malformed(item):
    """It is an error that quotes the item, not a crash."""
    with pytest.raises(SourceMalformed, match="no chunk"):
        hears(item)


def test_what_is_no_framework_s_stays_what_it_was():
    """Tuples and objects of other shapes are named by type, as before."""
    arrivals = hears("text", ("agent", "text"), Thing(type="other"), {"a": {"b": 1}}, end=False)
    assert [part.fields["type"] for part in parts(arrivals)[1:3]] == ["tuple", "SimpleNamespace"]

"""LangGraph's runs: who speaks, what its modes say, and places that survive twins: two events with one id."""

import json
import random

import agent_wire
import pytest
from agent_wire import data, heard, langgraph, parts, piece, said

from nbstream.errors import SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import End
from nbstream.sources.formats.langgraph import LangGraph
from nbstream.sources.formats.langgraph_run import LangGraphRun
from nbstream.sources.formats.registry import Auto
from nbstream.sources.http.call import Call


def hears(*events):
    """Return what *events* (name, data) give."""
    return heard(LangGraph(), b"".join(langgraph(*events)))


def test_a_whole_run_at_every_split():
    """Text of two agents, a tool call and its result come out the same however the bytes are cut."""
    whole = heard(LangGraph(), agent_wire.LANGGRAPH)
    assert said(whole) == agent_wire.LANGGRAPH_SAYS
    assert whole[-1].end == End()
    for cut in range(1, len(agent_wire.LANGGRAPH)):
        assert heard(LangGraph(), agent_wire.LANGGRAPH, cut) == whole, cut


def test_nodes_are_agents_that_begin_and_end():
    """A node speaks under its name, starts when it first speaks, ends with its update, and may start again."""
    marks = [part for part in parts(heard(LangGraph(), agent_wire.LANGGRAPH)) if part.kind.startswith("agent")]
    assert [(part.agent, part.kind, part.fields.get("parent")) for part in marks] == [
        ("planner", "agent_start", None),
        ("planner", "agent_end", None),
        ("reporter", "agent_start", "team"),
        ("planner", "agent_start", None),
        ("planner", "agent_end", None),
    ]


def test_a_tool_call_in_pieces_and_its_result():
    """Only the first piece has id and name; the result goes to who called, not to the node of the tools."""
    calls = [part for part in parts(heard(LangGraph(), agent_wire.LANGGRAPH)) if part.kind.startswith("tool")]
    assert calls == [
        Part("tool_call", agent="planner", fields={"index": 0, "args_delta": "", "id": "c1", "name": "weather"}),
        Part("tool_call", agent="planner", fields={"index": 0, "args_delta": '{"city": "Zü'}),
        Part("tool_call", agent="planner", fields={"index": 0, "args_delta": 'rich"}'}),
        Part("tool_result", agent="planner", fields={"id": "c1", "content": "windig"}),
    ]


def test_tasks_of_one_step_are_agents_of_their_own_and_a_loop_is_not():
    """Two tasks of a node at once are two voices; in the next step they are the same two again."""
    arrivals = hears(
        piece("a", "m1", "worker", task="x", step=1),
        piece("b", "m2", "worker", task="y", step=1),
        piece("c", "m1", "worker", task="x", step=1),
        piece("d", "m3", "worker", task="z", step=2),
        piece("e", "m4", "worker", task="w", step=2),
    )
    assert said(arrivals) == {("worker", "text"): "ac\n\nd", ("worker-2", "text"): "b\n\ne"}


def test_a_prebuilt_agent_speaks_under_the_name_of_its_subgraph():
    """`model` and `tools` are no names; two calls of a subgraph at once are two agents, one after the other one."""
    first, second, third = ("researcher:1",), ("researcher:2",), ("researcher:3",)
    arrivals = hears(
        piece("a", "m1", "model", namespace=first),
        piece("b", "m2", "model", namespace=second),
        ("updates", {"researcher": {}}),
        ("updates", {"researcher": {}}),
        piece("c", "m3", "model", namespace=third),
    )
    assert said(arrivals) == {("researcher", "text"): "a\n\nc", ("researcher-2", "text"): "b"}


def message(content, key="m1", kind="ai", **more):
    """Return a whole message."""
    return {"type": kind, "content": content, "id": key, **more}


def test_snapshots_give_only_what_is_new():
    """`messages/partial` repeats the message so far; what it says otherwise than before is taken back."""
    about = {"m1": {"metadata": {"langgraph_node": "writer"}}}
    arrivals = hears(
        ("messages/metadata", about),
        ("messages/partial", [message("Hel")]),
        ("messages/partial", [message("Hello 船")]),
        ("messages/complete", [message("Help 船!", tool_calls=[{"id": "c1", "name": "add", "args": {"a": 1}}])]),
    )
    assert [part for part in parts(arrivals) if part.kind in {"text", "truncate"}] == [
        Part("text", "Hel", "writer"),
        Part("text", "lo 船", "writer"),
        Part("truncate", agent="writer", fields={"length": 3}),
        Part("text", "p 船!", "writer"),
    ]
    assert [part.fields.get("args_delta") for part in parts(arrivals) if part.kind == "tool_call"] == ["", '{"a": 1}']


def test_updates_and_values_speak_where_nothing_better_does():
    """A run asked for `updates`, or for `values` only, is heard by whole messages; the first state is the question."""
    updates = hears(("updates", {"writer": {"messages": [message("Hello", "m2")]}}), ("end", None))
    assert said(updates) == {("writer", "text"): "Hello"}
    question = message("Tell me", "q", "human")
    values = hears(
        ("values", {"messages": [question]}),
        ("values", {"messages": [question, message("One.")]}),
        ("values", {"messages": [question, message("One."), message("Two.", "m2")]}),
    )
    assert "".join(said(values).values()) == "One.\n\nTwo."
    both = hears(piece("Hi", "m1", "writer"), ("updates", {"writer": {"messages": [message("Hi")]}}),
                 ("values", {"messages": [message("Hi")]}))  # fmt: skip
    assert said(both) == {("writer", "text"): "Hi"}


def test_reasoning_in_all_its_places():
    """Reasoning comes as a block of content, as a summary or beside the content."""
    blocks = [{"type": "reasoning", "summary": [{"text": "h"}]}, {"type": "thinking", "thinking": "m"},
              {"type": "text", "text": "so"}, "!"]  # fmt: skip
    assert said(hears(piece(blocks, "m1", "w"))) == {("w", "reasoning"): "hm", ("w", "text"): "so!"}
    beside = piece("so", "m1", "w", additional_kwargs={"reasoning_content": "hm"})
    assert said(hears(beside)) == {("w", "reasoning"): "hm", ("w", "text"): "so"}


def test_an_interrupt_is_a_pause_said_once():
    """It comes from the subgraph and from every graph around it: one question, and an end that is a pause."""
    asked = {"__interrupt__": [{"value": {"ask": "Send it?"}, "id": "i1"}]}
    arrivals = hears(piece("a", "m1", "w"), ("updates|team:1", asked), ("updates", asked), ("end", None))
    assert [part for part in parts(arrivals) if part.kind == "waiting"] == [
        Part("waiting", agent="w", fields={"on": '{"ask": "Send it?"}'})
    ]
    assert arrivals[-1].end == End("pause", "interrupt")


def test_usage_adds_up_and_the_unknown_is_named_only():
    """Usage is the sum of the run's calls; data and unknown modes are named by type, the machine's are not."""
    used = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    arrivals = hears(
        piece("a", "m1", "w", usage_metadata=used),
        piece("b", "m2", "w", usage_metadata=used),
        ("custom", {"secret": 1}),
        ("debug", {}),
        ("tasks|team:1", {}),
    )
    assert [arrival.usage for arrival in arrivals if arrival.usage][-1] == {"input": 6, "output": 4, "total": 10}
    assert [part.fields for part in parts(arrivals) if part.kind == "raw"] == [{"type": "custom"}]


def test_errors_are_no_success():
    """`event: error` raises, in the server's words; so does a run whose status says error."""
    with pytest.raises(SourceRefused, match=r"no key \(valueerror\)"):
        hears(("error", {"error": "ValueError", "message": "no key"}))
    with pytest.raises(SourceRefused, match="'error'"):
        LangGraph().finished("error")
    assert LangGraph().finished("success").end == End()
    assert LangGraph().finished("running") is None
    assert LangGraph().eof() is None


@pytest.mark.parametrize(
    "event",
    [("messages", {}), ("messages", [5, {}]), ("messages/partial", 5), ("updates", [1]),
     ("messages", [{"type": 5}, {}]), ("messages", [{"type": "tool", "content": "x"}, {}])],
)  # fmt: skip
def test_what_is_no_event_is_malformed(event):
    """What breaks the format is an error."""
    with pytest.raises(SourceMalformed, match="not of its format"):
        hears(event)


def test_auto_knows_it_by_the_name_of_its_first_event():
    """And the cursor carries the choice to the next connection."""
    events = langgraph(*agent_wire.LANGGRAPH_EVENTS, ids=["1"] * len(agent_wire.LANGGRAPH_EVENTS))
    arrivals = heard(Auto(None), b"".join(events))
    assert said(arrivals) == agent_wire.LANGGRAPH_SAYS
    cursor = arrivals[-2].cursor
    assert cursor["format"] == "langgraph"
    assert Auto(cursor).run.known == "r1"


@pytest.mark.parametrize("many", ["calls", "whole calls", "open calls", "tasks", "subgraphs", "snapshots", "questions"])
def test_the_place_of_a_record_does_not_grow_with_the_run(many):
    """P5: a cursor stands in every record, so it is no longer after 2,000 calls, tasks or questions than after 200."""
    reader, sizes, number = LangGraph(), [], 0
    for n in range(2000):
        key = f"{n:08d}-abc"
        call = {"id": f"call_{key}", "name": "s", "args": "{}", "index": 0}
        events = {
            "calls": [
                piece("", key, "agent", task=key, step=n, tool_call_chunks=[call]),
                ("messages", [{**agent_wire.TOOL_RESULT, "tool_call_id": call["id"]}, {"langgraph_node": "tools"}]),
            ],
            "whole calls": [
                ("updates", {"agent": {"messages": [message("", key, tool_calls=[{**call, "args": {}}])]}})
            ],
            "open calls": [piece("", key, "agent", task=key, step=n, tool_call_chunks=[call])],
            "tasks": [piece("hi", key, "worker", task=key)],
            "subgraphs": [piece("hi", key, "writer", task=key, namespace=(f"team:{key}",))],
            "snapshots": [
                (
                    "messages/metadata",
                    {key: {"metadata": {"langgraph_node": "w", "langgraph_checkpoint_ns": f"w:{key}"}}},
                ),
                ("messages/partial", [message("hi", key)]),
            ],
            "questions": [("updates", {"__interrupt__": [{"value": "?", "id": f"{key}"}]})],
        }[many]
        for raw in langgraph(*events, ids=[str(number := number + 1) for _ in events]):
            (arrival,) = heard(reader, raw)
        if n in {200, 1999}:
            sizes.append(len(json.dumps(arrival.cursor)))
    assert sizes[1] < sizes[0] + 100, sizes
    assert sizes[1] < 16 * 1024 / 2


def test_nobody_speaks_under_the_name_of_one_that_the_cursor_has_forgotten():
    """Behind a cut the newest are who they were; others go on as agents of their own, and no text is mixed."""
    events = [piece(f"{n} ", f"m{n}", "worker", task=f"t{n}") for n in range(100)]
    raw = langgraph(*events, ids=[str(n + 1) for n in range(100)])
    before = heard(LangGraph(), b"".join(raw))
    more = [piece("x", f"m{n}", "worker", task=f"t{n}") for n in (0, 99, 1)]
    again = heard(LangGraph(before[-1].cursor), b"".join(langgraph(*more, ids=["101", "102", "103"])))
    assert said(again) == {("worker-101", "text"): "x", ("worker-100", "text"): "x", ("worker-102", "text"): "x"}


def test_what_a_node_writes_is_shown():
    """Text from the stream writer, bare or as the only field, is the run's or its subgraph's; other data is named."""
    arrivals = hears(
        ("custom", "Hel"), ("custom", {"token": "lo"}), ("custom", ""), piece("Hi", "m1", "writer"), ("custom", "."),
        ("custom|team:7", {"token": "船"}), ("custom", {"progress": 1}), ("custom", {"a": "x", "b": "y"}),
        ("custom", [1]), ("custom", None),
    )  # fmt: skip
    assert said(arrivals) == {("assistant", "text"): "Hello.", ("writer", "text"): "Hi", ("team", "text"): "船"}
    assert [part.fields for part in parts(arrivals) if part.kind == "raw"] == [{"type": "custom"}] * 4


# Places


def run_with_twins(rng, count=40):
    """Return (id, bytes) of the events of a run in which ids come once, twice or three times."""
    events, ids, number, calls = [], [], 0, []
    for index in range(count):
        node = rng.choice(["planner", "worker"])
        task = rng.choice(["x", "y"]) if node == "worker" else "p"
        key, what = f"{node}{task}{index // 9}", rng.random()
        if what < 0.6 or not calls:
            calls.append((f"c{index}", key, node, task))
            first = [{"name": "add", "args": "[1", "id": f"c{index}", "index": index}]
            text = rng.choice(["ja ", "船", "🌬️ ", "so "])
            events.append(piece(text, key, node, task=task, tool_call_chunks=first if what < 0.2 else []))
            calls = calls if what < 0.2 else calls[:-1]
        elif what < 0.8:
            call, key, node, task = rng.choice(calls)
            more = [{"name": None, "args": ",2", "id": None, "index": int(call[1:])}]
            events.append(piece("", key, node, task=task, tool_call_chunks=more))
        elif what < 0.9:
            result = {**agent_wire.TOOL_RESULT, "tool_call_id": calls.pop(rng.randrange(len(calls)))[0]}
            events.append(("messages", [result, {"langgraph_node": "tools"}]))
        else:
            events.append(("custom", "wrote "))
        number += rng.choice([0, 0, 1])
        ids.append(f"{1000 + number}-0")
    return list(zip(ids, langgraph(*events, ids=ids), strict=True))


def after(sent, last):
    """Return the bytes a server sends behind the id *last*: nothing of that id, whoever has had it."""
    if last == "-1":
        return b"".join(raw for _, raw in sent)
    place = max(index for index, (event_id, _) in enumerate(sent) if event_id == last)
    return b"".join(raw for _, raw in sent[place + 1 :])


def test_a_cut_between_twins_loses_nothing_and_doubles_nothing(seed):
    """Cut behind every event and gone on behind the cursor of the last one: the text is that of the uncut run."""
    sent = run_with_twins(random.Random(seed))
    assert len({event_id for event_id, _ in sent}) < len(sent) - 5
    whole = parts(heard(LangGraph(), b"".join(raw for _, raw in sent)))
    for cut in range(1, len(sent)):
        before = heard(LangGraph(), b"".join(raw for _, raw in sent[:cut]))
        cursor = before[-1].cursor
        # A server that joins somebody to a run says first which one it is, in an event without an id.
        hello = data({"run_id": "r1"}, name="metadata")
        again = heard(LangGraph(cursor), hello + after(sent, cursor["id"]), last_event_id=cursor["id"])
        assert parts(before) + parts(again) == whole, cut


def test_a_server_that_begins_again_is_read_from_where_it_was_cut(seed):
    """Ids say how far the run is known; if that place never comes, the end is no end."""
    sent = run_with_twins(random.Random(seed))
    whole = parts(heard(LangGraph(), b"".join(raw for _, raw in sent)))
    cut = max(index for index, (event_id, _) in enumerate(sent) if event_id == sent[20][0]) + 1
    before = heard(LangGraph(), b"".join(raw for _, raw in sent[:cut]))
    again = heard(LangGraph(before[-1].cursor), b"".join(raw for _, raw in sent))
    assert parts(before) + parts(again) == whole
    with pytest.raises(SourceMalformed, match="before the place"):
        heard(LangGraph(before[-1].cursor), sent[0][1] + data(None, name="end"))


def test_a_snapshot_goes_on_behind_a_cut():
    """The cursor holds how much of the message is known: only the rest of it is said."""
    events = langgraph(("messages/partial", [message("Hello")]), ("messages/partial", [message("Hello 船")]),
                       ids=["1", "2"])  # fmt: skip
    cursor = heard(LangGraph(), events[0])[-1].cursor
    again = heard(LangGraph(cursor), events[1])
    assert [part.text for part in parts(again)] == [" 船"]


def test_a_run_without_ids_has_no_place():
    """A run that was not started as resumable cannot be gone on with."""
    assert all(arrival.cursor is None for arrival in heard(LangGraph(), agent_wire.LANGGRAPH))


@pytest.mark.parametrize(
    ("url", "headers", "run_id", "expected"),
    [
        ("https://h/threads/t/runs/stream", {}, "r1", "https://h/threads/t/runs/r1"),
        ("https://h/api/threads/t/runs/stream", {"content-location": "/threads/t/runs/r2"}, "r1",
         "https://h/api/threads/t/runs/r2"),
        ("https://h/runs/stream", {"location": "/threads/u/runs/r3/stream"}, "r1", "https://h/threads/u/runs/r3"),
        ("https://h/chat", {"content-location": "/threads/u/runs/r3"}, None, "https://h/threads/u/runs/r3"),
        ("https://h/chat", {}, "r1", None),
        ("https://h/threads/t/runs/stream", {}, "../../admin", None),
        ("https://h/chat", {"location": "https://other/threads/u/runs/r3/stream"}, None, None),
    ],
)  # fmt: skip
def test_where_a_run_is_joined_and_ended(url, headers, run_id, expected):
    """By its thread, or by the address the server names, but never at another server: it would get the key."""
    run = LangGraphRun()
    run.met(headers)
    run.told(run_id)
    call = Call.of("POST", url, json_body={"input": 1}, headers={"X-Api-Key": "k-123456"})
    if expected is None:
        assert run.cancelling(call) is None
        assert run.joining(call) is call
        return
    joining, cancelling = run.joining(call), run.cancelling(call)
    assert (joining.method, joining.url, joining.body) == ("GET", f"{expected}/stream", None)
    assert (cancelling.method, cancelling.url) == ("POST", f"{expected}/cancel?wait=0&action=interrupt")
    assert run.asking(call).url == expected
    assert joining.headers == (("X-Api-Key", "k-123456"),)

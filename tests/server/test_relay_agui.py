"""The relay's `format=agui`: what it sends is AG-UI, event by event and in order, whatever the log holds."""

import json

import pytest
from ag_ui.core import Event
from agent_wire import heard, parts, said
from pydantic import TypeAdapter
from relay_server import Relay, Writer

from nbstream.log.disk import open_disk_store
from nbstream.records import Close, Open, Part
from nbstream.sources.formats.agui import AGUI
from nbstream.wire.sse import SSEParser

RUN = "/v1/streams/s1/records?format=agui"
MODEL = TypeAdapter(Event)


@pytest.fixture
def store(tmp_path):
    """Return a store on disk."""
    store = open_disk_store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def relay(store):
    """Return a relay of it."""
    with Relay(store) as relay:
        yield relay


def other(writer, kind, agent="assistant", **fields):
    """Return a part without text."""
    writer.sequence[agent] += 1
    return Part(kind, agent=agent, sequence=writer.sequence[agent], fields=fields)


def write_run(store, how="complete", finish=None):
    """Write a run of two agents with everything that a log may hold; return the text by agent and kind."""
    writer = Writer(store)
    writer.write(writer.part("hm", kind="reasoning"), writer.part("I ask "))
    writer.write(writer.part("übers Wetter 🌬️."))
    call = {"index": 0, "id": "c1", "name": "weather", "args_delta": ""}
    writer.write(other(writer, "tool_call", **call), other(writer, "tool_call", index=0, args_delta='{"city": "Zü'))
    writer.write(other(writer, "tool_call", index=0, args_delta='rich"}'))
    writer.write(other(writer, "tool_result", id="c1", content="windig"), other(writer, "raw", type="odd"))
    writer.write(other(writer, "agent_start", "reporter", name="reporter"), writer.part("船は", "reporter"))
    writer.write(writer.part("静か。", "reporter"), writer.part("Done."), other(writer, "truncate", length=3))
    writer.write(other(writer, "agent_end", "reporter", status="complete"), writer.part("late", "critic"))
    writer.write(other(writer, "waiting", on="Send it?"))
    usage = {"input": 3, "output": 4}
    error = {"type": "SourceLost", "message": "cut", "retryable": True} if how == "interrupted" else None
    writer._append(Close(how, at=3.0, finish=finish, usage=usage, model="m-1", error=error)).result(10)
    writer.lock.release()
    return writer


SAYS = {
    ("assistant", "reasoning"): "hm",
    ("assistant", "text"): "I ask übers Wetter 🌬️.\n\nDone.",  # two messages, with a tool call between them
    ("reporter", "text"): "船は静か。",
    ("critic", "text"): "late",
}


def check(events):
    """Assert what AG-UI says of the order of *events*: what goes on or ends was begun, all that began ends."""
    begun, ended = set(), set()
    for event in events:
        MODEL.validate_python(event)
        kind, _, verb = event["type"].rpartition("_")
        name = event.get("messageId") or event.get("toolCallId") or event.get("subagentRunId") or event.get("runId")
        run = event.get("subagentRunId")
        assert run is None or event["type"] == "SUBAGENT_STARTED" or ("SUBAGENT", run) in begun - ended
        if verb in {"START", "STARTED"}:
            assert (kind, name) not in begun
            begun.add((kind, name))
        elif verb in {"CONTENT", "ARGS"}:
            assert (kind, name) in begun - ended
        elif verb in {"END", "FINISHED"} or event["type"] == "SUBAGENT_ERROR":
            assert (kind, name) in begun - ended
            ended.add((kind, name))
    assert events[0]["type"] == "RUN_STARTED"
    assert events[-1]["type"] in {"RUN_FINISHED", "RUN_ERROR"}
    assert begun - ended <= ({("RUN", events[0]["runId"])} if events[-1]["type"] == "RUN_ERROR" else set())


def test_a_run_is_valid_ag_ui(relay, store):
    """The models of ag-ui-protocol take every event; their order is that of the protocol; the end tells usage."""
    write_run(store)
    with relay.events(RUN) as reader:
        events = reader.rest().records
    check(events)
    assert [event.event for event in reader.events] == ["message"] * len(events)
    assert events[-1]["usage"] == [{"model": "m-1", "inputTokens": 3, "outputTokens": 4}]
    named = [event["name"] for event in events if event["type"] == "CUSTOM"]
    assert named == ["nbstream.truncate", "nbstream.waiting"]
    assert [event["parentSubagentRunId"] for event in events if "parentSubagentRunId" in event] == []


def test_what_goes_out_comes_in_again(relay, store):
    """Our own reader of AG-UI hears the same texts of the same agents, and the same call."""
    write_run(store)
    with relay.events(RUN) as reader:
        raw = reader.rest().raw
    arrivals = heard(AGUI(), raw)
    assert said(arrivals) == SAYS
    calls = [part.fields for arrival in arrivals for part in arrival.parts if part.kind == "tool_call"]
    assert "".join(call["args_delta"] for call in calls) == '{"city": "Zürich"}'


def test_a_late_piece_is_told(relay, store):
    """P1: text that came behind its gap is sent like the gap; the message that is being said goes on."""
    writer = Writer(store)
    writer.write(writer.part("one "))
    writer.write(other(writer, "gap", expected=2, got=3, at=4), writer.part("three "))
    writer.write(other(writer, "late", number=2, at=4, text="two ", closes=True), writer.part("four"))
    writer.close()
    with relay.events(RUN) as reader:
        events = reader.rest().records
    check(events)
    late = {"agent": "assistant", "number": 2, "at": 4, "text": "two ", "closes": True}
    assert [event["value"] for event in events if event.get("name") == "nbstream.late"] == [late]
    said_behind = [event["messageId"] for event in events if event.get("delta") in {"three ", "four"}]
    assert len(said_behind) == 2
    assert len(set(said_behind)) == 1


def test_each_agent_of_a_team_ends_as_it_did(relay, store):
    """P4: complete, stopped, failed and interrupted are told apart, a failure in its own words; so it comes in."""
    writer = Writer(store)
    ends = {
        "a": {"status": "complete", "finish": "stop"},
        "b": {"status": "stopped", "finish": "cancelled"},
        "c": {"status": "failed", "error": {"type": "SourceRefused", "message": "no such model"}},
        "d": {"status": "interrupted", "error": {"type": "SourceLost", "message": "cut"}},
        "d/inner": {"status": "failed", "message": "it gave up"},
    }
    for agent in ends:
        writer.write(other(writer, "agent_start", agent), writer.part("x", agent))
    for agent in reversed(ends):
        writer.write(other(writer, "agent_end", agent, **ends[agent]))
    writer.close("interrupted")
    with relay.events(RUN) as reader:
        events = reader.rest().records
    check(events)
    names = {event["subagentRunId"]: event["name"] for event in events if event["type"] == "SUBAGENT_STARTED"}
    told = {
        names[event["subagentRunId"]]: (event.get("code"), event.get("message"), event.get("outcome", {}).get("type"))
        for event in events
        if event["type"] in {"SUBAGENT_FINISHED", "SUBAGENT_ERROR"}
    }
    assert told == {
        "a": (None, None, None),
        "b": ("stopped", "stopped", None),
        "c": ("failed", "no such model", None),
        "d": (None, None, "suspended"),
        "d/inner": ("failed", "it gave up", None),
    }
    before_the_error = reader.raw.rpartition(b"data: ")[0]
    again = parts(heard(AGUI(), before_the_error))
    heard_ends = {part.agent: part.fields["status"] for part in again if part.kind == "agent_end"}
    assert heard_ends == {agent: end["status"] for agent, end in ends.items()}


def test_only_a_question_to_a_person_is_an_interrupt(relay, store):
    """An agent that waits for a slot or for another one asks nobody; the run is interrupted by what is asked."""
    writer = Writer(store)
    writer.write(other(writer, "waiting", "a", on=[]), other(writer, "waiting", "b", on=["a"]))
    writer.write(other(writer, "waiting", "c", on="May I delete it?"))
    writer._append(Close("complete", at=3.0, finish="pause")).result(10)
    writer.lock.release()
    with relay.events(RUN) as reader:
        events = reader.rest().records
    check(events)
    assert [event["name"] for event in events if event["type"] == "CUSTOM"] == ["nbstream.waiting"] * 3
    assert [one["message"] for one in events[-1]["outcome"]["interrupts"]] == ["May I delete it?"]


def test_a_call_is_its_agents_from_its_first_event(relay, store):
    """A tool call that is the first thing an agent does begins that agent, and is its own."""
    writer = Writer(store)
    writer.write(other(writer, "tool_call", "a", index=0, id="c1", name="add", args_delta="1", final=True))
    writer.close()
    with relay.events(RUN) as reader:
        events = reader.rest().records
    check(events)
    run = events[1]["subagentRunId"]
    assert [(event["type"], event.get("subagentRunId")) for event in events[2:5]] == [
        ("TOOL_CALL_START", run), ("TOOL_CALL_ARGS", run), ("TOOL_CALL_END", run),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "finish", "last"),
    [
        ("complete", "stop", {"type": "RUN_FINISHED"}),
        ("complete", "pause", {"type": "RUN_FINISHED", "outcome": "interrupt"}),
        ("stopped", None, {"type": "RUN_FINISHED", "outcome": "cancelled"}),
        ("interrupted", None, {"type": "RUN_ERROR", "code": "interrupted", "message": "cut"}),
        ("failed", None, {"type": "RUN_ERROR", "code": "failed"}),
    ],
)
def test_every_end_has_its_event_and_ends_the_answer(relay, store, how, finish, last):
    """Complete, waiting for a person, stopped, interrupted and failed are told apart; the answer ends behind them."""
    write_run(store, how, finish)
    with relay.events(RUN) as reader:
        events = reader.rest().records
    check(events)
    told = {**events[-1], "outcome": events[-1].get("outcome", {}).get("type")}
    assert {name: told[name] for name in last} == last
    if finish == "pause":
        assert [one["message"] for one in events[-1]["outcome"]["interrupts"]] == ["Send it?"]


def test_a_live_run_is_told_as_it_comes(relay, store):
    """Each record is sent when it is written, and the close ends the answer."""
    writer = Writer(store)
    with relay.events(RUN) as reader:
        writer.write("one ")
        reader.read(until=lambda one: any(event.get("delta") == "one " for event in one.records))
        writer.write("two")
        reader.read(until=lambda one: any(event.get("delta") == "two" for event in one.records))
        writer.close("stopped")
        check(reader.rest().records)


def test_a_resumed_stream_is_one_run_for_who_comes_late_and_two_for_who_saw_its_end(relay, store):
    """An end behind which the log goes on is no end; a client that was told of it is told of another run."""
    write_run(store, "interrupted")
    with relay.events(RUN) as reader:
        first = reader.rest()
    last_id = first.events[-1].id
    log, lock = store.log("s1"), store.lock("s1")
    log.append(log.tail() + 1, Open("s1", "key of s1", "resume", {}, "fp", "relay", "host", "boot", 4.0))
    log.append(log.tail() + 1, Close("complete", at=5.0))
    lock.release()
    with relay.events(RUN) as late:
        events = late.rest().records
    check(events)
    assert [event["type"] for event in events].count("RUN_STARTED") == 1
    with relay.events(RUN, Last_Event_ID=last_id) as again:
        more = again.rest().records
    assert [event["type"] for event in more] == ["RUN_STARTED", "RUN_FINISHED"]
    assert more[0]["runId"] != first.records[0]["runId"]
    check(more)


def test_a_cut_anywhere_loses_nothing(relay, store):
    """Cut after any byte and asked again with the last id: what comes fits, and no event is missing."""
    write_run(store)
    with relay.events(RUN) as reader:
        whole = reader.rest().raw
    events = [json.loads(event.data) for event in reader.events]
    for cut in range(0, len(whole), 97):
        parser = SSEParser()
        got = parser.feed(whole[:cut])
        last = parser.last_event_id
        with relay.events(RUN, Last_Event_ID=last) as again:
            rest = [json.loads(event.data) for event in again.rest().events]
        # Events of a record that was cut come twice: those behind the last id are the ones that count.
        known = [json.loads(event.data) for event in got]
        kept = next((index + 1 for index, event in enumerate(reader.events) if event.id == last), 0) if last else 0
        assert known[:kept] + rest == events, cut


def test_the_format_is_an_event_stream_only(relay, store):
    """Pages of JSON have records."""
    write_run(store)
    assert relay.ask("GET", RUN, Accept="application/json").status == 400

"""What a page is told of a team, and what its buttons do: of each agent, and of one alone."""

import json
import threading

import pytest
from test_page_session import PATIENCE_S, Page, hosted

import nbstream
from nbstream.log.memory import MemoryStore
from nbstream.records import Part
from nbstream.relay.service import Service
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.sources.contract import Arrival, End
from nbstream.testing import SILENCE, Gate, ScriptedSource


@pytest.fixture
def store():
    """Return the store of this test's streams."""
    store = MemoryStore()
    yield store
    runtime().close()
    store.close()


def start(store, rules=None, **agents):
    """Start a team as a cell does."""
    team = nbstream.merge(agents, **(rules or {}))
    return hosted(store).launch(team, json.dumps(["notebook", "cell:1", 0]), Ask(team.fingerprint))


def event(number, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(number), "first": "1"}, event_id=str(number))


def test_a_page_is_told_how_each_agent_stands(store):
    """All of them from the beginning, in their order, with a line and buttons of their own."""
    gate = Gate()
    first = ScriptedSource(["one", gate, End()])
    stream = start(store, {"wait_for": {"a": ["b"]}}, a=ScriptedSource(["two", End()]), b=first)
    gate.wait()
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.state["agents"] == {"a": "connecting", "b": "streaming"})
    assert list(page.state["agents"]) == ["a", "b"]
    assert "waiting for b" in page.state["lines"]["a"]
    assert page.state["buttons"] == {"a": ["stop"], "b": ["stop"]}
    gate.open()
    page.until(lambda page: page.state["state"] == "complete")
    assert page.state["agents"] == {"a": "complete", "b": "complete"}
    assert page.state["buttons"] == {"a": ["regenerate"], "b": ["regenerate"]}


def test_the_buttons_of_one_agent(store):
    """Stop, Resume and Regenerate of one agent are about that one; the other one is asked once."""
    a = ScriptedSource([event(1, "a"), SILENCE], [event(2, "b"), End()], ["anew", End()])
    gate = Gate()
    other = ScriptedSource([event(1, "x"), gate, End()])
    stream = start(store, a=a, other=other)
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.state["agents"] == {"a": "streaming", "other": "streaming"})
    page.send("stop", agent="a")
    page.until(lambda page: page.state["agents"]["a"] == "stopped")
    assert (page.state["state"], page.state["buttons"]["a"]) == ("streaming", ["resume"])
    page.send("resume", agent="a")
    page.until(lambda page: page.state["agents"]["a"] == "complete")
    page.send("regenerate", agent="a")
    page.until(lambda page: "when the others are at rest" in page.state["line"])
    gate.open()
    page.until(lambda page: page.state["state"] == "complete")
    assert stream.agents["a"].text == "ab"
    page.send("regenerate", agent="a")
    page.until(lambda page: page.session.stream is not stream and page.state["state"] == "complete")
    new = page.session.stream
    assert new.wait(PATIENCE_S) == "complete"
    assert {name: agent.text for name, agent in new.agents.items()} == {"a": "anew", "other": "x"}
    assert (len(a.connections), len(other.connections)) == (3, 1)


def test_iterating_a_team_gives_its_merged_order(store):
    """`async for` yields the parts of all agents in the order of the log, also to who comes later."""
    stream = start(store, a=ScriptedSource(["a", "b", End()]), b=ScriptedSource(["x", "y", End()]))
    stream.wait(PATIENCE_S)

    async def parts():
        return [(part.agent, part.sequence, part.kind) async for part in stream]

    first = runtime().submit(parts()).result(PATIENCE_S)
    assert runtime().submit(parts()).result(PATIENCE_S) == first
    logged = [part for record in stream.log.read(-1) for part in getattr(record, "parts", ())]
    assert first == [(part.agent, part.sequence, part.kind) for part in logged]


def test_buttons_of_two_agents_pressed_at_once(store):
    """While Resume of one is being done, Resume of another waits for it and is done too; a second click is none."""
    sources = {name: ScriptedSource([event(1, name), SILENCE], [event(2, "!"), End()]) for name in "ab"}
    stream = start(store, **sources)
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.state["chars"] == 2)
    stream.stop()
    stream.wait(PATIENCE_S)
    resume, asked, go = stream.resume, [], threading.Event()

    def held(agent=None):
        asked.append(agent)
        assert go.wait(PATIENCE_S)
        return resume(agent)

    stream.resume = held
    for agent in "aab":
        page.send("resume", agent=agent)
    page.send("stop", agent="nobody")  # is answered behind them
    page.until(lambda page: "nobody" in page.state["line"] and asked)
    go.set()
    page.until(lambda page: page.state["state"] == "complete")
    assert asked[0] == "a"
    assert {name: len(source.connections) for name, source in sources.items()} == {"a": 2, "b": 2}


def test_a_spawned_agent_is_told_through_a_relay_as_others_are(store):
    """No `open` names it, the log does: who asks to stop it, from another process too, is understood."""

    def lead(team):
        team.spawn("helper", helper)
        return ScriptedSource([event(1, "x"), SILENCE])

    helper = ScriptedSource([event(1, "x"), SILENCE])
    stream = start(store, lead=nbstream.Agent(lead))
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.state["chars"] == 2)
    service = Service(store)
    service.stop(stream.id, "helper")
    page.until(lambda page: page.state["agents"] == {"lead": "streaming", "helper": "stopped"})
    with pytest.raises(ValueError, match="none called 'nobody'"):
        service.stop(stream.id, "nobody")
    stream.stop()
    assert stream.wait(PATIENCE_S) == "stopped"

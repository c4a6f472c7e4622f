"""Several agents over real sockets, recorded in this process and in a relay: no one's trouble is another one's."""

import json
import time
from collections import Counter

import pytest

import nbstream
from nbstream.errors import StreamError
from nbstream.testing import Answer, Gate

#: What each agent says, in ten events.
WORDS = {name: [f"{name}{number} 🧵 " for number in range(10)] for name in ("one", "two", "three", "four", "five")}


def until(true, within_s=15.0):
    """Wait until *true()*."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


class Agents:
    """Five agents of one server: *held* stand still behind their fifth event, *refused* answer 404, until told."""

    def __init__(self, server, held=(), refused=()):
        self.server, self.refused = server, set(refused)
        self.gates = {name: Gate() for name in held}
        server.script([], otherwise=self._answer)

    def _answer(self, request):
        name = request.path.strip("/")
        if name in self.refused:
            return Answer([b"no"], 404, framing="length")
        first, gate = int(request.last_event_id or 0), self.gates.get(name)
        frames = [event(number, text) for number, text in enumerate(WORDS[name], 1)]
        held = [gate] if gate is not None and first < 5 else []
        return Answer.sse(*frames[first:5], *held, *frames[max(first, 5) :], "event: done\ndata: {}\n\n")

    def team(self, **rules):
        """Return all of them, as a team."""
        return nbstream.merge({name: nbstream.sse(f"{self.server.url}/{name}") for name in WORDS}, **rules)

    @property
    def asked(self):
        """Name -> how often it was asked, since the last look."""
        asked = Counter(request.path.strip("/") for request in self.server.requests)
        self.server.requests.clear()
        return dict(asked)


def event(number, text):
    """One event with an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


def half(name):
    """What a held agent has said."""
    return "".join(WORDS[name][:5])


def whole(name):
    """What an agent says in all."""
    return "".join(WORDS[name])


def states(stream):
    """Name -> state."""
    return {name: agent["state"] for name, agent in stream.status()["agents"].items()}


def test_five_agents(chain):
    """All speak at once over a connection each, every text is exact, and another reader sees the same order."""
    agents = Agents(chain.server)
    stream = nbstream.start(agents.team())
    assert stream.wait(20) == "complete"
    assert {name: agent.text for name, agent in stream.agents.items()} == {name: whole(name) for name in WORDS}
    assert agents.asked == dict.fromkeys(WORDS, 1)
    order = [
        (part.agent, part.kind, part.off) for record in stream.log.read(-1) for part in getattr(record, "parts", ())
    ]
    again = next(one for one in nbstream.streams() if one.id == stream.id)
    assert [
        (part.agent, part.kind, part.off) for record in again.log.read(-1) for part in getattr(record, "parts", ())
    ] == order
    assert states(again) == dict.fromkeys(WORDS, "complete")


def test_stop_and_resume_of_one(chain):
    """Stop closes one connection; the others go on. Resume asks that agent alone, behind its last event."""
    agents = Agents(chain.server, held=("one", "two"))
    stream = nbstream.start(agents.team())
    until(lambda: list(states(stream).values()).count("complete") == 3 and half("two") == stream.agents["two"].text)
    stream.stop("one")
    until(lambda: states(stream)["one"] == "stopped")
    assert states(stream)["two"] == "streaming"
    assert stream.state == "streaming"
    assert "resume" in stream.status()["agents"]["one"]["actions"]
    agents.asked  # noqa: B018 - from here on
    agents.gates["one"].open()
    stream.resume("one")
    until(lambda: states(stream)["one"] == "complete")
    assert [(one.path, one.last_event_id) for one in chain.server.requests] == [("/one", "5")]
    agents.gates["two"].open()
    assert stream.wait(20) == "complete"
    assert {name: agent.text for name, agent in stream.agents.items()} == {name: whole(name) for name in WORDS}


@pytest.fixture
def ended(chain):
    """Return agents and their stream: two complete, one failed, one stopped, one cut again and again."""
    agents = Agents(chain.server, held=("three",), refused=("four",))
    cut = Answer.sse(*[event(number, text) for number, text in enumerate(WORDS["five"][:3], 1)], end="cut")
    answer = agents._answer
    chain.server.script([], otherwise=lambda request: cut if request.path == "/five" else answer(request))
    stream = nbstream.start(agents.team(), key="five agents")
    until(lambda: stream.agents["three"].text == half("three") if "three" in stream.agents else False)
    stream.stop("three")
    assert stream.wait(20) == "interrupted"
    assert states(stream) == {
        "one": "complete", "two": "complete", "three": "stopped", "four": "failed", "five": "interrupted",
    }  # fmt: skip
    agents.gates["three"].open()
    agents.refused.clear()
    chain.server.script([], otherwise=answer)
    chain.server.requests.clear()
    return agents, stream


def test_running_the_cell_again_asks_the_unfinished_ones(chain, ended):
    """Interrupted and failed agents go on; one that was stopped does not, and none complete is billed again."""
    agents, stream = ended
    again = nbstream.start(agents.team(), key="five agents")
    assert again.id == stream.id
    assert again.wait(20) == "stopped"
    assert agents.asked == {"four": 1, "five": 1}
    texts = {name: agent.text for name, agent in again.agents.items()}
    assert texts == {name: half(name) if name == "three" else whole(name) for name in WORDS}


def test_resume_asks_the_unfinished_ones(chain, ended):
    """The button of the whole does the same."""
    agents, stream = ended
    assert stream.resume().wait(20) == "stopped"
    assert agents.asked == {"four": 1, "five": 1}


def test_resume_of_a_stopped_agent_asks_that_one_alone(chain, ended):
    """The button of one agent is about that one."""
    agents, stream = ended
    assert stream.resume("three").wait(20) == "interrupted"
    assert agents.asked == {"three": 1}
    assert stream.agents["three"].text == whole("three")


def test_regenerate_asks_everybody_in_a_new_stream(chain, ended):
    """It is a new stream that names the old one; the old one stays as it was."""
    agents, stream = ended
    new = stream.regenerate()
    assert new.wait(20) == "complete"
    assert agents.asked == dict.fromkeys(WORDS, 1)
    assert (new.id != stream.id, stream.agents["three"].text) == (True, half("three"))


def test_regenerate_of_one_agent_asks_that_one_alone(chain, ended):
    """The new stream says of the others what the old one said, and how they ended; they can go on in it."""
    agents, stream = ended
    new = stream.regenerate("two")
    assert new.wait(20) == "interrupted"
    assert agents.asked == {"two": 1}
    assert new.id != stream.id
    assert {name: agent.text for name, agent in new.agents.items()} == {
        name: agent.text for name, agent in stream.agents.items()
    }
    assert states(new) == states(stream)
    assert new.resume("three").wait(20) == "interrupted"
    assert new.agents["three"].text == whole("three")


def test_an_agent_that_there_is_not(chain):
    """A button for it says so in one line; nothing is stopped."""
    stream = nbstream.start(Agents(chain.server, held=WORDS).team())
    with pytest.raises(ValueError, match="no agent 'six'"):
        stream.stop("six")
    with pytest.raises(StreamError, match="at rest"):
        stream.regenerate("one")
    assert stream.state.live
    stream.stop()
    assert stream.wait(20) == "stopped"
    chain.server.wait_closed(2.0)


def test_the_relay_says_how_each_agent_stands(chain):
    """`status()` of a stream in a relay names every agent's state and line, as one recorded here does."""
    stream = nbstream.start(Agents(chain.server, held=("five",)).team(limit=1, wait_for={"one": ["five"]}))
    until(lambda: states(stream) == {
        "one": "connecting", "two": "complete", "three": "complete", "four": "complete", "five": "streaming",
    })  # fmt: skip
    until(lambda: "waiting for five" in stream.status()["agents"]["one"]["line"])
    assert "5 agents: 1 streaming, 1 waiting, 3 complete" in stream.status()["line"]
    stream.stop()
    assert stream.wait(20) == "stopped"

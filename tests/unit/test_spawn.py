"""Agents that are spawned while others work: when they begin, when not, and what they are refused."""

import asyncio
import re
import threading

import pytest
from recording import run, until
from teams import CUT, END, NO, Team, event

import nbstream
from nbstream.recorder.plan import agents_of, plan
from nbstream.recorder.progress import Progress
from nbstream.records import Part
from nbstream.sources.contract import Arrival
from nbstream.testing import SILENCE, Gate, ScriptedSource

SPEC = {"kind": "scripted"}


class Planner:
    """An agent's function that spawns a helper once it is let."""

    def __init__(self, helper):
        self.helper = helper
        self.asked, self.go, self.done = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, team):
        self.asked.set()
        assert self.go.wait(10)
        team.spawn("helper", self.helper, parent="planner")
        self.done.set()
        return ScriptedSource(["plan", END])

    async def spawn(self):
        """Let it, and wait until the loop has heard of it."""
        self.go.set()
        await asyncio.to_thread(self.done.wait, 10)
        await asyncio.sleep(0)


async def stopped(stream, how):
    """Stop the whole stream: by its recorder, or by a row that another process set."""
    if how == "row":
        stream.store.request_stop("s1", opened=stream.recorder.opened).result()
        await stream.after(0.25)
    elif how == "lease":
        stream.recorder.leave("nobody watches it any more")
    else:
        stream.recorder.stop()


@pytest.mark.parametrize("how", ["stop", "row", "lease"])
def test_nobody_is_called_behind_a_stop(how):
    """A function that runs on behind Stop, or behind the lease, spawns: that agent is not called, and says why."""

    async def main():
        told = Gate()
        planner = Planner(ScriptedSource(["help", SILENCE], spec=SPEC))
        other = ScriptedSource(["x", SILENCE], cancel=[told])
        stream = Team(planner=nbstream.Agent(planner), other=other).start()
        await asyncio.to_thread(planner.asked.wait, 10)
        await until(lambda: stream.text_of("text", "other"))
        await stopped(stream, how)
        await told.arrived()  # the upstream of another agent is being told: the stream is live still
        await planner.spawn()
        await until(lambda: "helper" in stream.ends)
        told.open()
        close = await stream
        state = "interrupted" if how == "lease" else "stopped"
        assert (close.how, stream.ends["helper"]) == (state, state)
        assert planner.helper.connections == []

    run(main())


def test_nobody_is_called_behind_the_close():
    """A function that runs on behind the end of its stream spawns: nothing is called, written or left at work."""

    async def main():
        planner = Planner(ScriptedSource(["help", SILENCE], spec=SPEC))
        stream = Team(planner=nbstream.Agent(planner)).start()
        await asyncio.to_thread(planner.asked.wait, 10)
        stream.recorder.stop()
        assert (await stream).how == "stopped"
        tail, tasks = stream.log.tail(), asyncio.all_tasks()
        await planner.spawn()
        assert asyncio.all_tasks() == tasks
        assert (planner.helper.connections, stream.log.tail()) == ([], tail)

    run(main())


def called_twice(gate, helpers):
    """Return an agent that is refused behind *gate* and then complete; each time it spawns the next of *helpers*."""
    plans = [ScriptedSource([gate, NO]), ScriptedSource(["plan", END])]
    rounds = iter(zip(helpers, plans, strict=True))

    def planner(team):
        helper, plan = next(rounds)
        team.spawn("helper", helper, parent="planner")
        return plan

    return nbstream.Agent(planner)


def test_one_whose_call_cannot_be_repeated_is_not_spawned_again():
    """Cut behind text that no cursor covers, it stays as it is when its parent is called again."""

    async def main():
        gate = Gate()
        helpers = [ScriptedSource(["help", CUT], spec=SPEC), ScriptedSource(["other words", END], spec=SPEC)]
        stream = Team(planner=called_twice(gate, helpers)).start()
        await until(lambda: stream.ends.get("helper") == "interrupted")
        gate.open()
        await stream
        close = await stream.resume()
        assert (close.how, stream.ends) == ("interrupted", {"helper": "interrupted", "planner": "complete"})
        assert helpers[1].connections == []
        assert stream.text_of("text", "helper") == "help"

    run(main())


def test_one_that_can_go_on_does_when_it_is_spawned_again():
    """It goes on behind its cursor: its parent, called again, spawns it again."""

    async def main():
        gate = Gate()
        helpers = [
            ScriptedSource([event(1, "hel"), NO], spec=SPEC),
            ScriptedSource([event(2, "per"), END], spec=SPEC),
        ]
        stream = Team(planner=called_twice(gate, helpers)).start()
        await until(lambda: stream.ends.get("helper") == "failed")
        gate.open()
        await stream
        assert (await stream.resume()).how == "complete"
        assert stream.text_of("text", "helper") == "helper"
        assert helpers[1].connections[0].cursor["id"] == "1"

    run(main())


def test_a_spawned_agent_may_be_made_by_a_function_and_wait_for_one_just_spawned():
    """`spawn` takes what `merge` takes, and knows at once whom it was given."""

    async def main():
        def planner(team):
            team.spawn("first", ScriptedSource(["one", END], spec=SPEC))
            team.spawn("second", nbstream.Agent(lambda team: ScriptedSource([f"{team['first']} two", END])),
                       wait_for=["first"])  # fmt: skip
            return ScriptedSource(["plan", END])

        stream = Team(planner=nbstream.Agent(planner)).start()
        assert (await stream).how == "complete"
        assert stream.text_of("text", "second") == "one two"

    run(main())


@pytest.mark.parametrize(
    ("given", "rules", "error", "message"),
    [
        (lambda: ["x"], {"wait_for": ["nobody"]}, ValueError, "'nobody' is none of the agents"),
        (lambda: ["x"], {"parent": "nobody"}, ValueError, "'nobody' is none of the agents"),
        (lambda: nbstream.merge(x=["a"]), {}, TypeError, "spawn its agents one by one"),
    ],
)
def test_a_spawn_that_makes_no_sense(given, rules, error, message):
    """It is refused where it is written, in one line."""
    met = []

    async def main():
        def planner(team):
            with pytest.raises(error, match=message) as raised:
                team.spawn("helper", given(), **rules)
            met.append(raised)
            return ScriptedSource(["plan", END])

        stream = Team(planner=nbstream.Agent(planner)).start()
        assert (await stream).how == "complete"
        assert (len(met), list(stream.ends)) == (1, ["planner"])

    run(main())


def test_agents_that_would_wait_for_each_other():
    """Spawned again behind one that waits for it, an agent would wait for ever: that is refused."""

    async def main():
        gate, seen = Gate(), []

        def planner(team):
            seen.append(team)
            return ScriptedSource([gate, END])

        rules = {"wait_for": {"a": ["b"]}}
        agents = {"a": ScriptedSource(["a", END]), "b": ScriptedSource([NO]), "c": nbstream.Agent(planner)}
        stream = Team(rules, **agents).start()
        await gate.arrived()
        await until(lambda: stream.ends.get("a") == "interrupted")
        with pytest.raises(ValueError, match="b and a would wait for each other"):
            seen[0].spawn("b", ScriptedSource(["b", END]), wait_for=["a"])
        gate.open()
        await stream

    run(main())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda team: team["nobody"],
            r"stream s1, agent a: its function raised KeyError in lambda, line \d+: 'nobody'; correct it and run",
        ),
        (lambda team: nbstream.merge(x=["a"]), "stream s1, agent a: its function returned a team"),
    ],
)
def test_a_function_that_goes_wrong(make, message):
    """It fails its agent in one line that says whose it is and what to do; the others go on."""

    async def main():
        stream = Team(a=nbstream.Agent(make), b=ScriptedSource(["b", END])).start()
        close = await stream
        assert stream.ends == {"a": "failed", "b": "complete"}
        assert re.match(message, close.error["message"])

    run(main())


def test_an_agent_is_fed_what_readers_see():
    """Without what was taken back, and with what came late at its place."""

    async def main():
        gate, fed = Gate(), {}

        def read(team):
            fed.update({name: team[name] for name in "ab"})
            return ScriptedSource(["ok", END])

        def frame(number, text):
            return Arrival((Part("text", text),), number=number)

        a = ScriptedSource(["wrong", Part("truncate", fields={"length": 0}), "right", END])
        b = ScriptedSource([frame(1, "one "), frame(3, "three"), gate, frame(2, "two "), END])
        stream = Team({"wait_for": {"r": ["a", "b"]}}, a=a, b=b, r=nbstream.Agent(read)).start()
        await gate.arrived()
        await stream.after(2.5)
        assert stream.marks("gap")
        gate.open()
        assert (await stream).how == "complete"
        assert fed == {"a": "right", "b": "one two three"}

    run(main())


def test_one_that_has_not_begun_is_known_to_the_next_process():
    """Its parent is complete and it waits for a place when the process dies: the log says what is to be called."""

    async def main():
        def planner(team):
            team.spawn("helper", ScriptedSource(["never"], spec=SPEC), parent="planner")
            return ScriptedSource(["plan", END])

        other = ScriptedSource([event(1, "x"), SILENCE])
        stream = Team({"limit": 1}, planner=nbstream.Agent(planner), other=other).start()
        await until(lambda: stream.text_of("text", "other"))
        await until(lambda: stream.ends == {"planner": "complete"})
        await stream.dies()
        progress = Progress.of(stream.log)
        track = progress.voices["helper"]
        assert (track.parent, track.spec["kind"], track.shown) == ("planner", "scripted", False)
        who = plan(stream.team, progress, agent=None, was_stopped=False, stopped=lambda _: False)
        assert (who.stopped, "helper" in agents_of(stream.team, progress)) == (frozenset(), True)

    run(main())

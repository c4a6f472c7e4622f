"""Several agents in one stream: each has calls, an end and a stop of its own, and the log has the one order of all."""

import asyncio
import random

import pytest
from recording import Around, SlowToSay, run, until
from teams import CUT, END, NO, Team, event

import nbstream
from nbstream.errors import LogDamaged
from nbstream.records import Delta, Open, Part
from nbstream.sources.contract import Arrival
from nbstream.testing import SILENCE, Gate, ScriptedSource


def test_two_agents_speak_in_one_stream():
    """Each has its own exact text and its own numbers; the stream is complete when both are."""

    async def main():
        stream = Team(a=ScriptedSource(["Hel", "lo", END]), b=ScriptedSource(["Wor", "ld", END])).start()
        close = await stream
        assert (close.how, close.finish, close.chars) == ("complete", "stop", 10)
        assert (stream.text_of("text", "a"), stream.text_of("text", "b")) == ("Hello", "World")
        assert stream.ends == {"a": "complete", "b": "complete"}
        stream.check()

    run(main())


def test_an_agent_inside_an_agent_has_a_name_of_its_own():
    """Two members whose frames name the same agent do not write into one text."""

    async def main():
        said = [Part("text", "x", "pilot"), END]
        stream = Team(a=ScriptedSource(said), b=ScriptedSource(said)).start()
        await stream
        assert (stream.text_of("text", "a/pilot"), stream.text_of("text", "b/pilot")) == ("x", "x")

    run(main())


@pytest.mark.parametrize(("rules", "at_once"), [({"limit": 3}, 3), ({}, 1)])
def test_a_limit_that_is_given_counts_before_the_slots_of_the_notebook(rules, at_once):
    """Whoever says how many run at a time gets them; without that a team shares the notebook's calls."""

    async def main():
        gates = [Gate(), Gate(), Gate()]
        sources = {name: ScriptedSource([gate, "x", END]) for name, gate in zip("abc", gates, strict=True)}
        stream = Team(rules, **sources).start(slots=asyncio.Semaphore(1))
        for gate in gates[:at_once]:
            await gate.arrived()
        assert sum(source.open_connections for source in sources.values()) == at_once
        for gate in gates:
            gate.open()
        await stream

    run(main())


def test_the_limit_makes_a_queue_that_is_seen():
    """With a limit of one, agents call one after the other in their order; who waits says so, and its place."""

    async def main():
        gates = [Gate(), Gate(), Gate()]
        sources = {name: ScriptedSource([gate, "x", END]) for name, gate in zip("abc", gates, strict=True)}
        stream = Team({"limit": 1}, **sources).start()
        for name, gate in zip("abc", gates, strict=True):
            await gate.arrived()
            assert sum(source.open_connections for source in sources.values()) == 1
            if name == "a":
                assert stream.recorder.agents["b"].note == "waiting for a slot"
                assert stream.recorder.agents["c"].note == "waiting for a slot, 1 before it"
            gate.open()
        await stream
        assert stream.marks("waiting") == [("b", {"on": []}), ("c", {"on": []})]

    run(main())


def test_an_agent_waits_for_another_and_reads_its_text():
    """What an `Agent` makes of another's text is made once that is whole and saved."""

    async def main():
        gate = Gate()
        read = nbstream.Agent(lambda team: ScriptedSource([f"I read: {team['a']}", END]))
        stream = Team({"wait_for": {"b": ["a"]}}, a=ScriptedSource(["one ", gate, "two", END]), b=read).start()
        await gate.arrived()
        assert stream.recorder.agents["b"].note == "waiting for a"
        gate.open()
        await stream
        assert stream.text_of("text", "b") == "I read: one two"
        assert stream.marks("waiting") == [("b", {"on": ["a"]})]

    run(main())


@pytest.mark.parametrize(("script", "state"), [([NO], "failed"), ([event(1, "x"), SILENCE], "stopped")])
def test_an_agent_whose_predecessor_did_not_complete_is_not_called(script, state):
    """It says whom it waits for, and is interrupted: once that one is complete, it can go on."""

    async def main():
        second = ScriptedSource(["never", END])
        stream = Team({"wait_for": {"b": ["a"]}}, a=ScriptedSource(script), b=second).start()
        if state == "stopped":
            await until(lambda: stream.text_of("text", "a"))
            stream.recorder.stop("a")
        close = await stream
        assert (close.how, stream.ends) == ("interrupted", {"a": state, "b": "interrupted"})
        assert f"it waits for a, which is {state}" in close.error["message"]
        assert second.connections == []

    run(main())


@pytest.mark.parametrize("fail_fast", [False, True])
def test_one_that_fails(fail_fast):
    """The others go on; with `fail_fast` they are interrupted, their calls are closed, and they say why."""

    async def main():
        gate = Gate()
        other = ScriptedSource([event(1, "x"), gate, event(2, "y"), END])
        stream = Team({"fail_fast": fail_fast}, a=ScriptedSource([NO]), b=other).start()
        await until(lambda: stream.ends.get("a") == "failed")
        if not fail_fast:
            gate.open()
        close = await stream
        assert stream.ends == {"a": "failed", "b": "interrupted" if fail_fast else "complete"}
        assert close.how == ("interrupted" if fail_fast else "failed")
        message = "b: agent a has failed" if fail_fast else "a: no such model"
        assert close.error["message"].startswith(message)
        assert close.error["type"] == ("TeamFailed" if fail_fast else "SourceRefused")
        assert other.open_connections == 0

    run(main())


@pytest.mark.parametrize("by_row", [False, True])
def test_stop_of_one_leaves_the_others_alone(by_row):
    """The button of one agent, or a row for it in the store, closes its call and no other."""

    async def main():
        gate = Gate()
        a, b = ScriptedSource([event(1, "a"), SILENCE]), ScriptedSource([event(1, "b"), gate, event(2, "c"), END])
        stream = Team(a=a, b=b).start()
        await gate.arrived()
        await until(lambda: stream.text_of("text", "a"))
        if by_row:
            stream.store.request_stop("s1", opened=0, agent="a").result()
            await stream.after(0.25)
        else:
            stream.recorder.stop("a")
        await until(lambda: a.open_connections == 0)
        assert (b.open_connections, stream.recorder.ending) == (1, False)
        gate.open()
        close = await stream
        assert (close.how, stream.ends, stream.text_of("text", "b")) == (
            "stopped",
            {"a": "stopped", "b": "complete"},
            "bc",
        )

    run(main())


@pytest.mark.parametrize(
    ("scripts", "how"),
    [
        (["complete", "complete"], "complete"),
        (["complete", "stopped"], "stopped"),
        (["failed", "stopped"], "failed"),
        (["failed", "stopped", "interrupted"], "interrupted"),
        (["complete", "interrupted"], "interrupted"),
    ],
)
def test_how_a_team_ends(scripts, how):
    """The first that applies: interrupted, failed, stopped, complete."""

    async def main():
        script = {"complete": ["x", END], "failed": [NO], "stopped": ["x", SILENCE], "interrupted": ["x", CUT]}
        stream = Team(**{f"a{number}": ScriptedSource(script[end]) for number, end in enumerate(scripts)}).start()
        stopped = [f"a{number}" for number, end in enumerate(scripts) if end == "stopped"]
        await until(lambda: all(stream.text_of("text", name) for name in stopped))
        for name in stopped:
            stream.recorder.stop(name)
        assert (await stream).how == how
        assert [stream.ends[f"a{number}"] for number in range(len(scripts))] == scripts

    run(main())


def test_one_goes_on_while_the_others_speak():
    """A stopped agent resumes behind its last record on a further `open`, which its older stop row does not touch."""

    async def main():
        gate = Gate()
        a = ScriptedSource([event(1, "a"), SILENCE], [event(2, "b"), END])
        b = ScriptedSource([event(1, "x"), gate, event(2, "y"), END])
        stream = Team(a=a, b=b).start()
        await until(lambda: stream.text_of("text", "a"))
        stream.store.request_stop("s1", opened=0, agent="a").result()
        stream.recorder.stop("a")
        await until(lambda: stream.ends.get("a") == "stopped")
        stream.recorder.reconnect("a")
        await until(lambda: len(a.connections) == 2)
        await stream.after(1)
        gate.open()
        close = await stream
        assert (close.how, stream.text_of("text", "a"), stream.text_of("text", "b")) == ("complete", "ab", "xy")
        assert [type(record) for record in stream.records].count(Open) == 2
        assert (len(b.connections), a.connections[1].cursor["id"]) == (1, "1")
        stream.check()

    run(main())


def test_a_stop_after_it_went_on_is_a_stop():
    """A row for the further `open` stops the agent again."""

    async def main():
        a = ScriptedSource([event(1, "a"), SILENCE], [event(2, "b"), SILENCE])
        stream = Team(a=a, b=ScriptedSource([SILENCE])).start()
        await until(lambda: stream.text_of("text", "a"))
        stream.recorder.stop("a")
        await until(lambda: stream.ends.get("a") == "stopped")
        stream.recorder.reconnect("a")
        await until(lambda: stream.text_of("text", "a") == "ab")
        stream.store.request_stop("s1", opened=stream.recorder.opened, agent="a").result()
        await stream.after(0.25)
        await until(lambda: stream.state_of("a") == "stopped")
        stream.recorder.stop()
        assert (await stream).how == "stopped"

    run(main())


def test_a_dead_process_and_who_goes_on():
    """Only unfinished agents are called again, each behind its own last record: none complete, none stopped."""

    async def main():
        done, stopped, failed = (
            ScriptedSource(["all", END]),
            ScriptedSource([event(1, "s"), SILENCE]),
            ScriptedSource([NO]),
        )
        cut = ScriptedSource([event(1, "x"), event(2, "y"), SILENCE])
        stream = Team(done=done, stopped=stopped, failed=failed, cut=cut).start()
        await until(lambda: stream.text_of("text", "cut") == "xy" and stream.text_of("text", "stopped"))
        stream.recorder.stop("stopped")
        await until(lambda: set(stream.ends) == {"done", "stopped", "failed"})
        await stream.dies()
        again = {
            "done": ScriptedSource(), "stopped": ScriptedSource(), "failed": ScriptedSource(["at last", END]),
            "cut": ScriptedSource([event(3, "z"), END]),
        }  # fmt: skip
        close = await stream.resume(**again)
        assert {name: len(source.connections) for name, source in again.items()} == {
            "done": 0, "stopped": 0, "failed": 1, "cut": 1,
        }  # fmt: skip
        assert again["cut"].connections[0].cursor["id"] == "2"
        assert (stream.text_of("text", "cut"), stream.text_of("text", "done")) == ("xyz", "all")
        assert (close.how, close.chars) == ("stopped", len("allsat lastxyz"))
        stream.check()

    run(main())


def test_a_stop_that_nobody_recorded():
    """A row for one agent of a process that died with it: it stays stopped when the others go on."""

    async def main():
        sources = {name: ScriptedSource([event(1, name), SILENCE]) for name in "ab"}
        stream = Team(**sources).start()
        await until(lambda: all(stream.text_of("text", name) for name in "ab"))
        stream.store.request_stop("s1", opened=0, agent="a").result()
        await stream.dies()
        again = {"a": ScriptedSource(), "b": ScriptedSource([event(2, "!"), END])}
        assert (await stream.resume(**again)).how == "stopped"
        assert (stream.ends, again["a"].connections) == ({"a": "stopped", "b": "complete"}, [])

    run(main())


def test_resume_of_one_agent_at_rest():
    """Only that one is called, also if it was stopped; the others stay as they ended."""

    async def main():
        stream = Team(a=ScriptedSource([event(1, "a"), SILENCE]), b=ScriptedSource(["b", CUT])).start()
        await until(lambda: stream.text_of("text", "a"))
        stream.recorder.stop("a")
        await stream.after(10)
        assert (await stream).how == "interrupted"
        again = {"a": ScriptedSource([event(2, "!"), END]), "b": ScriptedSource()}
        assert (await stream.resume("a", **again)).how == "interrupted"
        assert (stream.ends["a"], stream.ends["b"], again["b"].connections) == ("complete", "interrupted", [])

    run(main())


def test_an_agent_spawns_another():
    """It begins while its parent speaks, names it, and another process knows of it."""

    async def main():
        gate = Gate()

        def planner(team):
            team.spawn("helper", ScriptedSource(["help", END], spec={"kind": "scripted"}), parent="planner")
            return ScriptedSource(["plan", gate, END])

        stream = Team(planner=nbstream.Agent(planner)).start()
        await until(lambda: stream.text_of("text", "helper") == "help")
        source = {"kind": "scripted", "replayable": False}
        assert stream.marks("waiting") == [("helper", {"on": [], "parent": "planner", "source": source})]
        assert stream.marks("agent_start")[1] == ("helper", {"parent": "planner"})
        gate.open()
        assert (await stream).how == "complete"
        assert stream.ends == {"helper": "complete", "planner": "complete"}

    run(main())


def test_a_stall_of_one_is_its_own():
    """One agent falls silent and asks; the other speaks on, and the stream as a whole with it."""

    async def main():
        gate = Gate()
        a, b = ScriptedSource([event(1, "a"), SILENCE]), ScriptedSource([event(1, "b"), gate, event(2, "c"), SILENCE])
        stream = Team(a=a, b=b).start()
        await gate.arrived()
        await stream.after(59)
        gate.open()
        await until(lambda: stream.text_of("text", "b") == "bc")
        await stream.after(2)
        assert (stream.state_of("a"), stream.state_of("b"), stream.state) == ("stalled", "streaming", "streaming")
        stream.recorder.keep("a")
        assert stream.state_of("a") == "streaming"
        stream.recorder.stop()
        await stream

    run(main())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (nbstream.merge, "needs an agent"),
        (lambda: nbstream.merge(a=["x"], limit=0), "from 1 on"),
        (lambda: nbstream.merge(a="hello"), r"agent a: give a source, not a prompt: merge\(a=nbstream.chat\('...'\)\)"),
        (lambda: nbstream.merge(a=7), "agent a: int is no stream"),
        (lambda: nbstream.merge({"a/b": ["x"]}), 'no "/"'),
        (lambda: nbstream.merge(a=["x"], wait_for={"a": ["b"]}), "'b' is none of the agents"),
        (lambda: nbstream.merge(a=["x"], b=["y"], wait_for={"a": ["b"], "b": ["a"]}), "wait for each other"),
        (lambda: nbstream.merge(a=["x"], parents={"a": "b"}), "b is none"),
    ],
)
def test_a_team_that_makes_no_sense(made, message):
    """It is refused in one line before anything is called."""
    with pytest.raises((ValueError, TypeError), match=message):
        made()


@pytest.mark.parametrize("round_", range(10))
def test_any_interleaving_gives_each_agents_exact_text(seed, round_):
    """Frames of several agents in any order, repeated, delayed and cut: every text is exact and in order."""
    chance = random.Random(f"{seed} {round_}")
    texts = {
        f"a{number}": [chance.choice(["x", "yy ", "🧵", "e\u0301"]) * 2 for _ in range(chance.randint(1, 30))]
        for number in range(chance.randint(2, 5))
    }

    def script(words, cuts):
        def connection(cursor):
            first = int((cursor or {}).get("id", 0))
            first = max(0, first - chance.randint(0, 2)) if cursor else 0  # repeats what is shown
            until_ = chance.randint(first, len(words)) if next(cuts) else len(words)
            for number in range(first, until_):
                for _ in range(chance.choice([1, 1, 2])):
                    part = Part("text", words[number])
                    cursor_ = {"id": str(number + 1), "first": "1"}
                    yield Arrival((part,), cursor_, number=number + 1, event_id=str(number + 1))
            yield END if until_ == len(words) else CUT

        return connection

    async def main():
        agents = {}
        for name, words in texts.items():
            count = chance.randint(0, 2)
            cuts = iter([True] * count + [False] * 20)
            agents[name] = ScriptedSource(*[script(words, cuts)] * 20)
        stream = Team(**agents).start()
        while not stream.task.done():
            await stream.after(1)
        assert (await stream).how == "complete"
        assert {name: stream.text_of("text", name) for name in texts} == {
            name: "".join(words) for name, words in texts.items()
        }
        stream.check()

    run(main())


@pytest.mark.parametrize("rules", [{}, {"limit": 1}])
def test_what_the_team_says_of_an_agent_is_not_what_its_upstream_repeats(rules):
    """One that waited for a slot is cut and says its text again; the question it asks then is its first: it is kept."""

    async def main():
        asks = Part("waiting", fields={"on": "approval of delete"})
        b = ScriptedSource(["Shall", CUT], ["Shall", " I?", asks, END], replayable=True)
        stream = Team(rules, a=ScriptedSource(["x", END]), b=b).start()
        while not stream.task.done():
            await stream.after(0.5)
        assert (await stream).how == "complete"
        assert stream.text_of("text", "b") == "Shall I?"
        assert ("b", {"on": "approval of delete"}) in stream.marks("waiting")

    run(main())


def test_an_agent_that_cannot_be_opened_anew():
    """A store that cannot be read ends it in one line, and lets go who waits for it; the others speak on."""

    class Unreadable(Around):
        damaged = False

        def read(self, after=-1, *, limit=1000):
            if self.damaged:
                raise LogDamaged("record 0 of stream s1 is damaged")
            return self.log.read(after, limit=limit)

    async def main():
        gate = Gate()
        a, b = ScriptedSource([event(1, "x"), NO], [END]), ScriptedSource(["b", gate, END])
        stream = Team({"wait_for": {"w": ["a"]}}, a=a, b=b, w=ScriptedSource(["w", END]), log=Unreadable).start()
        await until(lambda: stream.ends.get("w") == "interrupted")
        stream.wrapped.damaged = True
        stream.recorder.reconnect()
        await until(lambda: len([end for end in stream.marks("agent_end") if end[1]["status"] == "interrupted"]) == 3)
        assert stream.recorder.agents["a"].live.error["type"] == "LogDamaged"
        assert (len(a.connections), stream.state_of("b")) == (1, "streaming")
        gate.open()
        assert (await stream).how == "interrupted"

    run(main())


def ends_an_agent(record):
    """Whether *record* has an `agent_end`."""
    return isinstance(record, Delta) and any(part.kind == "agent_end" for part in record.parts)


async def resumed_too_early(agent, **sources):
    """Return a stream whose agent `a` has failed, and *agent* is resumed while its `agent_end` is being stored."""
    stream = Team(log=SlowToSay, **sources)
    stream.wrapped.held = ends_an_agent
    stream.start()
    await until(lambda: stream.ends.get("a") == "failed" and stream.state_of("a") == "failed")
    stream.recorder.reconnect(agent)
    return stream


@pytest.mark.parametrize("agent", ["a", None])
def test_resume_while_the_end_of_an_agent_is_being_stored(agent):
    """Everybody sees already that it failed: who presses Resume then is heard, and it goes on behind its end."""

    async def main():
        gate = Gate()
        a, b = ScriptedSource([event(1, "x"), NO], ["y", END]), ScriptedSource(["b", gate, END])
        stream = await resumed_too_early(agent, a=a, b=b)
        assert len(a.connections) == 1
        stream.wrapped.held = lambda record: False
        stream.wrapped.say()
        await until(lambda: stream.ends.get("a") == "complete")
        assert (stream.text_of("text", "a"), stream.state_of("b")) == ("xy", "streaming")
        gate.open()
        assert (await stream).how == "complete"
        assert (len(a.connections), len(b.connections)) == (2, 1)

    run(main())


@pytest.mark.parametrize("agent", ["a", None])
def test_stop_takes_back_a_resume_that_waits_for_its_record(agent):
    """Stop was pressed last: what failed stays as it is, and nobody is asked again."""

    async def main():
        gate = Gate()
        a, b = ScriptedSource([event(1, "x"), NO], ["y", END]), ScriptedSource(["b", gate, END])
        stream = await resumed_too_early(agent, a=a, b=b)
        stream.recorder.stop(agent)
        stream.wrapped.held = lambda record: False
        stream.wrapped.say()
        gate.open()
        assert (await stream).how == "failed"
        assert len(a.connections) == 1

    run(main())


def test_who_is_stopped_waits_for_nothing():
    """One that is stopped while it waits for another, for a place or for a slot has no note of that any more."""

    async def main():
        rules = {"limit": 1, "wait_for": {"w": ["a"]}}
        agents = {"a": ScriptedSource(["x", SILENCE]), **{name: ScriptedSource(["y", END]) for name in "qw"}}
        stream = Team(rules, **agents).start()
        await until(lambda: stream.text_of("text", "a"))
        assert [stream.recorder.agents[name].note for name in "qw"] == ["waiting for a slot", "waiting for a"]
        stream.recorder.stop("q")
        stream.recorder.stop("w")
        await until(lambda: len(stream.ends) == 2)
        assert [stream.recorder.agents[name].note for name in "qw"] == [None, None]
        stream.recorder.stop()
        await stream
        alone = Team(a=agents["a"], b=ScriptedSource(["y", END])).start(slots=asyncio.Semaphore(0))
        await until(lambda: alone.recorder.agents["b"].note == "waiting for a slot")
        alone.recorder.stop()
        await alone
        assert alone.recorder.agents["b"].note is None

    run(main())

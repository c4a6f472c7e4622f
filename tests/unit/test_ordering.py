"""Frames that count themselves: early ones wait, late ones find their place, holes are asked for and then named."""

import random

import pytest
from recording import Recording, run, until
from teams import Team

from nbstream.errors import SourceLost
from nbstream.log.readback import parts_of
from nbstream.recorder.ordering import EARLY
from nbstream.recorder.progress import Progress
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.testing import SILENCE, Gate, ScriptedSource
from nbstream.transcript import Transcript

END = End()
CUT = SourceLost("the connection was reset")


def frame(number, text, agent="a", event_id=None):
    """A frame that counts itself; with an id it can be resumed behind."""
    cursor = None if event_id is None else {"id": str(event_id), "first": "0"}
    return Arrival((Part("text", text, agent),), cursor, number=number, event_id=cursor and str(event_id))


def marks(stream, kind):
    """Fields of all parts of a kind."""
    return [dict(part.fields) for part in parts_of(stream.log) if part.kind == kind]


def assembled(stream, agent="a"):
    """The text of an agent with what came late at its place, as readers see it."""
    transcript = Transcript()
    transcript.add(stream.records)
    return transcript.agents[agent].text if agent in transcript.agents else ""


def named(stream):
    """(agent, number) of every frame that is in a gap which is not closed."""
    gaps = {(part.agent, number) for part in parts_of(stream.log) if part.kind == "gap"
            for number in range(part.fields["expected"], part.fields["got"])}  # fmt: skip
    return gaps - {(part.agent, part.fields["number"]) for part in parts_of(stream.log) if part.kind == "late"}


def any_events(chance):
    """
    Draw the texts of some agents, and what a server sends of them: (id, (agent, number, text)).

    Frames are delayed, some are lost for good, and neighbours may share an id. The last frame of an agent does not:
    nothing would show that it is missing.
    """
    texts = {f"agent{n}": [f"{n}.{i} 🧵"[: chance.randint(1, 6)] for i in range(chance.randint(1, 25))]
             for n in range(chance.randint(1, 4))}  # fmt: skip
    events = [(agent, number + 1, text) for agent, said in texts.items() for number, text in enumerate(said)]
    events.sort(key=lambda event: (event[1] + chance.uniform(0, chance.choice((0, 3))), event[0]))
    lost = set(chance.sample(range(len(events)), chance.choice((0, 0, min(3, len(events) // 3)))))
    sent, event_id = [], 0
    for place, event in enumerate(events):
        event_id += 1 if not sent or event[1] == len(texts[event[0]]) else chance.choice((0, 1, 1, 1))
        if place not in lost:
            sent.append((event_id, event))
    return texts, sent


@pytest.mark.parametrize("order", [[1, 3, 2, 4], [3, 2, 1, 4], [2, 1, 4, 3], [1, 4, 3, 2], [1, 2, 2, 1, 3, 3, 4, 4]])
def test_early_frames_wait(order):
    """Whatever order they come in, and how often: the text is in order, at once, and nothing is missing."""

    async def main():
        stream = Recording().start(ScriptedSource([*(frame(number, "-abcd"[number]) for number in order), END]))
        assert (await stream).how == "complete"
        assert (stream.text_of("text", "a"), marks(stream, "gap")) == ("abcd", [])

    run(main())


def test_a_frame_that_does_not_come_within_two_seconds_is_a_gap():
    """Nothing behind the hole is shown before; then it is named, and what waited is shown behind it."""

    async def main():
        stream = Recording().start(ScriptedSource([frame(1, "one "), frame(3, "three"), SILENCE]))
        await stream.after(1.9)
        assert stream.text_of("text", "a") == "one "
        await stream.after(0.5)
        assert stream.text_of("text", "a") == "one three"
        assert marks(stream, "gap") == [{"expected": 2, "got": 3, "at": 4}]
        stream.recorder.stop()
        await stream

    run(main())


def test_too_many_early_frames_do_not_wait():
    """What waits is bounded: behind 64 frames the hole is a gap."""

    async def main():
        gate = Gate()
        early = [frame(number, "x") for number in range(3, 3 + EARLY)]
        stream = Recording().start(ScriptedSource([frame(1, "1"), *early, gate, END]))
        await gate.arrived()
        await until(lambda: len(stream.text_of("text", "a")) == 1 + EARLY)
        gate.open()
        assert (await stream).how == "complete"

    run(main())


def test_a_late_frame_is_shown_at_its_place_and_closes_the_gap():
    """Also in another process: it knows the gap from the log."""

    async def main():
        said = [frame(1, "one ", event_id=1), frame(4, "four", event_id=4)]
        stream = Recording().start(ScriptedSource([*said, SILENCE], [*said, SILENCE], [*said, SILENCE]))
        await stream.after(20)
        assert marks(stream, "gap") == [{"expected": 2, "got": 4, "at": 4}]
        stream.recorder.stop()
        await stream
        stream.resume(
            ScriptedSource([frame(3, "three ", event_id=5), frame(2, "two ", event_id=6), frame(5, "!"), END])
        )
        close = await stream
        assert (close.how, assembled(stream)) == ("complete", "one two three four!")
        assert [late["closes"] for late in marks(stream, "late")] == [False, True]
        assert not Progress.of(stream.log).gaps

    run(main())


def test_twins_with_one_id_and_a_cut_between_them():
    """The server goes on behind both; the number shows it, an older id brings the second one, and none comes twice."""
    events = [(1, "a", 10), (2, "b", 11), (3, "c", 12), (4, "d", 12), (5, "e", 13)]

    def server(cursor):
        behind = int(cursor["id"]) if cursor else 0
        return [frame(number, text, event_id=event_id) for number, text, event_id in events if event_id > behind] + [
            END
        ]

    async def main():
        first = [frame(*event[:2], event_id=event[2]) for event in events[:3]]
        source = ScriptedSource([*first, CUT], server, server, server)
        stream = Recording().start(source)
        while not stream.task.done():
            await stream.after(1)
        assert ((await stream).how, stream.text_of("text", "a"), marks(stream, "gap")) == ("complete", "abcde", [])
        assert [connection.cursor and connection.cursor["id"] for connection in source.connections] == [
            None,
            "12",
            "11",
        ]

    run(main())


def test_another_agent_does_not_move_the_cursor_past_a_frame_that_waits():
    """What waits is not stored: cut meanwhile, it is asked for again."""

    async def main():
        source = ScriptedSource(
            [frame(1, "a", event_id=1), frame(3, "c", event_id=2), frame(1, "x", "b", event_id=3), CUT],
            lambda cursor: [
                *([frame(3, "c", event_id=2), frame(1, "x", "b", event_id=3)] if cursor["id"] == "1" else []),
                frame(2, "b", event_id=4), frame(2, "y", "b", event_id=5), END,
            ],
        )  # fmt: skip
        stream = Recording().start(source)
        while not stream.task.done():
            await stream.after(1)
        assert (await stream).how == "complete"
        assert (stream.text_of("text", "a"), stream.text_of("text", "b")) == ("abc", "xy")
        stream.check()

    run(main())


def test_the_place_of_a_frame_that_waits_is_none_to_go_on_behind():
    """Cut before anything is shown, the call is made again from its beginning, not behind what was only waiting."""

    async def main():
        source = ScriptedSource(
            [frame(2, "b", event_id=2), CUT],
            lambda cursor: [END] if cursor else [frame(1, "a", event_id=1), frame(2, "b", event_id=2), END],
            replayable=True,
        )
        stream = Recording().start(source)
        while not stream.task.done():
            await stream.after(1)
        assert (await stream).how == "complete"
        assert stream.text_of("text", "a") == "ab"

    run(main())


@pytest.mark.parametrize("round_", range(12))
def test_any_order_any_cut_any_loss(seed, round_):
    """
    Frames of N agents interleaved, doubled, delayed, lost for good and cut anywhere, with ids that twins share.

    What comes is shown once and at its place; what never comes is in a gap, and nothing else is.
    """
    chance = random.Random(f"{seed} {round_}")
    texts, sent = any_events(chance)
    cuts = iter([True] * chance.randint(0, 3))

    def server(cursor):
        behind = int(cursor["id"]) if cursor else 0
        rest = [(at, event) for at, event in sent if at > behind]
        stop = chance.randint(0, len(rest)) if next(cuts, False) else None
        for at, (agent, number, text) in rest[:stop]:
            for _ in range(chance.choice((1, 1, 1, 2))):
                yield frame(number, text, agent, event_id=at)
        yield END if stop is None else CUT

    async def main():
        stream = Recording().start(ScriptedSource(*[server] * 40, replayable=True))
        for _ in range(5):
            while not stream.task.done():
                await stream.after(1)
            if (await stream).how == "complete":
                break
            # Cut so often without progress that it is interrupted: the next process goes on.
            stream.resume(ScriptedSource(*[server] * 40, replayable=True))
        assert stream.close.how == "complete"
        came = {(agent, number) for _, (agent, number, _) in sent}
        missing = set()
        for agent, said in texts.items():
            there = [number for number in range(1, len(said) + 1) if (agent, number) in came]
            assert assembled(stream, agent) == "".join(said[number - 1] for number in there)
            missing |= {(agent, number) for number in range(1, max(there, default=0))} - came
        assert named(stream) == missing

    run(main())


@pytest.mark.parametrize("resumable", [True, False])
def test_a_hole_is_as_old_as_itself(resumable):
    """Two agents whose frames are out of order all the time: no hole is 2 s old, so none is named or asked for."""
    order = [("a", 1), ("b", 1), ("a", 3)]
    for k in range(2, 40):
        order += [("b", 2 * k - 1), ("a", 2 * k - 2), ("a", 2 * k + 1), ("b", 2 * k - 2)]
    order.append(("a", 78))
    sent = [
        frame(number, f"{number} ", agent, event_id=at if resumable else None)
        for at, (agent, number) in enumerate(order, 1)
    ]

    async def main():
        stream = Recording()

        class Slow(ScriptedSource):
            async def connect(self, cursor, pulse):
                async for arrival in super().connect(cursor, pulse):
                    yield arrival
                    await stream.clock.sleep(0.1)

        source = Slow([*sent, END])
        stream.start(source)
        while not stream.task.done():
            await stream.after(0.1)
        assert (await stream).how == "complete"
        assert (len(source.connections), marks(stream, "gap"), marks(stream, "late")) == (1, [], [])

    run(main())


def test_a_late_frame_of_an_agent_inside_a_team():
    """Its gap is known behind a cut, and to the end mark: what comes late there is shown, as without a team."""

    async def main():
        gate = Gate()
        texts = {1: "one ", 3: "three ", 2: "two ", 4: "four"}

        def server(cursor):
            behind = int((cursor or {}).get("id", 0))
            frames = [frame(number, text, "pilot", event_id=at) for at, (number, text) in enumerate(texts.items(), 1)]
            if not marks(stream, "gap"):
                return [*frames[behind:2], gate, CUT]
            return [*frames[2:], End(length=len("".join(texts.values())))]

        stream = Team(m=ScriptedSource(*[server] * 10)).start()
        await gate.arrived()
        while not stream.task.done():
            await stream.after(0.5)
            if marks(stream, "gap"):
                gate.open()
        close = await stream
        assert (close.how, assembled(stream, "m/pilot")) == ("complete", "one two three four")
        assert [late["closes"] for late in marks(stream, "late")] == [True]
        assert not Progress.of(stream.log).voices["m"].gaps

    run(main())


def test_what_went_on_while_a_frame_waited_does_not_come_twice():
    """A call is cut behind it, and the next one brings a part of it before the hole is named: it is known by number."""

    async def main():
        first = [frame(1, "1", event_id=1), frame(2, "y", "b", event_id=2), frame(2, "2", event_id=3),
                 frame(3, "3", event_id=4)]  # fmt: skip
        again = [frame(2, "y", "b", event_id=2), frame(3, "3", event_id=4), frame(4, "4", event_id=5), SILENCE]
        stream = Recording().start(ScriptedSource([*first, CUT], *[again] * 10))
        await stream.after(30)
        assert (stream.text_of("text", "a"), stream.text_of("text", "b")) == ("1234", "y")
        assert [gap["expected"] for gap in marks(stream, "gap")] == [1]
        stream.recorder.stop()
        await stream

    run(main())

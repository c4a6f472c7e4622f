"""Resume: wherever it was cut, in this process or the next, the text comes exactly once."""

import asyncio
import hashlib
import random

import pytest
from recording import Around, Recording, run

from nbstream.errors import SourceLost, SourceMalformed
from nbstream.log.readback import records_of
from nbstream.recorder.progress import Progress
from nbstream.recorder.recorder import LOOK_S
from nbstream.records import Close, Delta, Open, Part
from nbstream.sources.contract import Arrival, End
from nbstream.testing import FakeClock, ScriptedSource

RUNS = 300
RUNS_SOAK = 10_000

ALPHABETS = ["ab", "abcdefghij ", "aé🙂\n", "日本語 "]


class Upstream:
    """
    A server that has one message, as events, and a way to resume: what it sends again is what such servers send.

    `style`: `id` (Last-Event-ID), `id+offset`, `offset`, `number` (id, frames count themselves), `replay` (a GET that
    always starts over), `starts over` (has ids, but ignores what the client has).
    """

    def __init__(self, chance):
        self.style = chance.choice(["id", "id+offset", "offset", "number", "replay", "starts over"])
        alphabet = chance.choice(ALPHABETS)
        longest = chance.choice([3, 12, 40, 20_000]) if chance.random() < 0.9 else 60_000
        count = chance.randrange(1, 40) if longest < 1000 else chance.randrange(1, 5)
        self.pieces = ["".join(chance.choices(alphabet, k=chance.randrange(1, longest + 1))) for _ in range(count)]
        self.text = "".join(self.pieces)
        #: Repeats the last event the client has (an off-by-one many servers have), where a client can tell.
        self.inclusive = chance.random() < 0.3 and self.style in ("id", "id+offset", "number")
        #: Not every event has an id.
        self.sparse = chance.random() < 0.3 and self.style in ("id", "id+offset")
        self.end = End(length=len(self.text), sha256=hashlib.sha256(self.text.encode()).hexdigest())

    def events(self):
        place = 0
        for number, piece in enumerate(self.pieces, 1):
            event_id = None if self.sparse and number % 3 == 0 else str(number)
            arrival = Arrival((Part("text", piece),))
            if self.style in ("id", "id+offset", "number", "starts over") and event_id:
                arrival = arrival._replace(cursor={"id": event_id, "first": "1"}, event_id=event_id)
            if self.style in ("id+offset", "offset"):
                cursor = {**(arrival.cursor or {}), "offset": place + len(piece)}
                arrival = arrival._replace(cursor=cursor, start=place)
            if self.style == "number":
                arrival = arrival._replace(number=number)
            place += len(piece)
            yield arrival
        yield Arrival(end=self.end)

    def after(self, cursor):
        """What comes behind *cursor*."""
        events = list(self.events())
        if not cursor or self.style in ("replay", "starts over"):
            return events
        if self.style == "offset":
            return self._from_character(cursor["offset"])
        have = [number for number, event in enumerate(events) if event.event_id == cursor.get("id")]
        assert have, f"the cursor {cursor} names no event"
        return events[have[0] if self.inclusive else have[0] + 1 :]

    def _from_character(self, offset):
        assert 0 <= offset <= len(self.text)
        rest = self.text[offset:]
        part = (Part("text", rest),) if rest else ()
        return [Arrival(part, {"offset": len(self.text)}, start=offset), Arrival(end=self.end)]


class Cut:
    """The scripts of *upstream*, each connection cut after a random number of events until *cuts* are used up."""

    def __init__(self, chance, upstream, cuts):
        self.chance, self.upstream, self.cuts = chance, upstream, cuts

    def __call__(self, cursor):
        events = self.upstream.after(cursor)
        if self.cuts:
            self.cuts -= 1
            return [*events[: self.chance.randrange(len(events))], SourceLost("cut")]
        return events


class Hurry(FakeClock):
    """Waiting for a retry takes no time, and nobody looks for silence."""

    async def sleep(self, seconds):
        if seconds == LOOK_S:
            await asyncio.Event().wait()


def recording(**options):
    """A recording that takes no time."""
    return Recording(clock=Hurry(), **options)


def beginnings(log):
    """Every log that a crash may leave: cut behind any of its records but the close."""
    records = list(records_of(log))
    for length in range(1, len(records) + 1):
        if not isinstance(records[length - 1], Close):
            yield records[:length]


def crashed(records):
    """A recording whose process died behind *records*."""
    again = recording()
    for offset, record in enumerate(records[1:], 1):
        again.log.append(offset, record)
    again.lock.release()
    return again


def test_every_cut_gives_the_same_text_once(seed, soak):
    """Random messages, cuts and ways to resume, then a crash behind every single record: the text, exactly once."""

    async def one(number):
        chance = random.Random(f"{seed}-{number}")
        upstream = Upstream(chance)
        replayable = upstream.style in ("replay", "starts over")
        scripts = Cut(chance, upstream, cuts=chance.choice([0, 1, 3]))
        stream = recording().start(ScriptedSource(*[scripts] * 9, replayable=replayable))
        close = await stream
        where = f"run {number}, {upstream.style}, {len(upstream.pieces)} events"
        assert close.how == "complete", (where, close)
        assert stream.text == upstream.text, where
        stream.check()

        for records in beginnings(stream.log):
            again = crashed(records)
            again.resume(ScriptedSource(*[Cut(chance, upstream, chance.choice([0, 1]))] * 9, replayable=True))
            close = await again
            assert close.how == "complete", (where, f"crash behind record {len(records) - 1}", close)
            assert again.text == upstream.text, (where, f"crash behind record {len(records) - 1}")
            again.check()

    async def main():
        for number in range(RUNS_SOAK if soak else RUNS):
            await one(number)

    run(main(), limit_s=600)


# -- the cases of their own -----------------------------------------------------------------------------------------


def event(place, text, number=None):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(place), "first": "1"}, event_id=str(place), number=number)


def test_an_event_larger_than_a_record_survives_a_crash_inside_it(seed):
    """A crash between the records of one event: the event is asked for again, verified, and goes on inside."""
    text = "".join(random.Random(seed).choices("abcdefghij", k=100_000))

    async def main():
        script = [event(1, "start "), event(2, text), End()]
        stream = recording().start(ScriptedSource(script))
        await stream
        inside = [
            records for records in beginnings(stream.log) if isinstance(records[-1], Delta) and records[-1].behind
        ]
        assert len(inside) >= 6
        for records in inside:
            again = crashed(records)
            source = ScriptedSource([event(2, text), event(3, "!"), End()])
            again.resume(source)
            assert (await again).how == "complete"
            assert again.text == "start " + text + "!"
            assert source.connections[0].cursor["id"] == "1"

    run(main())


@pytest.mark.parametrize("style", ["number", "plain"])
def test_a_numbered_event_larger_than_a_record(style):
    """A frame's number stands for the whole frame: half of it in the log is not all of it."""
    big = "0123456789" * 5000

    def frame(number, text):
        return event(number, text, number if style == "number" else None)

    async def main():
        stream = recording().start(ScriptedSource([frame(1, "a"), frame(2, big), frame(3, "z"), End()]))
        await stream
        for records in beginnings(stream.log):
            last = records[-1].cursor["id"] if isinstance(records[-1], Delta) else "0"
            again = crashed(records)
            rest = [frame(1, "a"), frame(2, big), frame(3, "z")][int(last) :]
            again.resume(ScriptedSource([*rest, End()], replayable=True))
            assert (await again).how == "complete"
            assert again.text == f"a{big}z"

    run(main())


def test_several_agents_in_one_event():
    """An event of several agents, larger than a record, is joined agent by agent after a crash inside it."""
    parts = (
        Part("reasoning", "r" * 20_000, "planner"), Part("text", "p" * 20_000, "planner"),
        Part("tool_call", agent="planner", fields={"id": "t1"}), Part("text", "é" * 20_000, "writer"),
    )  # fmt: skip
    first = Arrival((Part("text", "go ", "planner"),), {"id": "1"}, event_id="1")
    big = Arrival(parts, {"id": "2"}, event_id="2")

    async def main():
        stream = recording().start(ScriptedSource([first, big, End()]))
        await stream
        for records in beginnings(stream.log):
            again = crashed(records)
            script = [big, End()] if isinstance(records[-1], Delta) and records[-1].cursor["id"] == "1" else [End()]
            again.resume(ScriptedSource([first, big, End()] if len(records) == 1 else script, replayable=True))
            close = await again
            assert close.how == "complete", close
            again.check()
            assert again.text_of("text", "planner") == "go " + "p" * 20_000
            assert again.text_of("reasoning", "planner") == "r" * 20_000
            assert again.text_of("text", "writer") == "é" * 20_000
            calls = [part for record in again.deltas for part in record.parts if part.kind == "tool_call"]
            assert len(calls) == 1

    run(main())


def test_the_cursor_goes_back_as_it_came():
    """A resumed call gets the last cursor, and nothing is asked for that is there."""

    async def main():
        source = ScriptedSource([event(1, "a"), event(2, "b"), SourceLost("cut")], [event(3, "c"), End()])
        stream = recording().start(source)
        await stream
        assert source.connections[1].cursor == {"id": "2", "first": "1"}
        assert stream.text == "abc"

    run(main())


def test_numbers_survive_in_the_cursor():
    """A new process sees the gap that the old one would have seen: it is asked for again, then named."""

    async def main():
        stream = recording().start(ScriptedSource([event(1, "a", number=1), event(2, "b", number=2), End()]))
        await stream
        again = crashed(stream.records[:-1])
        again.resume(ScriptedSource(*[[event(4, "d", number=4), End()]] * 2))
        close = await again
        assert (close.how, again.text) == ("complete", "abd")
        (gap,) = [part for delta in again.deltas for part in delta.parts if part.kind == "gap"]
        assert gap.fields == {"expected": 3, "got": 4, "at": 2}

    run(main())


def test_a_failed_stream_resumes():
    """Failed after some text is not the end: a further open goes on in the same log."""

    async def main():
        stream = recording().start(ScriptedSource([event(1, "a"), SourceMalformed("garbage")]))
        assert (await stream).how == "failed"
        stream.resume(ScriptedSource([event(2, "b"), End()]))
        close = await stream
        assert (close.how, stream.text, close.chars) == ("complete", "ab", 2)
        kinds = [type(record) for record in stream.records]
        assert kinds == [Open, Delta, Close, Open, Delta, Close]

    run(main())


def test_a_long_repetition_costs_what_it_weighs():
    """A GET that starts over after 2 MB is verified in blocks, not with a look at the log for every token."""

    class Counting(Around):
        reads = 0

        def read(self, after=-1, *, limit=1000):
            self.reads += 1
            return self.log.read(after, limit=limit)

    async def main():
        tokens = [f"{number:7d} " for number in range(250_000)]
        stream = recording(log=Counting)
        source = ScriptedSource([*tokens, SourceLost("cut")], [*tokens, "!", End()], replayable=True)
        stream.start(source)
        assert (await stream).how == "complete"
        assert stream.text == "".join(tokens) + "!"
        assert stream.wrapped.reads < 400

    run(main(), limit_s=60)


def test_progress_read_back_is_progress_counted():
    """What a new process reads from the log is what the old one knew."""

    async def main():
        stream = recording().start(
            ScriptedSource([event(1, "a"), "b", Part("raw", fields={"type": "x"}), event(2, "c"), End()])
        )
        await stream
        assert Progress.of(stream.log) == stream.recorder.progress

    run(main())

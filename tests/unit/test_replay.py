"""Replay: a saved stream once more, at its pace, without a call."""

import asyncio
import json
import threading
import time

import pytest

from nbstream.errors import LogDamaged, StreamError
from nbstream.host import Host
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import records_of
from nbstream.playing import UNHELD_S, Replay
from nbstream.records import Close, Delta, Open, Part
from nbstream.runtime import runtime
from nbstream.stream import Stream
from nbstream.testing import FakeClock

#: Seconds behind the first record, and what was saved then.
SAVED = [(0.2, "one "), (0.4, "two "), (0.8, "three")]


@pytest.fixture
def store():
    """Return the store of the saved stream."""
    store = MemoryStore()
    yield store
    runtime().close()
    store.close()


def opening(at, intent="new"):
    """Return an `open` at *at*."""
    return Open("s1", json.dumps(["n", "c", None]), intent, {"kind": "scripted"}, "f", "pid 1", "h", "b", at)


def saved(store, *more, how="complete", pieces=SAVED):
    """Return a stream that is saved: an `open` at 0, the pieces, a `close` 0.1 s later; then *more*."""
    started = store.start(opening(0.0))
    length = 0
    for offset, (at, text) in enumerate(pieces, 1):
        started.log.append(offset, Delta((Part("text", text, sequence=offset, off=length),), at))
        length += len(text)
    ended = pieces[-1][0] + 0.1
    for record in (Close(how, ended, chars=length), *more):
        started.log.append(started.log.tail() + 1, record)
    started.lock.release()
    return Stream(Host(store, "n", no_call), store.log("s1"), from_store=True)


def no_call(source):
    """Fail: nobody may be called."""
    raise AssertionError(f"a call is made of {source}")


async def seen(stream):
    """Return (seconds since the begin, text) of every record of text, as a reader sees it."""
    began = time.monotonic()
    return [(time.monotonic() - began, part.text) async for part in stream]


def test_it_plays_at_the_pace_of_the_records(store):
    """Each piece comes when it came, divided by the speed; text and end are those of the stream; no call is made."""
    stream = saved(store)
    began = time.monotonic()
    replay = Replay(stream, 2)
    came = asyncio.run(seen(replay))
    took = time.monotonic() - began
    assert [text for _, text in came] == ["one ", "two ", "three"]
    assert came[2][0] - came[0][0] >= 0.25, "0.3 s less what a busy reader was late for the first"
    assert took >= 0.45 - 0.02
    assert (replay.text, replay.state, replay.settled) == (stream.text, "complete", True)
    assert "replay of s1, 2 times as fast" in repr(replay)


def test_the_store_holds_nothing_new(store):
    """A replay is in memory only: the store has the stream it had, with the records it had, and ids differ."""
    stream = saved(store)
    before = list(records_of(stream.log))
    replay = Replay(stream, 1000)
    replay.wait()
    assert [status.stream for status in store.list()] == ["s1"]
    assert list(records_of(stream.log)) == before
    assert replay.id.startswith("s1-replay-")
    assert [type(record) for record in records_of(replay.log)] == [type(record) for record in before]


def test_an_hour_between_two_calls_is_no_hour(store):
    """A message that was cut and resumed an hour later is played whole; the wait between is two seconds at the most."""
    text = Delta((Part("text", " four", sequence=4, off=13),), 3600.5)
    stream = saved(store, opening(3600.0, "resume"), text, Close("complete", 3600.6, chars=18), how="interrupted")
    replay = Replay(stream, 20)
    began = time.monotonic()
    replay.wait(20)
    assert time.monotonic() - began < 5
    assert (replay.text, replay.state) == ("one two three four", "complete")
    assert replay.facts().resumed == 1


def test_stop_ends_the_replay_and_not_the_stream(store):
    """Stop in the middle: what was played stays, the replay says stopped, the stream that it plays is as it was."""
    stream = saved(store, pieces=[(0.0, "one "), (1000.0, "two")])
    replay = Replay(stream)
    while not replay.text:
        replay.log.wait(0, 5)
    replay.stop()
    replay.wait(5)
    assert (replay.text, replay.state, stream.state) == ("one ", "stopped", "complete")
    replay.stop()
    assert "stopped by you" in repr(replay)


def test_nothing_can_be_done_to_it_but_stop(store):
    """No button but Stop is offered, in any state; resume and regenerate say what to do instead, and make no call."""
    stream = saved(store, how="interrupted", pieces=[(0.0, "one "), (0.2, "two")])
    replay = Replay(stream)
    assert replay.status()["actions"] == ["stop"]
    replay.wait()
    assert (replay.status()["actions"], replay.state) == ([], "interrupted")
    assert "cell to ask anew" not in replay.status()["line"]
    for act, says in ((replay.resume, "%stream resume s1"), (replay.regenerate, "%stream regenerate s1")):
        with pytest.raises(StreamError, match=says):
            act()
    with pytest.raises(StreamError, match="as a whole"):
        replay.stop("planner")
    replay.keep()


def test_a_replay_that_nobody_looks_at_ends(store):
    """A replay of a day whose page is gone does not go on for a day."""
    stream = saved(store, pieces=[(0.0, "one "), (86_400.0, "two")])

    class Hasty(FakeClock):
        passed = 0.0

        def __init__(self):
            super().__init__()
            self.runs = threading.Event()

        async def sleep(self, seconds):
            if not self.runs.is_set():
                await asyncio.to_thread(self.runs.wait, 20)
            self.passed += seconds
            await asyncio.sleep(0)

        def monotonic(self):
            return self.passed

    clock = Hasty()
    clock.runs.set()
    replay = Replay(stream, clock=clock)
    replay._playing.result(20)
    assert (replay.text, replay.settled) == ("one ", True)
    assert UNHELD_S <= clock.monotonic() < 2 * UNHELD_S
    clock = Hasty()
    held = Replay(stream, clock=clock)
    end = held.hold("reader")
    clock.runs.set()  # not before: half a minute of this clock is over in no time
    held._playing.result(20)
    end()
    assert held.text == "one two"


def test_a_live_stream_is_not_played(store):
    """What is still recorded is refused in one line that says what shows it; once it has ended it is played."""
    started = store.start(opening(0.0))
    started.log.append(1, Delta((Part("text", "one ", sequence=1),), 0.1))
    stream = Stream(Host(store, "n", no_call), store.log("s1"), from_store=True)
    with pytest.raises(StreamError, match=r"stream s1 is still being recorded: `%stream show s1`"):
        Replay(stream)
    assert [status.stream for status in store.list()] == ["s1"]
    started.log.append(2, Close("complete", 0.2, chars=4))
    started.lock.release()
    replay = Replay(stream, 1000)
    replay.wait(5)
    assert (replay.text, replay.state) == ("one ", "complete")


def test_a_damaged_stream_is_played_up_to_the_damage(store):
    """What is before the damage is played, and the line says why it ends there; without a beginning nothing is."""
    stream = saved(store)
    read = stream.log.read

    def damaged(after=-1, *, limit=1000):
        if after + 1 >= broken:
            raise LogDamaged(f"record {broken} of stream s1 is damaged")
        return read(after, limit=min(limit, broken - after - 1))

    stream.log.read = damaged
    broken = 2
    replay = Replay(stream, 100)
    replay.wait()
    assert (replay.text, replay.state) == ("one ", "interrupted")
    assert "record 2 of stream s1 is damaged" in repr(replay)
    broken = 0
    with pytest.raises(LogDamaged, match="record 0 of stream s1"):
        Replay(stream)


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan"), "fast", None, True])
def test_a_speed_that_is_none_is_refused(store, speed):
    """One clear line, and nothing is begun."""
    with pytest.raises(ValueError, match="give a number above 0"):
        Replay(saved(store), speed)


def test_a_clock_that_was_set_back_is_no_pause(store):
    """A time that goes back is played at once."""
    stream = saved(store, pieces=[(100.0, "one "), (50.0, "two ")])
    replay = Replay(stream, 1000)
    replay.wait(5)
    assert replay.text == "one two "

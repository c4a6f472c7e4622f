"""Stop means stop: wherever the stream is, from whoever asks; and what happens when nobody holds it any more."""

import asyncio

import pytest
from recording import FullLog, Recording, SlowLog, run, until

from nbstream.errors import SourceLost
from nbstream.records import Close, Part
from nbstream.sources.contract import Arrival, End
from nbstream.testing import SILENCE, Gate, ScriptedSource

CUT = SourceLost("the connection was reset")


def event(number, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(number), "first": "1"}, event_id=str(number))


async def in_place(place):
    """A stream that stands at *place*."""
    stream, gate = Recording(), Gate()
    script = {
        "before the first token": [[gate, "never"]],
        "mid-text": [["some ", "text", gate, "never"]],
        "in silence": [[event(1, "a"), SILENCE]],
        "in back-off": [[event(1, "a"), CUT], ["never"]],
        "while it is connecting again": [[event(1, "a"), CUT], [gate, "never"]],
    }[place]
    stream.start(ScriptedSource(*script, clock=stream.clock))
    if place == "in silence":
        await stream.after(61)
        assert stream.state == "stalled"
    elif place == "in back-off":
        await until(lambda: stream.state == "retrying")
    else:
        if place == "while it is connecting again":
            await until(lambda: stream.state == "retrying")
            await stream.after(0.2)
        await gate.arrived()
    return stream, stream.recorder.source


PLACES = ["before the first token", "mid-text", "in silence", "in back-off", "while it is connecting again"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("presses", [1, 3])
def test_stop(place, presses):
    """The upstream is closed before anything else, what came is kept, and no call is made afterwards."""

    async def main():
        stream, source = await in_place(place)
        calls = len(source.connections)
        for _ in range(presses):
            stream.recorder.stop()
        await until(lambda: source.open_connections == 0)  # no time has passed
        close = await stream
        assert (close.how, close.finish, close.error) == ("stopped", "cancelled", None)
        assert (stream.state, stream.live.connections) == ("stopped", 0)
        await stream.after(200)
        assert len(source.connections) == calls
        assert "never" not in stream.text
        assert stream.store.status("s1").state == "stopped"
        stream.check()

    run(main())


@pytest.mark.parametrize("place", PLACES)
def test_a_stop_row_of_another_process(place):
    """A stop row in the store ends the call within 250 ms, wherever it is."""

    async def main():
        stream, source = await in_place(place)
        stream.store.request_stop("s1", opened=0).result()
        await stream.after(0.25)
        assert source.open_connections == 0
        assert (await stream).how == "stopped"

    run(main())


def test_a_stop_row_of_an_earlier_call_is_none_of_ours():
    """A stop ends the open it was meant for: a resumed call is not touched by it."""

    async def main():
        stream = Recording().start(ScriptedSource([event(1, "a"), SILENCE]))
        stream.store.request_stop("s1", opened=0).result()
        await stream.after(0.25)
        assert (await stream).how == "stopped"
        gate = Gate()
        stream.resume(ScriptedSource([gate, event(2, "b"), End()]))
        await gate.arrived()
        await stream.after(10)
        assert stream.state == "connecting"
        gate.open()
        assert (await stream).how == "complete"
        assert stream.text == "ab"

    run(main())


def test_stop_before_the_recorder_runs():
    """Stopped before it began, a stream makes no call at all."""

    async def main():
        source = ScriptedSource(["never"])
        stream = Recording().start(source)
        stream.recorder.stop()
        assert (await stream).how == "stopped"
        assert source.connections == []

    run(main())


def test_stop_while_it_waits_for_room():
    """A source that is paused because the log is slow is closed at once all the same."""

    async def main():
        stream = Recording(log=SlowLog)
        source = ScriptedSource(["x" * 100_000] * 20)
        stream.start(source)
        await until(lambda: source.connections and source.connections[0].pulled >= 3)
        await stream.clock.settle()
        stream.recorder.stop()
        await until(lambda: source.open_connections == 0)
        assert stream.state == "streaming", "not at rest before the log says so"
        while not stream.task.done():
            await until(lambda: stream.wrapped.waiting or stream.task.done())
            if stream.wrapped.waiting:
                stream.wrapped.store_one()
        assert (await stream).how == "stopped"
        assert len(stream.text) == stream.close.chars >= 200_000

    run(main())


def test_stop_while_the_store_is_full():
    """The upstream is closed at once; the line says stopped and not saved; once there is room, nothing is missing."""

    async def main():
        stream, gate = Recording(log=FullLog), Gate()
        source = ScriptedSource(["one ", gate, "two", SILENCE])
        stream.start(source)
        await gate.arrived()
        await until(lambda: stream.text == "one ")
        stream.wrapped.times = 3
        gate.open()
        await until(lambda: not stream.live.saved)
        assert stream.state == "streaming"
        stream.recorder.stop()
        await until(lambda: stream.state == "stopped")
        assert source.open_connections == 0
        assert (stream.live.saved, stream.live.note) == (False, "not saved: no space left on the device")
        assert not stream.task.done()
        await stream.after(2)
        assert (stream.text, stream.close) == ("one ", None)
        await stream.after(1)
        close = await stream
        assert (close.how, stream.text, close.chars) == ("stopped", "one two", 7)
        assert (stream.live.saved, stream.live.note) == (True, None)

    run(main())


def test_a_close_that_finds_the_store_full():
    """Stopped is stopped, also when only its close record finds no room."""

    async def main():
        stream = Recording(log=FullLog).start(ScriptedSource(["a", SILENCE]))
        stream.wrapped.times, stream.wrapped.kind = 1, Close
        await until(lambda: stream.text == "a")
        stream.recorder.stop()
        await until(lambda: stream.state == "stopped")
        assert (stream.live.saved, stream.close) == (False, None)
        await stream.after(1)
        assert (await stream).how == "stopped"
        assert stream.live.saved

    run(main())


def test_nobody_holds_it_any_more():
    """The lease is over: interrupted, the upstream closed, the text kept, and it can be resumed."""

    async def main():
        stream = Recording().start(ScriptedSource([event(1, "a"), SILENCE]))
        await until(lambda: stream.text == "a")
        stream.recorder.leave()
        close = await stream
        assert (close.how, close.finish, close.error) == ("interrupted", "cancelled", None)
        stream.resume(ScriptedSource([event(2, "b"), End()]))
        assert (await stream).how == "complete"
        assert stream.text == "ab"

    run(main())


def test_the_first_intent_counts():
    """Stop and leave at once: what came first is what the close says."""

    async def main():
        stream = Recording().start(ScriptedSource(["a", SILENCE]))
        await until(lambda: stream.text == "a")
        stream.recorder.stop()
        stream.recorder.leave()
        assert (await stream).how == "stopped"

    run(main())


def test_stop_at_rest_changes_nothing():
    """Stop after the end is no second end."""

    async def main():
        stream = Recording().start(ScriptedSource(["a", End()]))
        await stream
        stream.recorder.stop()
        await stream.after(1)
        assert (stream.state, len(stream.records)) == ("complete", 3)

    run(main())


def test_a_source_that_takes_its_time_to_close():
    """The stream is not at rest before its upstream is closed, however often Stop is pressed."""
    closed = []

    class Slow(ScriptedSource):
        async def connect(self, cursor, pulse):
            try:
                async for arrival in super().connect(cursor, pulse):
                    yield arrival
            finally:
                for _ in range(20):
                    await asyncio.sleep(0.001)
                closed.append(True)

    async def main():
        stream = Recording().start(Slow(["a", SILENCE]))
        await until(lambda: stream.text == "a")
        stream.recorder.stop()
        await asyncio.sleep(0.005)
        stream.recorder.stop()
        assert (await stream).how == "stopped"
        assert closed == [True]

    run(main())

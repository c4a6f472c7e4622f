"""The recorder when nobody watches, and when the machine sleeps."""

import pytest
from recording import Recording, run, until

from nbstream.errors import SourceLost, SourceRefused
from nbstream.lease import AWAKE_S, Lease
from nbstream.log.memory import MemoryStore
from nbstream.recorder.totals import Totals
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.testing import PING, SILENCE, Gate, ScriptedSource
from nbstream.words import Facts, line


def event(number, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(number), "first": "1"}, event_id=str(number))


class Held:
    """Who holds the stream, if anybody."""

    def __init__(self, held=False):
        self.held = held

    def lease(self, linger_s):
        return Lease(linger_s, lambda: self.held)


async def started(source, *, held=False, linger_s=600.0, store=None, **options):
    """Start a recording with a lease and let its first text come."""
    holder = Held(held)
    stream = Recording(store).start(source, lease=holder.lease(linger_s), **options)
    await until(lambda: stream.text)
    return stream, holder


# -- the lease ------------------------------------------------------------------------------------------------------


def test_nobody_comes_back():
    """The upstream is closed, the text is kept, the line says why and what to do, and Resume goes on behind it."""

    async def main():
        source = ScriptedSource([event(1, "some text"), SILENCE])
        stream, _ = await started(source, idle_s=1e6)
        await stream.after(600)
        assert (stream.state, source.open_connections) == ("streaming", 1)
        await stream.after(0.5)
        close = await stream
        assert source.open_connections == 0
        assert (close.how, close.finish, close.error["type"]) == ("interrupted", "cancelled", "LeaseOver")
        said = line(Facts(stream.state, chars=close.chars, tail=2, error=close.error))
        assert said.startswith(
            "interrupted: nobody watched it for 600 s; everything shown is saved, Resume goes on behind it"
        )
        stream.resume(ScriptedSource([event(2, "!"), End()]))
        assert (await stream).how == "complete"
        assert stream.text == "some text!"

    run(main())


def test_a_held_stream_goes_on():
    """While somebody holds it nothing ends; who goes and comes back in time finds it going on."""

    async def main():
        stream, holder = await started(ScriptedSource(["a", SILENCE]), held=True, idle_s=1e6, linger_s=10.0)
        await stream.after(100)
        holder.held = False
        await stream.after(9)
        holder.held = True
        await stream.after(5)
        holder.held = False
        await stream.after(9)
        assert stream.state == "streaming"
        await stream.after(2)
        assert (await stream).how == "interrupted"

    run(main())


@pytest.mark.parametrize("place", ["connecting", "stalled", "retrying"])
def test_it_ends_every_live_state(place):
    """Without linger and without anybody the call ends within 250 ms, whatever it is doing."""

    async def main():
        busy = SourceRefused("busy", status=503, retryable=True, retry_after_s=60)
        scripts = {"connecting": [SILENCE], "stalled": ["a", SILENCE], "retrying": [busy]}
        holder, stream = Held(held=True), Recording()
        source = ScriptedSource(scripts[place])
        stream.start(source, lease=holder.lease(0.0))
        await stream.after(61 if place == "stalled" else 1)
        assert stream.state == place
        holder.held = False
        await stream.after(0.25)
        close = await stream
        assert (close.how, close.error["message"]) == ("interrupted", "nobody watches it any more")
        assert source.open_connections == 0

    run(main())


def test_a_stop_beats_the_lease():
    """Stop pressed in the moment in which the lease is over, before or behind its end: stopped."""

    async def main():
        for first in ("stop", "lease"):
            stream, _ = await started(ScriptedSource(["a", SILENCE]))
            if first == "stop":
                stream.recorder.stop()
                stream.recorder.leave("nobody watches it any more")
            else:
                stream.recorder.leave("nobody watches it any more")
                stream.recorder.stop()
            close = await stream
            assert (close.how, close.error) == ("stopped", None), first

    run(main())


def test_a_stop_row_of_the_same_look_beats_the_lease():
    """Another process says stop at the look at which the lease is over: stopped."""

    async def main():
        stream, _ = await started(ScriptedSource(["a", SILENCE]), linger_s=0.0)
        stream.store.request_stop("s1", opened=0).result()
        await stream.after(0.25)
        close = await stream
        assert (close.how, close.error) == ("stopped", None)

    run(main())


def test_a_stop_row_between_the_end_of_the_lease_and_the_close_beats_it():
    """The row is set when the lease has already ended the call, and before that is stored: stopped."""

    class Late(MemoryStore):
        asked = 0

        def stop_requested(self, stream, *, opened, agent=None):
            self.asked += 1
            if self.asked == 2:
                self.request_stop(stream, opened=opened).result()
            return super().stop_requested(stream, opened=opened, agent=agent)

    async def main():
        store = Late()
        stream, _ = await started(ScriptedSource(["a", SILENCE]), linger_s=0.0, store=store)
        await stream.after(0.25)
        assert (await stream).how == "stopped"
        assert store.asked == 2
        assert store.status("s1").state == "stopped"

    run(main())


# -- sleep ----------------------------------------------------------------------------------------------------------


def test_a_machine_that_slept_is_no_crowd_of_timeouts():
    """Two hours asleep, with a silence, a pinging connection and a lease going on: none of them is over."""

    async def main():
        holder, stream = Held(), Recording()
        source = ScriptedSource([event(1, "a"), PING, SILENCE], [SILENCE], clock=stream.clock)
        stream.start(source, lease=holder.lease(100.0))
        await until(lambda: stream.text)
        await stream.after(40)
        stream.clock.oversleep(7200)
        await stream.after(1)
        assert (stream.state, len(source.connections), source.open_connections) == ("streaming", 1, 1)
        await stream.after(4.5)  # 45.5 s awake without a byte
        assert stream.live.retries == 1
        stream.recorder.stop()
        await stream

    run(main())


@pytest.mark.parametrize(("seconds", "state"), [(59.0, "streaming"), (61.5, "stalled")])
def test_time_awake_counts(seconds, state):
    """Silence before and behind a sleep is one silence."""

    async def main():
        stream = Recording()
        stream.start(ScriptedSource([event(1, "a"), SILENCE]))
        await until(lambda: stream.text)
        await stream.after(seconds / 2)
        stream.clock.oversleep(300)
        await stream.after(seconds / 2)
        assert stream.state == state
        stream.recorder.stop()
        await stream

    run(main())


def test_what_came_behind_a_sleep_keeps_its_time():
    """Text that is read right after waking is not from the future: the silence behind it is as long as any other."""

    async def main():
        stream, gate = Recording(), Gate()
        stream.start(ScriptedSource([event(1, "a"), gate, event(2, "b"), SILENCE]))
        await gate.arrived()
        stream.clock.oversleep(300)
        gate.open()
        await until(lambda: stream.text == "ab")
        await stream.after(59)
        assert stream.state == "streaming"
        await stream.after(2)
        assert stream.state == "stalled"
        stream.recorder.stop()
        await stream

    run(main())


def test_a_short_lease_survives_a_sleep():
    """The page pinged until the machine slept: it gets the time to ping again."""

    async def main():
        stream, holder = await started(ScriptedSource(["a", SILENCE]), held=True, linger_s=0.0)
        stream.clock.oversleep(3600)
        holder.held = False  # its last sign of life is an hour old
        await stream.after(AWAKE_S - 1)
        assert stream.state == "streaming"
        holder.held = True
        await stream.after(20)
        assert stream.state == "streaming"
        holder.held = False
        await stream.after(0.5)
        assert (await stream).how == "interrupted"

    run(main())


# -- telling the upstream -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "lease"])
def test_an_upstream_is_told_once_and_last(end):
    """The cancel call comes once, with the last cursor, when the connection is closed, and before the close."""

    async def main():
        gate = Gate()
        source = ScriptedSource([event(1, "a"), Arrival(cursor={"id": "2", "call": "c-7"}), SILENCE], cancel=[gate])
        stream, _ = await started(source, linger_s=1e6)
        await stream.clock.settle()
        if end == "stop":
            stream.recorder.stop()
            stream.recorder.stop()
        else:
            stream.recorder.leave("nobody watches it any more")
        await gate.arrived()
        assert (source.open_connections, stream.close) == (0, None)
        assert stream.recorder.ending
        assert stream.live.note == "telling the server to end the call"
        gate.open()
        close = await stream
        assert source.cancelled == [{"id": "2", "call": "c-7"}]
        assert close.how == ("stopped" if end == "stop" else "interrupted")
        assert stream.live.note is None

    run(main())


def test_it_is_told_in_back_off_too():
    """The connection is lost already, the upstream may still be at work: Stop tells it."""

    async def main():
        source = ScriptedSource([event(1, "a"), SourceLost("cut")])
        stream, _ = await started(source)
        await until(lambda: stream.state == "retrying")
        stream.recorder.stop()
        await stream
        assert source.cancelled == [{"id": "1", "first": "1"}]

    run(main())


@pytest.mark.parametrize("end", ["complete", "cut", "refused", "the process goes", "never called"])
def test_nobody_else_is_told(end):
    """A call that ended by itself or was never made needs no cancel, and a process that goes may be followed."""

    async def main():
        script = {
            "complete": ["a", End()],
            "cut": ["a"],
            "refused": ["a", ValueError("odd")],
        }.get(end, ["a", SILENCE])
        source = ScriptedSource(script)
        stream = Recording().start(source)
        if end == "never called":
            stream.recorder.stop()
        elif end == "the process goes":
            await until(lambda: stream.text)
            stream.recorder.leave()
        close = await stream
        assert source.cancelled == []
        assert (close.error is None) == (end in ("complete", "the process goes", "never called"))

    run(main())


@pytest.mark.parametrize("end", ["stop", "lease"])
def test_an_upstream_that_will_not_be_told_is_said(end):
    """The state stays what it is; the line says that the call may go on, on one line and without a key."""

    async def main():
        trouble = RuntimeError("502\nBearer 5f0c41a9be77d2e6 was not taken")
        stream, _ = await started(ScriptedSource(["a", SILENCE], cancel=[trouble]))
        if end == "stop":
            stream.recorder.stop()
        else:
            stream.recorder.leave("nobody watches it any more")
        close = await stream
        message = close.error["message"]
        assert (close.how, close.finish) == ("stopped" if end == "stop" else "interrupted", "cancelled")
        assert "may go on with it: RuntimeError: 502 Bearer *** was not taken" in message
        assert message.isprintable()
        said = line(Facts(stream.state, chars=1, tail=2, error=close.error))
        assert "may go on with it" in said
        assert said.startswith("stopped by you" if end == "stop" else "interrupted: nobody watches it any more; the ")

    run(main())


def test_an_upstream_that_does_not_answer_is_waited_for_5_s():
    """Silence instead of an answer holds the end up for five seconds, and not longer."""

    async def main():
        source = ScriptedSource(["a", SILENCE], cancel=[SILENCE])
        stream, _ = await started(source)
        stream.recorder.stop()
        await until(lambda: source.cancelled)
        await stream.after(4.9)
        assert stream.close is None
        await stream.after(0.2)
        close = await stream
        assert (close.how, close.error["type"]) == ("stopped", "NotCancelled")
        assert "no answer within 5 s" in close.error["message"]

    run(main())


def test_a_stop_while_the_lease_ends_is_a_stop():
    """The upstream is still being told that nobody watches: Stop pressed now makes it stopped, and is told once."""

    async def main():
        gate = Gate()
        source = ScriptedSource(["a", SILENCE], cancel=[gate])
        stream, _ = await started(source, linger_s=0.0)
        await stream.after(0.25)
        await gate.arrived()
        stream.recorder.stop()
        gate.open()
        close = await stream
        assert (close.how, close.error, len(source.cancelled)) == ("stopped", None, 1)

    run(main())


# -- counting, and the view from far --------------------------------------------------------------------------------


def test_totals_count_over_recorders():
    """Retries and stalls of all recorders are counted in one place."""

    async def main():
        totals = Totals()
        first = Recording().start(ScriptedSource([SourceLost("cut")], ["a", SILENCE]), totals=totals)
        second = Recording().start(ScriptedSource([SourceLost("cut")], ["b", End()]), totals=totals)
        for stream in (first, second):
            await until(lambda stream=stream: stream.state == "retrying")
            await stream.after(0.2)
        await second
        await first.after(61)
        assert first.state == "stalled"
        first.recorder.stop()
        await first
        assert totals == Totals(retries=2, stalls=1)

    run(main())

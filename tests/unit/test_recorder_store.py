"""The recorder and a store that is slow, full, out of reach, gone, or somebody else's."""

import hashlib

import pytest
from recording import Around, AwayLog, FullLog, Recording, SlowLog, opening, run, until
from teams import NO, Team, event

from nbstream.errors import Fenced, SourceRefused, StoreFull, StreamGone
from nbstream.log.memory import MemoryStore
from nbstream.recorder.batch import PENDING_CHARS
from nbstream.records import Delta, Part, encode
from nbstream.sources.contract import Arrival, End
from nbstream.testing import PING, SILENCE, Gate, ScriptedSource


@pytest.mark.parametrize("times", [1, 3, 40])
def test_a_full_store_loses_nothing(times):
    """Full n times: the state says not saved, nothing is dropped, and it goes on by itself."""

    async def main():
        stream, gate = Recording(log=FullLog), Gate()
        stream.start(ScriptedSource(["one ", gate, "two ", "three", End()]))
        await gate.arrived()
        await until(lambda: stream.text == "one ")
        stream.wrapped.times = times
        gate.open()
        await until(lambda: not stream.live.saved)
        assert "no space left on the device" in stream.live.note
        for _ in range(times):
            assert not stream.task.done()
            await stream.after(1)
        close = await stream
        assert (close.how, stream.text) == ("complete", "one two three")
        assert (stream.live.saved, stream.live.note) == (True, None)
        stream.check()

    run(main())


def test_a_full_store_pauses_the_upstream():
    """While nothing can be stored the source is not pulled further than the queue is long, and silence is ours."""

    async def main():
        stream = Recording(log=FullLog)
        pulled = []

        def flood():
            yield Arrival()
            yield PING
            for number in range(3000):
                pulled.append(number)
                yield f"{number:1000d}"
            yield End()

        stream.wrapped.times = 200
        stream.start(ScriptedSource(flood(), clock=stream.clock))
        await until(lambda: not stream.live.saved)
        await stream.clock.settle()
        assert len(pulled) <= (PENDING_CHARS + 20_000) / 1000
        await stream.after(150)
        assert len(pulled) <= (PENDING_CHARS + 20_000) / 1000
        assert stream.state == "streaming", "neither stalled nor lost: it is we who do not read"
        await stream.after(60)
        close = await stream
        assert (close.how, close.chars, stream.live.retries) == ("complete", 3_000_000, 0)
        assert stream.text == "".join(f"{number:1000d}" for number in range(3000))

    run(main())


def test_a_slow_log_bounds_memory():
    """At most 256 Ki code points (and one event) wait, whatever the upstream sends."""

    async def main():
        stream = Recording(log=SlowLog)
        source = ScriptedSource("x" * 1000 for _ in range(5000))
        stream.start(source)
        log = stream.wrapped
        most = 0
        for _ in range(150):
            await until(lambda: log.waiting)
            await stream.clock.settle()
            most = max(most, source.connections[0].pulled * 1000 - stream.recorder.progress.chars)
            log.store_one()
        assert 200_000 < most <= PENDING_CHARS + 20_000
        stream.recorder.stop()
        while not stream.task.done():
            await until(lambda: log.waiting or stream.task.done())
            if log.waiting:
                log.store_one()
        assert stream.text == "x" * stream.close.chars

    run(main())


def test_what_waits_becomes_one_record():
    """Batch by being busy: what came while a record was being stored is the next record."""

    async def main():
        stream, gates = Recording(log=SlowLog), [Gate(), Gate()]
        stream.start(ScriptedSource(["a", gates[0], "b", "c", Part("reasoning", "r"), "d", gates[1], End()]))
        log = stream.wrapped
        await gates[0].arrived()
        await until(lambda: log.waiting)
        gates[0].open()
        await gates[1].arrived()
        assert len(log.waiting) == 1
        log.store_one()
        await until(lambda: log.waiting)
        assert [(part.kind, part.text) for part in log.waiting[0][1].parts] == [
            ("text", "bc"), ("reasoning", "r"), ("text", "d"),
        ]  # fmt: skip
        log.store_one()
        gates[1].open()
        await until(lambda: log.waiting)
        log.store_one()
        assert (await stream).how == "complete"

    run(main())


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("where", ["what comes again is compared", "the end mark names a hash"])
def test_a_log_that_cannot_be_read_is_asked_again(times, where):
    """What is stored is compared as soon as it can be read: no call ends meanwhile, and none is made anew."""

    async def main():
        stream, gate = Recording(log=AwayLog), Gate()
        await stream.start(ScriptedSource(["one ", SourceRefused("no", status=404)]))
        end = End(sha256=hashlib.sha256(b"one two").hexdigest())
        steps = ["one ", "two", gate, end] if "hash" in where else [gate, "one ", "two", End()]
        source = ScriptedSource(steps, replayable=True)
        stream.resume(source)
        await gate.arrived()
        stream.wrapped.times = times
        gate.open()
        for _ in range(times):
            await until(lambda: not stream.live.saved)
            assert "cannot be reached" in stream.live.note
            assert not stream.task.done()
            await stream.after(1)
        assert (await stream).how == "complete"
        assert (stream.text, len(source.connections), stream.live.saved) == ("one two", 1, True)
        stream.check()

    run(main())


def test_a_log_that_cannot_be_read_lets_an_agent_go_on_later():
    """An agent is resumed while the others speak and the log is out of reach: it waits, and nobody is cut."""

    async def main():
        a = ScriptedSource([event(1, "a"), NO], [event(2, "b"), End()])
        b = ScriptedSource([event(1, "x"), gate := Gate(), event(2, "y"), End()])
        stream = Team(log=AwayLog, a=a, b=b).start()
        await until(lambda: stream.ends.get("a") == "failed")
        stream.wrapped.times = 3
        stream.recorder.reconnect("a")
        for _ in range(3):
            await until(lambda: not stream.recorder.live.saved)
            await stream.after(1)
        gate.open()
        assert (await stream).how == "complete"
        assert (stream.text_of("text", "a"), stream.text_of("text", "b")) == ("ab", "xy")
        assert len(b.connections) == 1
        stream.check()

    run(main())


def test_a_stop_reaches_a_call_that_waits_for_the_log():
    """Stop closes the upstream at once, also while what is stored cannot be read."""

    async def main():
        stream = Recording(log=AwayLog)
        await stream.start(ScriptedSource(["one ", SourceRefused("no", status=404)]))
        source = ScriptedSource(["one ", "two", SILENCE], replayable=True)
        stream.resume(source)
        stream.wrapped.times = 10**6
        await until(lambda: not stream.live.saved)
        stream.recorder.stop()
        assert (await stream).how == "stopped"
        assert (source.open_connections, stream.text) == (0, "one ")

    run(main())


def test_fenced_means_hands_off():
    """Another writer has the stream: the upstream is closed at once and not one record is written any more."""

    async def main():
        stream, gate = Recording(), Gate()
        source = ScriptedSource(["one", gate, "two", SILENCE])
        stream.start(source)
        await gate.arrived()
        await until(lambda: stream.text == "one")
        stream.log.append(2, opening("resume"))
        gate.open()
        await until(stream.task.done)
        await stream.task
        assert source.open_connections == 0
        assert len(stream.records) == 3
        assert stream.live.error["type"] == "Fenced"
        assert not stream.state.live

    run(main())


def test_a_store_that_closes_under_way_is_an_error_and_no_hang():
    """Whatever a log raises ends the recording: nobody waits for ever."""

    class Broken(Around):
        def submit(self, offset, record):
            raise RuntimeError("the store is closed")

    async def main():
        stream = Recording(log=Broken)
        source = ScriptedSource(["x" * 1_000_000, "y", End()])
        stream.start(source)
        with pytest.raises(RuntimeError, match="closed"):
            await stream.task
        assert source.open_connections == 0

    run(main())


def test_a_deleted_stream_ends():
    """A stream that is gone from the store ends the recorder, with the reason in its live status."""

    class Gone(MemoryStore):
        def stop_requested(self, stream, *, opened, agent=None):
            raise StreamGone(f"stream {stream} was deleted")

    async def main():
        stream = Recording(Gone())
        source = ScriptedSource(["a", SILENCE])
        stream.start(source)
        await stream.after(0.25)
        await stream.task
        assert (stream.live.error["type"], source.open_connections) == ("StreamGone", 0)

    run(main())


def test_a_store_out_of_reach_ends_no_call():
    """Asked for stop rows a store may be out of reach: the call goes on, and a row is found as soon as it can be."""

    class Away(MemoryStore):
        asked, away = 0, True

        def stop_requested(self, stream, *, opened, agent=None):
            self.asked += 1
            if self.away:
                raise StoreFull("cannot be reached")
            return super().stop_requested(stream, opened=opened, agent=agent)

    async def main():
        stream = Recording(Away())
        source = ScriptedSource(["a", SILENCE])
        stream.start(source)
        stream.store.request_stop("s1", opened=0)
        await stream.after(5)
        assert stream.store.asked > 10
        assert stream.state == "streaming"
        stream.store.away = False
        await stream.after(0.25)
        assert (await stream).how == "stopped"

    run(main())


def test_records_stay_small_whatever_comes():
    """One huge event, or a flood of many agents: no record is larger than 16 KiB."""

    async def main():
        huge = Arrival((Part("text", "é" * 300_000),), {"id": "1"}, event_id="1")
        turns = [Part("text", "word ", f"agent-{number % 5}") for number in range(3000)]
        stream = Recording().start(ScriptedSource([huge, *turns, End()]))
        await stream
        assert max(len(encode(record)) for record in stream.records if isinstance(record, Delta)) <= 16 * 1024
        stream.check()

    run(main())


def test_fenced_is_what_a_late_writer_gets():
    """The log itself refuses a second writer; the recorder relies on it."""
    stream = Recording()
    stream.log.append(1, Delta((Part("text", "a", sequence=1),), 1.0))
    with pytest.raises(Fenced):
        stream.log.append(1, Delta((Part("text", "b", sequence=1),), 1.0))

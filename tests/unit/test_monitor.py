"""What a process uses, and the warning above a limit."""

import asyncio
import mmap

import pytest
from recording import opening, run, until

from nbstream.log.memory import MemoryStore
from nbstream.monitor import MB, Bounds, Monitor, Usage, resident_bytes, usage
from nbstream.recorder import Recorder
from nbstream.recorder.progress import Progress
from nbstream.runtime import Runtime
from nbstream.sources.http.connections import owned_by, standing
from nbstream.testing import SILENCE, FakeClock, ScriptedSource

NOTHING = Usage(0, 0, 50 * MB, None, 0, 0, 0)


@pytest.mark.parametrize(
    ("bounds", "used", "warning"),
    [
        (Bounds(), NOTHING, None),
        (Bounds(live=2), Usage(2, 0, 0, None, 0, 0, 0), None),
        (Bounds(live=2), Usage(3, 0, 0, None, 0, 0, 0), "3 streams live (limit 2)"),
        (Bounds(upstream=8), Usage(0, 1_000, 0, None, 0, 0, 0), "1,000 upstream connections open (limit 8)"),
        (Bounds(resident_mb=120), Usage(0, 0, 1_500 * MB, None, 0, 0, 0), "1,500 MB of memory in use (limit 120)"),
        (
            Bounds(resident_mb=1, live=1, upstream=None),
            Usage(2, 99, 3 * MB, None, 0, 0, 0),
            "3 MB of memory in use (limit 1); 2 streams live (limit 1)",
        ),
    ],
)
def test_what_is_above_its_bound_is_one_line(bounds, used, warning):
    """Every bound that is crossed is named with its limit; what is at its limit, or has none, is not."""
    monitor = Monitor(lambda: used, bounds)
    monitor.look()
    assert monitor.warning == warning


def test_a_crossing_is_told_once():
    """Callbacks hear of each crossing once, and of the next one after it was below; the line goes with it."""

    async def main():
        clock, heard = FakeClock(), []
        live, upstream = 0, 0
        monitor = Monitor(lambda: Usage(live, upstream, 0, None, 0, 0, 0), Bounds(live=1, upstream=1), clock=clock)
        end = monitor.on_excess(lambda used: heard.append((used.live, used.upstream)))
        running = asyncio.ensure_future(monitor.run())
        await clock.advance(12)
        assert (heard, monitor.warning) == ([], None)
        live = 2
        await clock.advance(20)
        assert heard == [(2, 0)]
        assert monitor.warning == "2 streams live (limit 1)"
        upstream = 3
        await clock.advance(20)
        assert heard == [(2, 0), (2, 3)]
        live = upstream = 0
        await clock.advance(5)
        assert monitor.warning is None
        live = 2
        await clock.advance(5)
        assert len(heard) == 3
        end()
        end()
        live = 0
        await clock.advance(5)
        live = 2
        await clock.advance(5)
        assert len(heard) == 3
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(main())


def test_a_callback_that_fails_is_reported_and_harms_nobody():
    """The user's callback raises: asyncio is told, the others are called, and the monitor goes on."""

    async def main():
        complaints, heard = [], []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context["exception"]))
        monitor = Monitor(lambda: Usage(9, 0, 0, None, 0, 0, 0), Bounds(live=1))
        monitor.on_excess(lambda used: used.nonsense)
        monitor.on_excess(heard.append)
        monitor.look()
        assert [type(one) for one in complaints] == [AttributeError]
        assert (len(heard), monitor.warning) == (1, "9 streams live (limit 1)")

    asyncio.run(main())


def test_memory_is_what_the_system_says():
    """Sixty-four megabytes more are sixty-four more, and fewer when they are given back."""
    before = resident_bytes()
    with mmap.mmap(-1, 64 * MB) as block:
        block.write(b"x" * (64 * MB))
        grown = resident_bytes()
    assert 60 * MB < grown - before < 90 * MB
    assert resident_bytes() < grown - 60 * MB


def test_the_usage_of_a_process():
    """Live streams, connections with and without a socket of ours, what the store takes, and the totals."""
    runtime, store = Runtime(), MemoryStore()
    sources = {f"s{n}": ScriptedSource(["text", SILENCE]) for n in range(3)}
    try:
        assert usage(runtime).log_bytes is None
        for stream, source in sources.items():
            log, lock = store.start(opening(stream=stream))
            runtime.record(
                stream,
                "here",
                lambda changed, slots, log=log, lock=lock, source=source: Recorder(
                    store, log, source, lock, Progress(tail=0), changed=changed, slots=slots, totals=runtime.totals
                ),
            )
        runtime.submit(until(lambda: all(one.chars for one in runtime.recorders.values()))).result(10)
        runtime.totals.retries, runtime.totals.stalls, runtime.totals.leaks_closed = 3, 2, 1

        async def look():
            with owned_by("s1"), standing("http://127.0.0.1:1/", closed), standing("http://127.0.0.1:1/", closed):
                return usage(runtime, store)

        async def closed():
            pass

        used = runtime.submit(look()).result(10)
        # s1 has two connections in the list; s0 and s2 are calls without one.
        assert (used.live, used.upstream) == (3, 4)
        assert used.log_bytes == store.size() > 0
        assert (used.retries, used.stalls, used.leaks_closed) == (3, 2, 1)
        assert used.resident_bytes > 10 * MB
    finally:
        runtime.close()
    assert usage(runtime).live == 0

"""Waiting for a stream."""

import asyncio
import sys
import threading

import pytest

from nbstream.waiting import Interrupted, follow, wait


class Quiet:
    """A live stream on which nothing happens but what the test says."""

    id = "quiet"
    settled = False

    def __init__(self):
        self.look = None

    def subscribe(self, look):
        """See `Stream.subscribe`."""
        self.look = look
        return lambda: None

    def hold(self, who):
        """See `Stream.hold`."""
        return lambda: None


@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_that_meets_news_is_not_lost(turns):
    """Ctrl-C while text comes: however many turns of the loop lie between news and cancellation, following ends."""

    async def main():
        stream, reads, again = Quiet(), [], threading.Event()

        def read(after):
            reads.append(after)
            if len(reads) == 2:  # once woken by the clock
                again.set()
            return []

        async def watch():
            async for _ in follow(stream, read):
                pass

        task = asyncio.ensure_future(watch())
        assert await asyncio.to_thread(again.wait, 5)
        for _ in range(20):  # out of the thread that read: now it waits
            await asyncio.sleep(0.002)
        stream.look()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=2)
        assert task.cancelled()

    asyncio.run(main())


class Stopped(Quiet):
    """A live stream that is at rest once it was stopped."""

    def stop(self):
        """See `Stream.stop`."""
        self.settled = True


def interrupted_at(step, stream):
    """Wait for *stream*, and let Interrupt meet step number *step* of that; return whether there is such a step."""
    steps = 0

    def trace(frame, event, _):
        nonlocal steps
        if frame.f_code.co_filename == __file__:
            return None  # neither the stream nor this function is what waits
        steps += 1
        if steps == step:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    before, raised = sys.gettrace(), None
    sys.settrace(trace)
    try:
        wait(stream, 0.001)
    except KeyboardInterrupt as exc:
        raised = exc
    finally:
        sys.settrace(before)
    assert isinstance(raised, Interrupted) is stream.settled
    return steps >= step


def test_an_interrupt_leaves_nothing_locked():
    """
    Whatever step of the waiting it meets, the loop that calls back with news is not blocked by it.

    Where it was: an Interrupt inside `threading.Event` leaves the event's lock locked, and nothing was stopped then.
    """
    step = 1
    while True:
        stream = Stopped()
        there = interrupted_at(step, stream)
        if stream.look is not None:
            news = threading.Thread(target=stream.look, daemon=True)
            news.start()
            news.join(5)
            assert not news.is_alive(), f"the loop is blocked after an Interrupt at step {step}"
        if not there:
            break
        step += 1
    print(f"{step - 1} steps")
    assert step > 20

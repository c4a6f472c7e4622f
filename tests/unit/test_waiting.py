"""Waiting for a stream."""

import asyncio
import threading

import pytest

from nbstream.waiting import follow


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

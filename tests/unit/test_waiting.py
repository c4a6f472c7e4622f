"""Waiting for a stream."""

import asyncio

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


@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_that_meets_news_is_not_lost(turns):
    """Ctrl-C while text comes: however many turns of the loop lie between news and cancellation, following ends."""

    async def main():
        stream, reads = Quiet(), 0

        def read(_after):
            nonlocal reads
            reads += 1
            return []

        async def watch():
            async for _ in follow(stream, read):
                pass

        task = asyncio.ensure_future(watch())
        while reads < 2:  # once woken by the clock: now it waits
            await asyncio.sleep(0.01)
        for _ in range(20):  # out of the thread that read
            await asyncio.sleep(0.002)
        stream.look()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=2)
        assert task.cancelled()

    asyncio.run(main())

"""Time that passes only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from nbstream.clock import Clock

#: Turns of the loop that what has woken up gets before time goes on.
TURNS = 25


class FakeClock(Clock):
    """
    Stands in for `nbstream.clock.Clock`. Both times start at round numbers and move by `advance` only.

    Sleepers wake in order of their moments, each at its own moment; what they start then, another sleep for instance,
    happens before time goes on. Work that hops through `asyncio.to_thread` is waited for as far as the loop's default
    executor has one thread (`loop.set_default_executor(ThreadPoolExecutor(1))`).
    """

    def __init__(self) -> None:
        self._now = 1_000.0
        self._wall_ahead = 1_700_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._now

    def time(self) -> float:
        """See `Clock.time`."""
        return self._now + self._wall_ahead

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        awake = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), awake))
        await awake

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, and everything happen that is due in them."""
        until = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            moment, _, awake = heapq.heappop(self._sleepers)
            if awake.done():  # its sleeper was cancelled
                continue
            self._now = max(self._now, moment)
            awake.set_result(None)
            await self.settle()
        self._now = until

    def oversleep(self, seconds: float) -> None:
        """Let *seconds* pass in which nobody runs: a machine that sleeps. What was due in them happens afterwards."""
        self._now += seconds

    def set_wall_back(self, seconds: float) -> None:
        """Set the wall clock back, as a laptop does after an error of its own; `monotonic` does not notice."""
        self._wall_ahead -= seconds

    @property
    def sleepers(self) -> list[float]:
        """The seconds that everybody asleep still has to sleep, shortest first."""
        return sorted(moment - self._now for moment, _, awake in self._sleepers if not awake.done())

    async def settle(self) -> None:
        """Let happen what can happen now."""
        for _ in range(3):
            await asyncio.to_thread(int)
            for _ in range(TURNS):
                await asyncio.sleep(0)

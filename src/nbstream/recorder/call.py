"""One connection to a source: what it yields goes on, and somebody else may cut it with a reason."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from nbstream.clock import Clock
from nbstream.errors import SourceLost, SourceMalformed, StreamError
from nbstream.recorder.gathering import Gathering
from nbstream.sources.contract import Pulse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nbstream.errors import SourceError
    from nbstream.records import Cursor
    from nbstream.sources.contract import Arrival, End, Source


class Call:
    """
    A call that is being made. Whatever ends `run`, the upstream is closed before it returns.

    *unhurried* says whether what comes may be gathered: nobody sees it sooner.
    """

    def __init__(
        self,
        source: Source,
        cursor: Cursor | None,
        now: float,
        *,
        clock: Clock | None = None,
        unhurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self.pulse = Pulse(now)
        #: What has come is being checked, or waits for room: meanwhile nothing is read, and silence is ours.
        self.paused = False
        self._source = source
        self._cursor = cursor
        self._clock, self._unhurried = clock or Clock(), unhurried
        self._gathering = Gathering()
        self._reason: SourceError | None = None
        self._task: asyncio.Task[End] | None = None

    async def run(self, take: Callable[[Arrival], Awaitable[None] | None]) -> End:
        """
        Hand every arrival to *take* and return the end mark; raises `SourceError` when there is none.

        *take* returns what to wait for before the next arrival, or None.
        """
        self._task = asyncio.ensure_future(self._pull(take))
        try:
            await asyncio.wait({self._task})
        finally:
            # Also when we are cancelled: ended only when the task has closed its connection.
            while not self._task.done():
                self._task.cancel()
                await _undisturbed(self._task)
            if not self._task.cancelled():
                self._task.exception()  # asked for, even if we are cancelled and nobody wants to know
        if self._task.cancelled() and self._reason is not None:
            raise self._reason
        return self._task.result()

    def cut(self, reason: SourceError) -> None:
        """End the call: `run` closes the upstream and raises *reason*."""
        self._reason = reason
        if self._task is not None:
            self._task.cancel()

    async def _pull(self, take: Callable[[Arrival], Awaitable[None] | None]) -> End:
        try:
            async with aclosing(self._source.connect(self._cursor, self.pulse)) as arrivals:
                asked = self._clock.monotonic()
                async for arrival in arrivals:
                    came = self._clock.monotonic()
                    waiting = take(arrival)
                    if waiting is not None:
                        self.paused = True
                        await waiting
                        self.paused = False
                    if arrival.end is not None:
                        return arrival.end
                    if self._unhurried():
                        await self._rest(arrival, came, came - asked)
                        came = self._clock.monotonic()
                    asked = came
        except StreamError:
            raise
        except Exception as exc:
            # A user's read= or iterator may raise anything; the stream says so instead of standing still.
            msg = f"the source broke: {type(exc).__name__}: {exc}"
            raise SourceMalformed(msg) from exc
        msg = "the source ended without an end mark"
        raise SourceLost(msg)

    async def _rest(self, arrival: Arrival, now: float, waited_s: float) -> None:
        chars = sum(len(part.text) for part in arrival.parts)
        rest_s = self._gathering.rest_s(now, waited_s=waited_s, pieces=arrival.pieces, chars=chars)
        if rest_s:
            await self._clock.sleep(rest_s)


async def _undisturbed(task: asyncio.Task[End]) -> None:
    """Wait for *task* even if we are cancelled (again) meanwhile: a second cancel must not leave a socket open."""
    try:
        await asyncio.wait({task}, timeout=5)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=5)

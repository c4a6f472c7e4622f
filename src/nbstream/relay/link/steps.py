"""Waiting for what comes next, of several things, without losing what comes late."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from nbstream.sources.closing import to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from typing import Any

T = TypeVar("T")


class Steps(Generic[T]):
    """Walks through *items*; the next one is on its way while somebody waits for something else."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._coming: asyncio.Task[T | None] | None = None

    @property
    def coming(self) -> asyncio.Task[T | None]:
        """The next item, None for the end; the same task until it is taken."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._next())
        return self._coming

    @property
    def has_come(self) -> bool:
        """Whether `take` has something to return, or to raise."""
        return self.coming.done()

    @property
    def failure(self) -> BaseException | None:
        """What `take` will raise, if it will."""
        return self.coming.exception()

    def take(self) -> T | None:
        """Return the item that has come; raises what *items* raised."""
        task, self._coming = self.coming, None
        return task.result()

    async def close(self) -> None:
        """Leave *items*, wherever it is; returns when it has cleaned up."""
        await to_the_end(self._close())

    async def _close(self) -> None:
        task, self._coming = self._coming, None
        if task is not None:
            task.cancel()
            # What it still brings nobody wants any more, an error least of all.
            await asyncio.gather(task, return_exceptions=True)
        await self._items.aclose()

    async def _next(self) -> T | None:
        return await anext(self._items, None)


async def first_of(steps: Iterable[Steps[Any]], timeout_s: float) -> float:
    """
    Wait until one of *steps* has something, at most *timeout_s* seconds; return how long that was.

    Never more than the timeout: if it took longer, this process was asleep, and whoever it listens to perhaps as well.
    """
    began = time.monotonic()
    await asyncio.wait({one.coming for one in steps}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return min(time.monotonic() - began, timeout_s)

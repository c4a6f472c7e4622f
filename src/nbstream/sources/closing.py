"""Opening and closing so that nothing stays open, however often somebody cancels us meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def cancelled_once(work: Coroutine[Any, Any, T]) -> T:
    """
    Run *work* in a task of its own, which is cancelled at most once and then has all the time to clean up.

    A second cancellation in the middle of httpx's own cleaning up leaves the socket open (httpx issue 3782).
    """
    task = asyncio.ensure_future(work)
    cancelled = await _outlast(task, pass_on=True)
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # seen: whoever cancelled asked for neither result nor error
    raise cancelled


async def to_the_end(closing: Coroutine[Any, Any, None]) -> None:
    """
    Run *closing* to its end and only then pass a cancellation on.

    `asyncio.shield` alone is not enough, it returns at the first cancellation with the work still going on; anyio's
    shields do not see `Task.cancel` at all.
    """
    task = asyncio.ensure_future(closing)
    cancelled = await _outlast(task, pass_on=False)
    task.result()
    if cancelled is not None:
        raise cancelled


async def _outlast(task: asyncio.Task[Any], *, pass_on: bool) -> asyncio.CancelledError | None:
    """Wait until *task* is done and return our own cancellation, if one came; the first one is passed on if wanted."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            if cancelled is None and pass_on:
                task.cancel()
            cancelled = exc
    return cancelled

"""Opening and closing so that nothing stays open, however often somebody cancels us meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


#: Cleaning up is local and takes less than a millisecond: work that still goes on after this has lost its cancellation.
CLEAN_UP_S = 0.05


async def cancelled_once(work: Coroutine[Any, Any, T]) -> T:
    """
    Run *work* in a task of its own, which gets one cancellation however many we get, and time to clean up.

    A second cancellation in the middle of httpx's own cleaning up leaves the socket open (httpx issue 3782). And on
    Python 3.10 one that comes while httpx connects may get lost, and the request goes on: then it is cancelled again.
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
        patience = CLEAN_UP_S if cancelled is not None and pass_on else None
        try:
            await asyncio.wait({task}, timeout=patience)
            lost = patience is not None
        except asyncio.CancelledError as exc:
            lost = cancelled is None and pass_on
            cancelled = exc
        if lost:
            task.cancel()  # changes nothing if it is done
    return cancelled

"""Closing what was opened, even if somebody cancels us while we do it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def to_the_end(closing: Coroutine[Any, Any, None]) -> None:
    """
    Run *closing* to its end and only then pass a cancellation on.

    Without this the second of two cancellations leaves the socket open (httpx issue 3782). `asyncio.shield` alone is
    not enough, it returns at the first cancellation with the work still going on; anyio's shields do not see
    `Task.cancel` at all.
    """
    task = asyncio.ensure_future(closing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = exc
    task.result()
    if cancelled is not None:
        raise cancelled

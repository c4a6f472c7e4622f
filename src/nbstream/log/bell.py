"""Waking a loop that waits for news of a log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def bell(event: asyncio.Event) -> Callable[[], None]:
    """
    Return what sets *event*, on the loop that calls this, from any thread.

    Waking a loop costs a system call, and the loop a turn: who is told already is not told again. So clear the event
    before looking, never behind it.
    """
    loop = asyncio.get_running_loop()

    def ring() -> None:
        if not event.is_set():
            loop.call_soon_threadsafe(event.set)

    return ring

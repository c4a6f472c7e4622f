"""Waking who waits for news of a log: a loop, or a thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from queue import Empty, SimpleQueue
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


class News:
    """
    Wakes one thread from any other.

    Not a `threading.Event`: an Interrupt that meets the waiting thread at a bad moment leaves the event's lock locked,
    and then whoever brings news (the loop, the store's writer) is blocked for good. A `SimpleQueue` takes one step of
    the interpreter for everything it does.
    """

    def __init__(self) -> None:
        self._came: SimpleQueue[None] = SimpleQueue()

    def tell(self) -> None:
        """There is news."""
        self._came.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for news that no earlier call has returned for; return whether there was any in *timeout_s* seconds."""
        with suppress(Empty):
            self._came.get(timeout=timeout_s)
            with suppress(Empty):
                while True:  # one answer to everything that came
                    self._came.get_nowait()
            return True
        return False

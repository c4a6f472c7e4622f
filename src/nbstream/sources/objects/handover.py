"""Items from wherever they are made (a thread, another loop) to the loop that asks for them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Items that may wait. Enough to keep a fast iterator busy, little enough to stop one that nobody reads.
LIMIT = 256


class Handover:
    """
    A bounded queue with one maker and one taker.

    The taker's loop is woken once for all items that come before it looks: a flood costs no wake-up an item. Made on
    the loop that takes.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._ended = asyncio.Event()
        self._lock = threading.Lock()
        self._items: list[Any] = []
        self._told = False
        self._over = False
        #: What the maker raised, if it did.
        self.error: BaseException | None = None
        self._room: Callable[[], None] = lambda: None
        #: What a maker on a loop iterates, once it does.
        self.iterated: Any = None
        #: And the task that does.
        self.task: asyncio.Task[Any] | None = None
        #: The taker is gone: the maker stops at its next item.
        self.closed = False

    # The maker's side

    def on_room(self, wake: Callable[[], None]) -> None:
        """Have *wake* called (from the taker's thread) whenever there is room again, and on `close`."""
        self._room = wake

    @property
    def full(self) -> bool:
        """Whether the maker should wait for room."""
        return len(self._items) >= LIMIT and not self.closed

    def put(self, item: Any) -> None:
        """Hand over one item."""
        with self._lock:
            self._items.append(item)
            told, self._told = self._told, True
        if not told:
            self._call(self._filled.set)

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing follows, and why."""
        with self._lock:
            self._over, self.error = True, error
        self._call(self._filled.set)
        self._call(self._ended.set)

    def _call(self, function: Callable[[], Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the taker's loop is closed, and with it everybody who could take
            self.closed = True

    # The taker's side

    async def take(self) -> list[Any]:
        """Wait for items and return all there are; an empty list means the end, and `error` says why."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            with self._lock:
                items, self._items = self._items, []
                self._told = False
                over = self._over
            if over:
                self._filled.set()  # what is left is the end, for every further look
            self._room()
            if items or over:
                return items

    def close(self) -> None:
        """Take nothing any more."""
        self.closed = True
        self._room()

    async def ended(self, timeout_s: float) -> bool:
        """Wait until the maker has ended; False if it has not within *timeout_s*."""
        try:
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

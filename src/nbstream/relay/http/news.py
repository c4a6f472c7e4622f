"""What wakes one answer that waits: news of its stream, the time, the end of its client or of the relay."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.types import Receive


class News:
    """Made on the loop of the answer. A signal that comes before the wait for it is not lost."""

    def __init__(self) -> None:
        #: The client has gone.
        self.left = False
        #: There is nobody to wait for any more: the client has gone, or the relay is ending.
        self.over = False
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False
        self._waiting = False

    def look(self) -> None:
        """Signal, from any thread. Waking the loop costs a system call: only the first signal of a wait does."""
        self._woken = True
        if self._waiting:
            self._waiting = False
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self.wake)

    def wake(self) -> None:
        """Signal, on the loop."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def hang_up(self) -> None:
        """Say that the wait is over for good."""
        self.over = True
        self.wake()

    async def wait(self, until: float) -> None:
        """Wait for a signal since the last wait, or until the loop's clock shows *until*."""
        self._waiting = True  # before it is asked for a signal: one that comes in between then wakes us
        if not self._woken:
            self._waiter = self._loop.create_future()
            # A timer and a future: `wait_for` would make a task each time.
            timer = self._loop.call_at(until, self.wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._waiting = self._woken = False

    @asynccontextmanager
    async def of(self, subscribe: Coroutine[Any, Any, Callable[[], None]], receive: Receive) -> AsyncIterator[None]:
        """Be told of news by what *subscribe* (which returns its end) has call `look`, and when the client leaves."""
        watching = asyncio.ensure_future(self._watch(receive))
        subscribing = asyncio.ensure_future(subscribe)
        try:
            await asyncio.shield(subscribing)
            yield
        finally:
            watching.cancel()
            # It cannot be cancelled: if it is still under way, it is ended when it is made.
            subscribing.add_done_callback(_end)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass  # a body, which nobody asked for
        self.left = True
        self.hang_up()


def _end(subscribing: asyncio.Task[Callable[[], None]]) -> None:
    if not subscribing.cancelled() and subscribing.exception() is None:
        subscribing.result()()

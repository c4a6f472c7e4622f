"""A place in a script where a source or server stands still until the test says go."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait

#: Longest wait of a test, in seconds, unless it says otherwise.
PATIENCE_S = 10.0


class Gate:
    """
    A step that waits for the test, and for which the test can wait. Opens once and stays open.

    Usable from any thread and any event loop: a script stands at `passage()`, the test waits for it with `wait()` (or
    `await arrived()`) and lets it go on with `open()`.
    """

    def __init__(self) -> None:
        self._arrived = _moment()
        self._opened = _moment()

    def open(self) -> None:
        """Let whoever stands here go on; twice is harmless."""
        _set(self._opened)

    def wait(self, timeout_s: float = PATIENCE_S) -> None:
        """Block until the script has come this far; `TimeoutError` when it has not within *timeout_s* seconds."""
        if not wait([self._arrived], timeout_s).done:
            msg = f"the script did not come to this gate within {timeout_s} s"
            raise TimeoutError(msg)

    async def arrived(self) -> None:
        """Wait, on any loop, until the script has come this far."""
        await asyncio.wrap_future(self._arrived)

    async def passage(self) -> None:
        """Stand here until the gate is open. For scripts."""
        _set(self._arrived)
        await asyncio.wrap_future(self._opened)


def _moment() -> Future[None]:
    future: Future[None] = Future()
    # "Running" futures cannot be cancelled: one waiter that gives up does not take the moment from the others.
    future.set_running_or_notify_cancel()
    return future


def _set(moment: Future[None]) -> None:
    if not moment.done():
        moment.set_result(None)

"""Waiting for a stream: in a thread until it is at rest, on a loop record by record."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from nbstream.log.bell import News, bell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nbstream.records import Record

#: A writer that is killed sends no signal: look this often all the same.
LOOK_S = 0.25
#: How long an Interrupt waits for the stream to be stopped.
STOP_S = 5.0


class Awaited(Protocol):
    """What of a `Stream` is needed here."""

    @property
    def id(self) -> str:
        """The stream's id."""

    @property
    def settled(self) -> bool:
        """At rest, and everything that can be saved is saved."""

    def stop(self) -> None:
        """See `Stream.stop`."""

    def subscribe(self, look: Callable[[], None]) -> Callable[[], None]:
        """See `Stream.subscribe`."""

    def hold(self, who: str) -> Callable[[], None]:
        """See `Stream.hold`."""


class Interrupted(KeyboardInterrupt):
    """Interrupt while a cell waited: the stream was stopped, and Run All halts here."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def wait(stream: Awaited, timeout: float | None) -> None:
    """Wait until *stream* is settled, or *timeout* seconds. Interrupt stops it and raises `Interrupted`."""
    try:
        until(stream, lambda: stream.settled, timeout)
    except KeyboardInterrupt:
        stream.stop()
        until(stream, lambda: stream.settled, STOP_S)
        msg = f"stopped by Interrupt; what came is saved as stream {stream.id}"
        raise Interrupted(msg) from None


async def follow(stream: Awaited, read: Callable[[int], list[Record]]) -> AsyncIterator[list[Record]]:
    """Yield what *read* (blocking) finds behind the last record it gave, until *stream* is settled."""
    loop, moved = asyncio.get_running_loop(), asyncio.Event()
    ends = stream.hold("reader"), stream.subscribe(bell(moved))
    after = -1
    try:
        while True:
            moved.clear()
            # Asked before reading: what is appended between the two is read by this round or the next.
            settled = await asyncio.to_thread(lambda: stream.settled)
            while records := await asyncio.to_thread(read, after):
                after += len(records)
                yield records
            if settled:
                return
            # No `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the news.
            due = loop.call_later(LOOK_S, moved.set)
            try:
                await moved.wait()
            finally:
                due.cancel()
    finally:
        for end in ends:
            end()


def until(stream: Awaited, done: Callable[[], bool], timeout: float | None) -> None:
    """Wait until *done* says so, asked with every news of *stream*, or *timeout* seconds."""
    news = News()
    ends = stream.hold("wait"), stream.subscribe(news.tell)
    until = None if timeout is None else time.monotonic() + timeout
    try:
        while not done():
            left = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            if left <= 0:
                return
            news.wait(left)
    finally:
        for end in ends:
            end()

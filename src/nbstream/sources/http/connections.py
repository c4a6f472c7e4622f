"""
The open upstream connections of this process, each with its owner: what the guard and the monitor look at.

Whoever holds a connection open registers it for exactly that long, so a connection that is listed is one that stands.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

#: The stream whose recorder makes the call that runs in this context.
_owner: ContextVar[str | None] = ContextVar("nbstream_connection_owner", default=None)


@dataclass(frozen=True, eq=False, slots=True)
class Connection:
    """One open connection; equal only to itself."""

    #: Without keys.
    url: str
    #: Closes it, on `loop`.
    close: Callable[[], Coroutine[Any, Any, None]] = field(repr=False)
    #: Id of the stream it was opened for; None: opened outside of any recording.
    owner: str | None = field(default_factory=_owner.get)
    #: Seconds of `time.monotonic()`.
    opened_at: float = field(default_factory=time.monotonic)
    #: Where it lives.
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop, repr=False)


#: Those that stand, oldest first.
_standing: dict[Connection, None] = {}
# A forked child has copies of its parent's sockets, and no business with them.
os.register_at_fork(after_in_child=_standing.clear)


@contextmanager
def owned_by(stream: str) -> Iterator[None]:
    """Let *stream* own the connections that are opened in this context and in the tasks it starts."""
    token = _owner.set(stream)
    try:
        yield
    finally:
        _owner.reset(token)


@contextmanager
def standing(url: str, close: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[Connection]:
    """Register a connection that *close* closes; *url* must be without keys. For the loop that runs."""
    connection = Connection(url, close)
    _standing[connection] = None
    try:
        yield connection
    finally:
        forget(connection)


def forget(connection: Connection) -> None:
    """Take *connection* off the list, if it is still there."""
    _standing.pop(connection, None)


def connections() -> list[Connection]:
    """Return those that stand, oldest first. From any thread."""
    return list(_standing)

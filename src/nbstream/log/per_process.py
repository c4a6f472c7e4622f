"""What a process opens for itself: threads and connections do not survive a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from nbstream.log.rows import closed


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Release everything."""


C = TypeVar("C", bound=Closable)


class PerProcess(Generic[C]):
    """What *attach* returns: called at once, and again in a forked child that wants it."""

    def __init__(self, attach: Callable[[], C]) -> None:
        self._attach = attach
        self._forking = threading.Lock()
        #: Kept for ever: SQLite forbids a child even to close its parent's connection.
        self._inherited: list[C] = []
        self._pid, self._attached = os.getpid(), attach()
        self.closed = False

    @property
    def here(self) -> C:
        """What is open in this process; raises `RuntimeError` after `close`."""
        if self.closed:
            raise closed()
        if self._pid != os.getpid():
            with self._forking:
                if self._pid != os.getpid():
                    own = self._attach()
                    self._inherited.append(self._attached)
                    self._attached, self._pid = own, os.getpid()
        return self._attached

    def close(self) -> None:
        """Close what is open in this process; a child leaves alone what its parent has."""
        if not self.closed and self._pid == os.getpid():
            self._attached.close()
        self.closed = True

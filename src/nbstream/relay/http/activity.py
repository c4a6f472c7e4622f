"""What the relay's HTTP side is doing: how many read, and when somebody last asked for something."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbstream.relay.http.answers import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Activity:
    """
    For the loop; the plain attributes may be looked at from any thread.

    `last_used` (seconds of *now*) moves with every request that was let in, and when a reader ends. A question after
    health or metrics is no use: a relay that is only watched has nothing to stay for.
    """

    def __init__(self, *, max_readers: int, now: Callable[[], float] = time.monotonic) -> None:
        #: Event streams and waiting polls that are open.
        self.readers = 0
        #: Connections that are open, whatever they do.
        self.connections = 0
        self.last_used = now()
        #: The relay ends: whoever waits is sent what there is, and no more.
        self.closing = False
        self._now = now
        self._max_readers = max_readers
        self._streams: Counter[str] = Counter()
        self._holders: Counter[str] = Counter()
        self._wakes: set[Callable[[], None]] = set()

    def touch(self) -> None:
        """Note that the relay is used now."""
        self.last_used = self._now()

    @contextmanager
    def reading(self, stream: str, holder: str | None, hang_up: Callable[[], None]) -> Iterator[None]:
        """Count a reader of *stream*; *hang_up* is called when the relay ends. Refuses (429) one too many."""
        if self._streams[stream] >= self._max_readers:
            raise Refusal(429, f"{self._max_readers} readers have this stream open already; close one")
        if self.closing:
            raise Refusal(503, "this relay is ending; ask the next one")
        self.readers += 1
        self._streams[stream] += 1
        self._holders.update([holder] if holder else [])
        self._wakes.add(hang_up)
        try:
            yield
        finally:
            self._wakes.discard(hang_up)
            self.readers -= 1
            _less(self._streams, stream)
            if holder:
                _less(self._holders, holder)
            self.touch()

    def connections_of(self, holder: str) -> int:
        """How many streams *holder* has open."""
        return self._holders[holder]

    def hang_up(self) -> None:
        """End every reader, politely: each is sent what is in the log by now."""
        self.closing = True
        for wake in tuple(self._wakes):
            wake()


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]

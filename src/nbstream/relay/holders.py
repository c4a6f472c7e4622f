"""Who holds the streams of a relay: kernels, by pings, and readers, by their connection."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: A connection that broke may be made again within this time before it counts.
GRACE_S = 2.0


class _Hold(NamedTuple):
    until: float
    #: Somebody is there to answer a question, not only a process that wants the result.
    attended: bool


class Holders:
    """Safe to use from any thread. *now*: seconds of a monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._holds: defaultdict[str, dict[str, _Hold]] = defaultdict(dict)
        self._lock = threading.Lock()

    def hold(self, stream: str, holder: str, for_s: float, *, attended: bool = True) -> None:
        """Let *holder* hold *stream* for so long; 0 lets go."""
        now = self._now()
        with self._lock:
            # Names come and go with every reader: none stays longer than it holds.
            holds = {name: hold for name, hold in self._holds[stream].items() if hold.until > now and name != holder}
            if for_s > 0:
                holds[holder] = _Hold(now + for_s, attended)
            self._holds[stream] = holds
            if not holds:
                del self._holds[stream]

    def drop(self, holder: str) -> None:
        """Note that the connection of *holder* broke: what it holds counts for a moment more."""
        until = self._now() + GRACE_S
        with self._lock:
            for holds in self._holds.values():
                hold = holds.get(holder)
                if hold is not None:
                    holds[holder] = hold._replace(until=min(hold.until, until))

    def held(self, stream: str) -> bool:
        """Whether anybody holds *stream*."""
        return bool(self.of(stream))

    def attended(self, stream: str) -> bool:
        """Whether somebody is there to answer a question about *stream*."""
        return any(hold.attended for hold in self._current(stream).values())

    def of(self, stream: str) -> list[str]:
        """Return the names of those who hold *stream*."""
        return sorted(self._current(stream))

    def _current(self, stream: str) -> dict[str, _Hold]:
        now = self._now()
        with self._lock:
            holds = self._holds.get(stream)
            return {name: hold for name, hold in holds.items() if hold.until > now} if holds else {}

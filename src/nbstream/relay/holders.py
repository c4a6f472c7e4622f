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
#: The longest that a hold lasts without another word.
LONGEST_S = 3600.0
#: How often what holds nothing any more is forgotten.
SWEEP_S = 60.0


class _Hold(NamedTuple):
    until: float
    #: Somebody is there to answer a question, not only a process that wants the result.
    attended: bool


class Holders:
    """Safe to use from any thread. *now*: seconds of a monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._holds: defaultdict[str, dict[str, _Hold]] = defaultdict(dict)
        #: When the last connection of a holder broke, until it has another one.
        self._broken: dict[str, float] = {}
        self._sweep_at = now() + SWEEP_S
        self._lock = threading.Lock()

    def hold(self, stream: str, holder: str, for_s: float, *, attended: bool = True) -> None:
        """Let *holder* hold *stream* for so long; 0 lets go."""
        now = self._now()
        with self._lock:
            self._broken.pop(holder, None)
            self._sweep(now)
            # Names come and go with every reader.
            holds = {name: hold for name, hold in self._holds[stream].items() if hold.until > now and name != holder}
            if for_s > 0:
                holds[holder] = _Hold(now + for_s, attended)
            self._holds[stream] = holds
            if not holds:
                del self._holds[stream]

    def streams(self) -> list[str]:
        """Return the streams that somebody holds."""
        with self._lock:
            return [
                stream
                for stream, holds in self._holds.items()
                if any(one.until > self._now() for one in holds.values())
            ]

    def drop(self, holder: str) -> None:
        """Note that the last connection of *holder* broke: what it holds counts for a moment more, if it stays away."""
        with self._lock:
            if any(holder in holds for holds in self._holds.values()):
                self._broken[holder] = self._now()

    def back(self, holder: str) -> None:
        """Note that *holder* has a connection again: what it holds counts as before."""
        with self._lock:
            self._broken.pop(holder, None)

    def begin(self, stream: str, holder: str, for_s: float) -> None:
        """Let *holder* hold *stream* for at least so long: it has just asked for it, and will say more."""
        now = self._now()
        with self._lock:
            self._broken.pop(holder, None)
            self._sweep(now)
            hold = self._holds[stream].get(holder, _Hold(0.0, attended=True))
            self._holds[stream][holder] = hold._replace(until=max(hold.until, now + for_s))

    def held(self, stream: str) -> bool:
        """Whether anybody holds *stream*."""
        return bool(self.of(stream))

    def attended(self, stream: str) -> bool:
        """Whether somebody is there to answer a question about *stream*."""
        return any(hold.attended for hold in self._current(stream).values())

    def of(self, stream: str) -> list[str]:
        """Return the names of those who hold *stream*."""
        return sorted(self._current(stream))

    def names(self, stream: str) -> list[str]:
        """Return the names of those who hold *stream*, or would if their connection had not broken."""
        with self._lock:
            return [name for name, hold in self._holds.get(stream, {}).items() if hold.until > self._now()]

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        for stream, holds in list(self._holds.items()):
            self._holds[stream] = {name: hold for name, hold in holds.items() if hold.until > now}
            if not self._holds[stream]:
                del self._holds[stream]
        holding = {name for holds in self._holds.values() for name in holds}
        self._broken = {name: at for name, at in self._broken.items() if name in holding}

    def _current(self, stream: str) -> dict[str, _Hold]:
        now = self._now()
        with self._lock:
            away = {name for name, at in self._broken.items() if at + GRACE_S <= now}
            holds = self._holds.get(stream, {})
            return {name: hold for name, hold in holds.items() if hold.until > now and name not in away}

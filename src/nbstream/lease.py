"""
How long a call goes on while nobody holds its stream. Pure: time comes in as an argument.

A lost view is not a stop: a page that comes back finds the stream, one that never comes back lets the lease end the
call. A stop always beats the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Least time behind a sleep of this process: whoever holds a stream by signs of life had no chance to give one.
AWAKE_S = 15.0


class Lease:
    """
    Over once nobody has held the stream for *linger_s* seconds; *held* says whether anybody does, and must not block.

    Times are seconds of one monotonic clock. The time between two looks counts only if nobody held at both.
    """

    def __init__(self, linger_s: float, held: Callable[[], bool]) -> None:
        self.linger_s = linger_s
        self._held = held
        #: When nobody was seen to hold it for the first time.
        self._since: float | None = None
        self._slept = False

    def over(self, now: float) -> bool:
        """Look whether somebody holds the stream; return True when nobody has for too long."""
        if self._held():
            self._since, self._slept = None, False
            return False
        if self._since is None:
            self._since = now
        if self._slept:
            self._since = max(self._since, now + AWAKE_S - self.linger_s)
            self._slept = False
        return now - self._since >= self.linger_s

    def skip(self, seconds: float) -> None:
        """Do not count the last *seconds*: this process was asleep."""
        if self._since is not None:
            self._since += seconds
        self._slept = True

    @property
    def reason(self) -> str:
        """Why the call ends, for the state line."""
        if not self.linger_s:
            return "nobody watches it any more"
        return f"nobody watched it for {self.linger_s:g} s"

"""
Read tickets: a browser's EventSource cannot send headers, and a token in a URL ends up in histories and logs.

A ticket opens one stream for reading, once, within a minute; it is traded for a cookie that opens the same.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.relay.hub.users import User

#: Tickets and cookies kept at a time; beyond, the oldest go.
MOST = 1000


class Ticket(NamedTuple):
    """What a ticket, or its cookie, opens, and for whom: None where there is one user."""

    stream: str
    user: User | None


class Tickets:
    """For one thread. *now*: seconds of a monotonic clock."""

    def __init__(self, *, ticket_s: float, cookie_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._tickets = _Valid(ticket_s, now)
        self._cookies = _Valid(cookie_s, now)

    def issue(self, stream: str, user: User | None) -> str:
        """Return a new ticket of *user* for *stream*."""
        return self._tickets.add(Ticket(stream, user))

    def trade(self, ticket: str, stream: str) -> str | None:
        """Return a cookie for a ticket that is good for *stream*; the ticket is used up. None if it is not good."""
        taken = self._tickets.take(ticket)
        return self._cookies.add(taken) if taken is not None and taken.stream == stream else None

    def behind(self, cookie: str, stream: str) -> Ticket | None:
        """Return the ticket that *cookie* was given for if it opens *stream*, else None."""
        found = self._cookies.get(cookie)
        return found if found is not None and found.stream == stream else None


class _Valid:
    """Random names for tickets, each for so long."""

    def __init__(self, for_s: float, now: Callable[[], float]) -> None:
        self._for_s, self._now = for_s, now
        self._kept: dict[str, tuple[Ticket, float]] = {}

    def add(self, ticket: Ticket) -> str:
        now = self._now()
        # In order of their end: all are given the same time.
        while self._kept:
            oldest, (_, until) = next(iter(self._kept.items()))
            if until > now and len(self._kept) < MOST:
                break
            del self._kept[oldest]
        name = secrets.token_urlsafe(32)
        self._kept[name] = ticket, now + self._for_s
        return name

    def get(self, name: str) -> Ticket | None:
        # Looking up 256 random bits tells nobody how near a guess was.
        ticket, until = self._kept.get(name, (None, 0.0))
        return ticket if until > self._now() else None

    def take(self, name: str) -> Ticket | None:
        ticket = self.get(name)
        self._kept.pop(name, None)
        return ticket

"""
Whether and when a failed call is sent again.

Only where it cannot repeat text or money: nothing was shown yet, or the source has a cursor, or it is a GET whose
repetition can be verified against what is shown. Our waits are 0.2, 0.6, 1.6 s with jitter only downwards (the first
retry is promised within 300 ms); progress resets the count. A wait the server asks for replaces ours, up to 120 s. A
server that says it is starting is asked again every 2 s, for 5 minutes: large models take their time to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import SourceLost, SourceMalformed, SourceRefused, SourceSilent
from nbstream.state import Event

if TYPE_CHECKING:
    from nbstream.errors import SourceError

WAITS_S = (0.2, 0.6, 1.6)
#: Share of a wait that jitter may take away.
JITTER = 0.25
#: Of a server that is starting: seconds between tries, and how many there are.
STARTING_WAIT_S = 2.0
STARTING_TRIES = 150
#: Longest wait a server may ask for; beyond it the stream ends as interrupted and names the time.
LONGEST_WAIT_S = 120.0


def verdict(error: SourceError, *, shown: bool, resumable: bool) -> Event:
    """
    Return what *error* means: LOST (may be sent again), CUT, or REFUSED.

    *shown*: text was recorded already. *resumable*: the source has a cursor, or can be replayed and verified.
    """
    safe = resumable or not shown
    if isinstance(error, SourceLost):
        return Event.LOST if safe else Event.CUT
    if isinstance(error, SourceSilent):
        return Event.CUT
    if isinstance(error, (SourceRefused, SourceMalformed)) and error.retryable and safe:
        return Event.LOST
    return Event.REFUSED


def wait_s(attempt: int, *, jitter: float, server_s: float | None = None, starting: bool = False) -> float | None:
    """
    Return the seconds to wait before try *attempt* (0 is the first repetition), or None when there is none.

    *jitter* is a random number from 0 to 1; *server_s* the wait the server asked for (Retry-After or `retry:`).
    *starting*: the server is, and *attempt* counts the tries that found it so.
    """
    if attempt >= (STARTING_TRIES if starting else len(WAITS_S)):
        return None
    if server_s is not None:
        return server_s if server_s <= LONGEST_WAIT_S else None
    return STARTING_WAIT_S if starting else WAITS_S[attempt] * (1 - JITTER * jitter)


def last_words(error: SourceError, attempts: int, *, server_s: float | None = None) -> str:
    """Return what to say of *error* when the call is not sent again: how often it was, or how long to wait."""
    if server_s is not None and server_s > LONGEST_WAIT_S:
        return f"{error}; the server asks to wait {server_s:,.0f} s, Resume after that"
    return f"{error} ({attempts} {'retry' if attempts == 1 else 'retries'})"

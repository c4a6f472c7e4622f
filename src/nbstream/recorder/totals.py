"""What the recorders of a process count over all their calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Totals:
    """Since the process began; only the loop of the recorders counts, any thread may read."""

    #: Calls sent again.
    retries: int = 0
    #: Silences of which the user was asked.
    stalls: int = 0
    #: Connections that outlived their owner and were closed by the guard.
    leaks_closed: int = 0

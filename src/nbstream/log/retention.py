"""When an old stream may go: pure decisions, the stores carry them out."""

from __future__ import annotations

DAY_S = 86_400.0
#: A clock this far past the last sweep has more likely jumped than the user been away; the next sweep will do.
TRUSTED_S = 7 * DAY_S


def clock_is_sane(now: float, last_sweep: float) -> bool:
    """Say whether a sweep at *now* may delete: not when the clock went back or far ahead since the last one."""
    return last_sweep <= now <= last_sweep + TRUSTED_S


def expired(touched: float, *, now: float, days: float) -> bool:
    """Say whether a stream was last shown or written to more than *days* ago."""
    return now - touched > days * DAY_S

"""Who may do what: users, their scopes and limits."""

from __future__ import annotations

from dataclasses import dataclass, field

#: read: list, describe, read, hold and watch one's own streams. start: start, resume, continue. stop: stop, delete.
SCOPES = ("read", "start", "stop", "metrics")
#: What a token is for if its line does not say.
USUAL = ("read", "start", "stop")


@dataclass(frozen=True)
class User:
    """
    Somebody with a token.

    Limits are those of one relay: streams that are live at once, open readers (event streams and waiting polls), and
    calls begun in a minute.
    """

    name: str
    scopes: frozenset[str]
    live: int = 8
    readers: int = 32
    starts_a_minute: int = 30
    #: SHA-256 of the token: another one of the same user may last longer, or be for more.
    token: str = field(default="", repr=False)

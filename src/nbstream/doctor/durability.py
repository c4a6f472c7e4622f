"""What a crash of Redis takes away: its own settings say it (docs/hub.md), and nobody sees it before that crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import LogError

if TYPE_CHECKING:
    from nbstream.log.contract import Store

#: By `appendfsync`. What the system has not written by itself is on disk half a minute later at most (Linux).
_LOST = {
    "everysec": "up to a second or two of every stream (appendfsync everysec)",
    "no": "what its system had not yet written, up to half a minute (appendfsync no)",
}


def crash_of_redis(store: Store) -> str:
    """Return what a crash of the Redis of *store* loses; empty for nothing, or where we may not ask."""
    here: Any = getattr(store, "_here", None)  # no part of the contract: nobody else wants to know
    if here is None:
        return ""
    try:
        found = {_text(name): _text(value) for name, value in here.server._do("CONFIG GET", "append*").items()}  # noqa: SLF001
    except (LogError, AttributeError):
        return ""  # an ACL, or a service that has no CONFIG
    lost = _LOST.get(found.get("appendfsync", ""), "")
    if found.get("appendonly") == "no":
        lost = "what came since its last snapshot (appendonly no)"
    return f"a crash of Redis or its machine loses {lost}; docs/hub.md has its settings" if lost else ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

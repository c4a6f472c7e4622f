"""What a crash of Redis takes away: its own settings say it (docs/hub.md), and nobody sees it before that crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.log.contract import Store

#: By `appendfsync`. What the system has not written by itself is on disk half a minute later at most (Linux).
_LOST = {
    "everysec": "up to a second or two of every stream (appendfsync everysec)",
    "no": "what its system had not yet written, up to half a minute (appendfsync no)",
}


def crash_of_redis(store: Store) -> str:
    """Return what a crash of the Redis of *store* loses; empty for nothing, or where we may not ask."""
    settings: Callable[[str], dict[str, str]] | None = getattr(store, "settings", None)  # of the store in Redis alone
    found = settings("append*") if settings is not None else {}
    lost = _LOST.get(found.get("appendfsync", ""), "")
    if found.get("appendonly") == "no":
        lost = "what came since its last snapshot (appendonly no)"
    return f"a crash of Redis or its machine loses {lost}; docs/hub.md has its settings" if lost else ""

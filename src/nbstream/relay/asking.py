"""What the body of a request to the service says, understood or refused with one clear line."""

from __future__ import annotations

import json
import math
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def key_of(ask: Mapping[str, Any]) -> str:
    """Return the key of the stream: a notebook's as it is, any other word as a name of its own, none at random."""
    given = text(ask, "key") or secrets.token_urlsafe(12)
    with suppress(ValueError):
        parts = json.loads(given)
        if isinstance(parts, list) and [type(part) for part in parts] == [str, str, int]:
            return given
    return json.dumps([text(ask, "scope") or "relay", f"key:{given}", 0])


def text(ask: Mapping[str, Any], name: str) -> str | None:
    """Return a field that holds text, None if it is left out."""
    value = ask.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name}: expected text, found {type(value).__name__}")
    return value


def turn_of(ask: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return which turn of a conversation it is, None for none."""
    turn = ask.get("turn")
    if turn is None:
        return None
    known = {"conversation", "behind", "before", "prompt"}
    if not isinstance(turn, dict) or set(turn) - known or not text(turn, "conversation"):
        raise TypeError("turn: an object with conversation, a name, and behind, before and prompt where there are any")
    behind = turn.get("behind") or []
    if not isinstance(behind, list) or not all(isinstance(key, str) for key in behind):
        raise TypeError("turn: behind must be a list of keys")
    texts = {name: value for name in ("conversation", "before", "prompt") if (value := text(turn, name)) is not None}
    return {**texts, "behind": behind}


def flag(ask: Mapping[str, Any], name: str) -> bool:
    """Return a field that is true or false, False if it is left out."""
    value = ask.get(name)
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, found {type(value).__name__}")
    return bool(value)


def seconds(name: str, value: Any) -> float:
    """Return one of the limits of a call."""
    if name not in ("first_s", "idle_s", "linger_s"):
        raise ValueError(f"limits: unknown {name!r}; use first_s, idle_s, linger_s")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: a number of seconds from 0 on")
    return float(value)

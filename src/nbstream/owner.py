"""
Whose a stream is, where many users share one store: it stands in the stream's key, so every store and relay knows it.

A key is (notebook, cell, n); a user's notebooks are called `user:NAME:` and their path. So two users' keys never meet,
and a list of one user's streams looks at keys alone.
"""

from __future__ import annotations

import json
import re

#: No ":" (it ends the name), and nothing that JSON escapes (a key is compared as it is spelled).
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SCOPE = re.compile(rf"user:({USER_NAME.pattern}):(.*)", re.DOTALL)


def scope_of(user: str, scope: str) -> str:
    """Return *scope* as one of the user's; it may be that already."""
    return scope if owner_of_scope(scope) == user else f"user:{user}:{scope}"


def key_of(user: str, key: str) -> str:
    """Return *key*, a notebook's, as one of the user's."""
    scope, *rest = json.loads(key)
    return json.dumps([scope_of(user, scope), *rest])


def owns(user: str, key: str) -> bool:
    """Whether the stream under *key* is the user's. Cheap: it is asked of every stream of a store."""
    return key.startswith(f'["user:{user}:')


def owner_of(key: str) -> str | None:
    """Return whose the stream under *key* is, None for one of a store that is not shared, or no key of ours."""
    if not key.startswith('["user:'):
        return None
    try:
        scope = json.loads(key)[0]
    except ValueError:
        return None
    return owner_of_scope(scope) if isinstance(scope, str) else None


def owner_of_scope(scope: str) -> str | None:
    """Return the user in a scope, None for none."""
    match = _SCOPE.fullmatch(scope)
    return match[1] if match else None


def without_owner(scope: str) -> str:
    """Return a scope as the notebook itself has it: its path."""
    match = _SCOPE.fullmatch(scope)
    return match[2] if match else scope

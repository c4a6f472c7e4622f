"""
The file of tokens: for each its user, scopes and limits, and of the token itself only its SHA-256.

A token is `NAME.SECRET` with 256 random bits, so a plain hash tells nothing about it. One file is read by everybody who
starts a relay; the tokens are seen once, by whoever makes them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING

from nbstream.errors import RelayError
from nbstream.owner import USER_NAME
from nbstream.relay.hub.files import Entry, entries, stamp
from nbstream.relay.hub.users import SCOPES, USUAL, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FIELDS = frozenset({"user", "sha256", "scopes", "live", "readers", "starts_a_minute"})
#: What is compared for a user that is not there, so that his name takes as long as another.
_NOBODY = ("-" * 64, User("", frozenset()))


def make_token(user: str, scopes: Sequence[str] = USUAL) -> tuple[str, str]:
    """Return a new token and its lines for the file; raises `ValueError` for what cannot be a name or a scope."""
    if not USER_NAME.fullmatch(user):
        raise ValueError(f"user {user!r}: use letters, digits and . _ @ - (64 at most, a letter or digit first)")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ValueError(f"scope {(unknown or [''])[0]!r}: use {', '.join(SCOPES)}")
    token = f"{user}.{secrets.token_urlsafe(32)}"
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    return token, f'[[token]]\nuser = "{user}"\nsha256 = "{_hash(token)}"\nscopes = [{listed}]\n'


class Tokens:
    """
    The tokens in *file*, read when it changes.

    Raises `RelayError` with file and line for one that cannot be understood; later the tokens read before stay good.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = stamp(file)
        self._known = _read(file)

    def user_of(self, token: str) -> User | None:
        """Return who has *token*, None for nobody."""
        name = token.rpartition(".")[0]
        given, found = _hash(token), None
        for known, user in self._known.get(name, [_NOBODY]):
            if hmac.compare_digest(given, known):
                found = found or user
        return found

    def now(self, user: User) -> User | None:
        """Return what the token of *user* is for by now, None if it was taken away."""
        return next((known for digest, known in self._known.get(user.name, ()) if digest == user.token), None)

    def may(self, name: str, right: str) -> User | None:
        """Return the user of that name if one of his tokens has the scope *right*."""
        return next((user for _, user in self._known.get(name, ()) if right in user.scopes), None)

    def reload(self, *, asked: bool = False) -> bool:
        """Read the file again if it has changed, or if somebody *asked*; return whether it was read."""
        now = stamp(self._file)
        if now == self._stamp and not asked:
            return False
        self._stamp = now  # of a file that cannot be understood too: it is complained about once
        self._known = _read(self._file)
        return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _read(file: Path) -> dict[str, list[tuple[str, User]]]:
    found: defaultdict[str, list[tuple[str, User]]] = defaultdict(list)
    for entry in entries(file, "token"):
        user = _user(entry)
        found[user.name].append((user.token, user))
    try:
        if file.stat().st_mode & 0o037:  # its group may read it: that is how a service is given a file of root's
            warnings.warn(f"{file} can be read or written by others: chmod 600 {file}", stacklevel=2)
    except OSError as exc:
        raise RelayError(f"{file} cannot be read ({exc.strerror})") from exc
    return dict(found)


def _user(entry: Entry) -> User:
    entry.only(_FIELDS)
    name, digest = entry.text("user"), entry.text("sha256")
    if name is None or not USER_NAME.fullmatch(name):
        raise entry.wrong("user must be a name of letters, digits and . _ @ -")
    if digest is None or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise entry.wrong("sha256 must be 64 hexadecimal digits; `nbstream relay token USER` writes them")
    scopes = entry.fields.get("scopes", list(USUAL))
    if not isinstance(scopes, list) or not scopes:
        raise entry.wrong(f"scopes must be a list of {', '.join(SCOPES)}")
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise entry.wrong(f"scopes: {str(unknown[0])[:40]!r} is none of {', '.join(SCOPES)}")
    return User(
        name, frozenset(scopes), live=entry.count("live", User.live), readers=entry.count("readers", User.readers),
        starts_a_minute=entry.count("starts_a_minute", User.starts_a_minute), token=digest.lower(),
    )  # fmt: skip

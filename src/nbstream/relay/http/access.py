"""
Who is let in, and what a request may do: one user who may do everything (here), or many (`hub/access.py`).

The endpoints ask it before they do anything; it raises `Refusal`.
"""

# ruff: noqa: ARG002 - where there is one user, nothing depends on who asks for what

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbstream.relay.address import proof

if TYPE_CHECKING:
    from starlette.types import Scope

    from nbstream.relay.hub.users import User


class Access:
    """The one user of a relay of his own: whoever has *token*."""

    #: A browser may send the cookie over TLS only.
    secure = False

    def __init__(self, token: str, port_of: Callable[[], int]) -> None:
        if not token:
            raise ValueError("token: a relay without one would be open to every program of this machine")
        self._token, self._port_of = token, port_of

    def knows(self, token: str, scope: Scope) -> bool:
        """Whether *token* lets a request in; what else there is to say of its user is put into *scope*."""
        scope["user"] = None
        return hmac.compare_digest(token.encode(), self._token.encode())

    def lasts(self, user: User | None, scope: Scope) -> bool:
        """Whether who has given a ticket may still read; the request counts as that user's."""
        scope["user"] = user
        return True

    def prove(self, nonce: str) -> str:
        """Return the proof that this is the relay that has the token."""
        return proof(self._token, self._port_of(), nonce)

    def need(self, scope: Scope, right: str) -> User | None:
        """Refuse a request whose user may not do this; return the user, None where there is but one."""

    def check(self, scope: Scope, stream: str) -> None:
        """Refuse (404) a stream that is not the user's. May block."""

    def own(self, scope: Scope) -> Callable[[str], bool] | None:
        """Return what tells by a key whether a stream is the user's; None: all are."""

    @contextmanager
    def starting(self, scope: Scope, ask: Mapping[str, Any], *, resumes: bool = False) -> Iterator[Mapping[str, Any]]:
        """Refuse (429) one call too many; enter with what is asked, as it is to be understood. May block."""
        yield ask

    def began(self, scope: Scope, stream: str) -> None:
        """Note that a call of the user's was begun."""

    @contextmanager
    def reading(self, scope: Scope, hang_up: Callable[[], None]) -> Iterator[None]:
        """Refuse (429) one reader too many."""
        yield

    def holder(self, scope: Scope, name: str) -> str:
        """Return the name of a holder, which no other user can have."""
        return name

    def holds(self, scope: Scope, name: str, names: Collection[str]) -> None:
        """Refuse (429) one holder too many of a stream that has those *names*."""

    def health(self, scope: Scope, found: dict[str, Any]) -> dict[str, Any]:
        """Return of how the relay is what the user may know."""
        return found

    def told(self, scope: Scope, answer: dict[str, Any]) -> dict[str, Any]:
        """Return *answer* as its user is to have it."""
        return answer

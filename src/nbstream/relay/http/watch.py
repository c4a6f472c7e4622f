"""The page that shows one stream in any browser: opened by a ticket, kept by a cookie, read by EventSource."""

from __future__ import annotations

import secrets
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from nbstream.relay.http.answers import Refusal
from nbstream.relay.http.guarding import COOKIE

if TYPE_CHECKING:
    from starlette.responses import Response

    from nbstream.relay.http.limits import HTTPLimits
    from nbstream.relay.http.tickets import Tickets
    from nbstream.relay.hub.users import User

#: Nothing but what stands in the page itself, and its own server. `@NONCE@` is new with each answer.
POLICY = (
    "default-src 'none'; script-src 'nonce-@NONCE@'; style-src 'nonce-@NONCE@'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)


class Watch:
    """Hands out tickets, trades them, and serves the page."""

    def __init__(self, tickets: Tickets, limits: HTTPLimits, *, secure: bool = False) -> None:
        self._tickets, self._limits, self._secure = tickets, limits, secure

    def ticket(self, stream: str, user: User | None) -> Response:
        """Return where to go with a new ticket of *user*."""
        url = f"{_path(stream)}/watch?ticket={self._tickets.issue(stream, user)}"
        return JSONResponse({"url": url, "expires_s": self._limits.ticket_s})

    def trade(self, ticket: str, stream: str) -> Response:
        """Take the ticket for a cookie, and send the browser on: the address bar shows none."""
        cookie = self._tickets.trade(ticket, stream)
        if cookie is None:
            raise Refusal(401, "this ticket was used, is too old, or is for another stream; ask for a new one")
        answer = RedirectResponse(f"{_path(stream)}/watch", 303)
        answer.set_cookie(
            COOKIE, cookie, max_age=int(self._limits.cookie_s), path=_path(stream), httponly=True, samesite="strict",
            secure=self._secure,
        )  # fmt: skip
        return answer

    def page(self) -> Response:
        """Return the page."""
        nonce = secrets.token_urlsafe(16)
        return HTMLResponse(
            _html().replace("@NONCE@", nonce),
            headers={"Content-Security-Policy": POLICY.replace("@NONCE@", nonce), "X-Frame-Options": "DENY"},
        )


def _path(stream: str) -> str:
    return f"/v1/streams/{stream}"


@cache
def _html() -> str:
    return files(__package__).joinpath("watch.html").read_text("utf-8")

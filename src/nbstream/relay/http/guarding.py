"""
Who is let in: to this server at all (Host, Origin), and to what (token, or the cookie of one stream's readers).

Any page in the user's browser can send requests to a port of this machine. `Host` refuses those that reached it under
a name of their own (DNS rebinding), `Origin` those that a foreign page made; no answer ever carries a CORS header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.requests import Request

from nbstream.relay.http.answers import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from nbstream.relay.http.access import Access
    from nbstream.relay.http.activity import Activity
    from nbstream.relay.http.tickets import Tickets

COOKIE = "nbstream_ticket"

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_READABLE = re.compile(r"/v1/streams/([^/]+)/(records|watch)")
#: What is asked of a relay to see how it is, and not to use it.
_WATCHED = ("/healthz", "/readyz", "/metrics")
#: What anybody may ask: whether the relay runs, and whether it takes new calls.
_OPEN = ("/healthz", "/readyz")


class Guard:
    """
    Passes on what may come in; `scope["trusted"]` says whether it came with a token, `scope["user"]` whose.

    Of what comes by a ticket: who gave it. *any_host*: under which name a relay of many is reached is not known here,
    and a token is asked for all the same.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        port_of: Callable[[], int],
        allow_hosts: tuple[str, ...],
        tickets: Tickets,
        activity: Activity,
        any_host: bool = False,
    ) -> None:
        self._app, self._access, self._port_of = app, access, port_of
        self._any = any_host
        self._any_host = any_host and not allow_hosts
        self._names = frozenset(name.lower() for name in allow_hosts)
        self._tickets, self._activity = tickets, activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        request = Request(scope)
        self._same_origin(request, self._host(request))
        trusted = self._has_token(request)
        if not (trusted or scope["path"] in _OPEN or self._may_read(request)):
            wrong = self._any and "authorization" in request.headers
            said = "this token is not known here" if wrong else "a token is needed: Authorization: Bearer <token>"
            raise Refusal(401, said, headers={"WWW-Authenticate": "Bearer"})
        if scope["path"] not in _WATCHED:
            self._activity.touch()
        scope["trusted"] = trusted
        await self._app(scope, receive, send)

    def _host(self, request: Request) -> str:
        """Return the server's name as the client wrote it, if it is one of ours."""
        given = request.headers.getlist("host")
        host = given[0].lower() if len(given) == 1 else ""
        port = self._port_of()
        if self._any_host and host:
            return host
        if host not in {f"{name}:{port}" for name in _LOOPBACK}:
            name = re.sub(r":[0-9]+$", "", host)  # a proxy in front listens where it likes
            if not {host, name} & self._names:
                raise Refusal(421, f"this is 127.0.0.1:{port}; for another name start it with --allow-host")
        return host

    def _same_origin(self, request: Request, host: str) -> None:
        for origin in request.headers.getlist("origin"):
            if origin.lower() not in (f"http://{host}", f"https://{host}"):
                raise Refusal(403, "no other page may ask this server")

    def _has_token(self, request: Request) -> bool:
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        return self._access.knows(token.strip() if scheme.lower() == "bearer" else "", request.scope)

    def _may_read(self, request: Request) -> bool:
        """Whether a browser that holds a ticket may have this: one stream's records, or the page that shows them."""
        match = _READABLE.fullmatch(request.scope["path"])
        if match is None or request.method not in ("GET", "HEAD"):
            return False
        stream, what = match.groups()
        # The browser says who asks, even where it sends no Origin: an image of a page on another port, for instance.
        asking = request.headers.get("sec-fetch-site", "none")
        if what == "watch" and (asking == "cross-site" or "ticket" in request.query_params):
            # The page looks at a ticket itself, and uses it up. Behind a link from elsewhere (JupyterLab on "localhost"
            # is elsewhere) the browser keeps the cookie back for now; the page holds no text, and may ask with it.
            return True
        if what == "records" and asking not in ("same-origin", "none"):
            return False
        ticket = self._tickets.behind(request.cookies.get(COOKIE, ""), stream)
        return ticket is not None and self._access.lasts(ticket.user, request.scope)

"""
The relay's HTTP interface, version 1 (docs/protocol.md), as one ASGI application.

    Answers  errors become JSON, every answer is safe
    Guard    Host, Origin, token or cookie
    Router   the table of `endpoints.py`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Router

from nbstream.relay.http.access import Access
from nbstream.relay.http.activity import Activity
from nbstream.relay.http.answers import Answers
from nbstream.relay.http.desk import Desk
from nbstream.relay.http.endpoints import Endpoints
from nbstream.relay.http.guarding import Guard
from nbstream.relay.http.limits import HTTPLimits
from nbstream.relay.http.tickets import Tickets
from nbstream.relay.http.watch import Watch
from nbstream.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from nbstream.relay.service import Service


class RelayApp:
    """The application. Made by `make_app`; `connection.server_config` says how uvicorn is to serve it."""

    def __init__(self, app: ASGIApp, activity: Activity, limits: HTTPLimits) -> None:
        #: How much it is used.
        self.activity = activity
        self.limits = limits
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["app"] = self  # with it Starlette raises its 404 and 405 instead of answering them
        await self._app(scope, receive, send)


def make_app(
    service: Service,
    *,
    token: str = "",
    port_of: Callable[[], int],
    allow_hosts: tuple[str, ...] = (),
    draining: Callable[[], bool] = lambda: False,
    limits: HTTPLimits | None = None,
    access: Access | None = None,
    report: Callable[[Exception], None] | None = None,
) -> RelayApp:
    """
    Return the application for the streams of *service*.

    Args:
        service: Starts, reads and stops.
        token: What a client must have; left out where *access* knows the users.
        port_of: Returns the port that the server got.
        allow_hosts: Names under which a proxy in front may pass requests on, without a port.
        draining: Whether this relay takes no new calls any more.
        limits: How much it puts up with.
        access: Who may do what; by default whoever has *token* may do everything.
        report: What to do with an error that nobody foresaw; by default it is logged.
    """
    shared, access = access is not None, access or Access(token, port_of)
    limits = limits or HTTPLimits()
    activity = Activity(max_readers=limits.readers)
    desk = Desk(service.store)
    runtime().crowded = desk.crowded
    tickets = Tickets(ticket_s=limits.ticket_s, cookie_s=limits.cookie_s)
    endpoints = Endpoints(
        service, desk, activity, limits, Watch(tickets, limits, secure=access.secure), access=access, draining=draining,
    )  # fmt: skip
    router = Router(endpoints.routes(), redirect_slashes=False)
    guard = Guard(
        router, access=access, port_of=port_of, allow_hosts=allow_hosts, tickets=tickets, activity=activity,
        any_host=shared,
    )  # fmt: skip
    return RelayApp(Answers(guard, redact=service.secrets, knew=service.knew, report=report), activity, limits)

"""
One TCP connection of the relay, with an end to everything a client can fail to do, and the server made of them.

uvicorn waits for ever: for a request that is not sent, for an answer that is not taken, and (politely) for the rest of
an answer when it closes. Here each of these has its time, whatever the application is doing.
"""

from __future__ import annotations

import asyncio
import json
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp

    from nbstream.relay.http.activity import Activity
    from nbstream.relay.http.app import RelayApp
    from nbstream.relay.http.limits import HTTPLimits

#: Looks a client that takes nothing is given within its time.
LOOKS = 5
#: What the server waits for answers under way when it ends.
GOODBYE_S = 3


def server_config(
    app: RelayApp,
    *,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    tls: tuple[Path, Path] | None = None,
) -> uvicorn.Config:
    """
    Return how uvicorn is to serve *app*; `Server.serve` runs on any loop, on a socket that is given to it.

    *around* puts another application around it; *tls* are the files of certificate and key.
    """
    return uvicorn.Config(
        cast("Any", around(app)),
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        http=cast("Any", partial(Connection, limits=app.limits, activity=app.activity)),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # uvicorn's type says int, for its command line; it goes to `call_later`.
        timeout_keep_alive=cast("int", app.limits.keep_alive_s),
        timeout_graceful_shutdown=GOODBYE_S,
    )


class Connection(H11Protocol):
    """uvicorn's protocol with h11, and clocks."""

    transport: asyncio.Transport

    def __init__(self, *, limits: HTTPLimits, activity: Activity, **given: Any) -> None:
        super().__init__(**given)
        self._limits, self._activity = limits, activity
        self._head_due: asyncio.TimerHandle | None = None
        self._taken_due: asyncio.TimerHandle | None = None
        #: Bytes not taken at the last look, and looks since that was less.
        self._left, self._looks = 0, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count, and to wait for a head."""
        super().connection_made(transport)
        self._activity.connections += 1
        # asyncio does this only for listeners made with their protocol named. Without it an answer in two writes waits
        # 40 ms for the acknowledgement of the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # "Written" means that the system has all of it: what is left over counts as not taken.
        # A TLS transport of asyncio (3.11 on) pauses at the limit, not above it: with 0 it would pause for ever.
        transport.set_write_buffer_limits(high=0 if transport.get_extra_info("sslcontext") is None else 1)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "ServiceUnavailable", f"{self._limits.connections} connections are open already")
        else:
            self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all that runs for the connection."""
        self._activity.connections -= 1
        for due in (self._head_due, self._taken_due):
            if due is not None:
                due.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        self._watch_head()

    def shutdown(self) -> None:
        """Let the answer under way, if there is one, come to its end."""
        self._activity.hang_up()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answer what is not HTTP."""
        if self._answering:
            self.transport.abort()  # in the middle of an answer there is no place for another one
        else:
            self._refuse(400, "BadRequest", "this is not HTTP/1.1")

    def pause_writing(self) -> None:
        """Begin to look whether the client takes what was written."""
        super().pause_writing()
        self._left, self._looks = self.transport.get_write_buffer_size(), 0
        self._look_again()

    def resume_writing(self) -> None:
        """Stop looking: the client has taken everything."""
        super().resume_writing()
        if self._taken_due is not None:
            self._taken_due.cancel()

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever uvicorn's type says
        return cycle is not None and not cycle.response_complete

    def _watch_head(self) -> None:
        """Give the client its time to send a head, from the moment it is to send one: not between two requests."""
        due = not self._answering and self.timeout_keep_alive_task is None
        if self._head_due is not None and not due:
            self._head_due.cancel()
            self._head_due = None
        elif self._head_due is None and due:
            self._head_due = self.loop.call_later(self._limits.head_s, self.transport.abort)

    def _look_again(self) -> None:
        self._taken_due = self.loop.call_later(self._limits.send_s / LOOKS, self._look_what_was_taken)

    def _look_what_was_taken(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._looks = 0 if left < self._left else self._looks + 1
        self._left = left
        if self._looks >= LOOKS:
            self.transport.abort()
        else:
            self._look_again()

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Answer without the application, and close."""
        body = json.dumps({"error": {"type": kind, "message": message}}).encode()
        self.transport.write(
            b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, len(body), body)
        )
        self.transport.close()

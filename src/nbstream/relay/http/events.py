"""
Records as server-sent events: the answer that stays open.

Ours instead of sse-starlette's `EventSourceResponse` (3.7.0), which

- ends a send that takes too long by an exception that uvicorn logs with a traceback, and leaves the socket: closing a
  connection politely means to send first what its peer does not read. Here the connection itself cuts such a client
  off (`connection.py`), whatever was being sent, and this answer learns of it like of any other that left;
- pings by the clock, not in silence, and ends each with a blank line, an event without data for many readers;
- needs five tasks for each reader, and an async generator whose clean-up runs only if it was ever entered. Here one
  task waits, one watches, and what ends with the answer is registered around it;
- replaces `uvicorn.Server.handle_exit` when it is imported, and polls twice a second for the end of the server.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from nbstream.errors import LogDamaged, StoreFull, StreamGone
from nbstream.relay.holders import GRACE_S
from nbstream.relay.http.answers import Refusal
from nbstream.relay.http.batches import Batch, ended, read
from nbstream.relay.http.forms import HELLO, PING, EventForm, event, live_number
from nbstream.relay.http.news import News

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from nbstream.log.contract import Log
    from nbstream.relay.held import Held
    from nbstream.relay.http.access import Access
    from nbstream.relay.http.activity import Activity
    from nbstream.relay.http.desk import Desk
    from nbstream.relay.http.limits import HTTPLimits
    from nbstream.relay.service import Service

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
]


#: Said when the relay ends, or its store is away: come back soon, here or to another one. Browsers take it as the time
#: between two tries.
RETRY = b"retry: 1000\n"


class EventStream:
    """
    An ASGI answer: everything behind *held*, what follows, and (if the form says it) live status.

    Where the last record of *held* is another one by now, that is said, and everything comes from the beginning.

    With *holder* it is the connection of somebody who says elsewhere what it holds; without, the reader itself holds
    the stream while it is connected.
    """

    def __init__(
        self, service: Service, desk: Desk, activity: Activity, limits: HTTPLimits,
        access: Access, *, stream: str, held: Held,
        form: EventForm, holder: str | None,
    ) -> None:  # fmt: skip
        self._service, self._desk, self._activity, self._limits = service, desk, activity, limits
        self._access = access
        self._stream, self._form, self._holder = stream, form, holder
        self._held = held
        self._sent = held.after  # offset of the last record sent
        self._name = f"reader:{secrets.token_hex(4)}"
        #: Why no more can be read for now.
        self._away: StoreFull | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Answer until the stream is complete, deleted or damaged, the client has left, or the relay ends.

        Or its store is out of reach: then the answer ends as that of a relay that ends, and the error is raised.
        """
        log, tail, over = await self._desk.ask(self._open)
        if over or scope["method"] == "HEAD":
            headers = [] if over else HEADERS
            await send({"type": "http.response.start", "status": 204 if over else 200, "headers": headers})
            await send({"type": "http.response.body"})
            return
        if self._sent >= 0:
            await asyncio.to_thread(self._form.begin, log, self._sent)
        news = News()
        with (
            self._access.reading(scope, news.hang_up),
            self._activity.reading(self._stream, self._holder, news.hang_up),
        ):
            if self._holder is not None:
                self._service.back(self._holder)
            subscribing = self._desk.ask(partial(self._service.subscribe, self._stream, news.look))
            try:
                async with news.of(subscribing, receive):
                    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                    await _write(send, HELLO if self._sent == self._held.after else HELLO + self._lost)
                    await self._tell(log, tail, news, send)
                    later = self._activity.closing or self._away is not None
                    await send({"type": "http.response.body", "body": RETRY if later else b""})
            finally:
                self._let_go(news)
        if self._away is not None:
            raise self._away

    def _open(self) -> tuple[Log, int, bool]:
        log = self._service.store.log(self._stream)
        if not self._held.stands(log):
            self._sent = -1
        try:
            over = ended(log, self._sent)
        except ValueError as exc:
            raise Refusal(400, str(exc)) from exc
        log.read(self._sent, limit=1)  # a damaged record is an answer of its own, which ends an EventSource
        return log, log.tail(), over

    @property
    def _lost(self) -> bytes:
        return event("lost", {"after": self._held.after, "message": self._held.lost_of(self._stream)})

    async def _tell(self, log: Log, tail: int, news: News, send: Send) -> None:
        loop = asyncio.get_running_loop()
        live = _Live(partial(self._service.live, self._stream), self._limits.live_s)
        ping_at, hold_at = loop.time() + self._limits.ping_s, 0.0
        caught_up = False
        while True:
            if loop.time() >= hold_at:
                hold_at = loop.time() + self._limits.ping_s
                self._hold()
            # Before the records: "no longer live" is said behind the last of them.
            status = live.look(loop.time())
            batch = await self._read(log)
            out = batch.items
            self._sent = batch.upto
            rest = None if batch.last or batch.full else self._form.rest(batch.upto)
            if rest is not None:
                out.append(rest)
                batch = batch._replace(last=True)
            if not caught_up and batch.upto >= tail:
                caught_up = True
                if self._form.status:
                    out.append(event("caught_up", {"offset": batch.upto}))
                    live.begin()
                    news.wake()
            if not batch.last:
                out.append(status)
            data = b"".join(out) or (PING if loop.time() >= ping_at else b"")
            if data:
                await _write(send, data)
                ping_at = loop.time() + self._limits.ping_s
            if batch.last or news.over:
                return
            if not batch.full:
                await news.wait(min(ping_at, hold_at, live.due))

    async def _read(self, log: Log) -> Batch:
        """Read on; the last batch of all says why nothing follows."""
        question = partial(read, log, self._sent, self._form, most_bytes=self._limits.batch_bytes)
        try:
            batch = await self._desk.ask(question)
            if batch.last:
                batch.items.append(await asyncio.to_thread(self._form.end, log, batch.upto))
            return batch
        except StreamGone:
            return Batch([event("gone", {"id": self._stream})], self._sent, last=True, full=False)
        except StoreFull as exc:
            self._away = exc
            return Batch([], self._sent, last=True, full=False)
        except LogDamaged as exc:
            said = {"type": exc.type, "message": self._service.secrets(str(exc))}
            return Batch([event("damaged", said)], self._sent, last=True, full=False)

    def _hold(self) -> None:
        if self._holder is None:
            # Nobody who only reads can answer a question.
            self._service.hold(self._stream, self._name, 3 * self._limits.ping_s, attended=False)

    def _let_go(self, news: News) -> None:
        if self._holder is None:
            self._service.hold(self._stream, self._name, GRACE_S, attended=False)  # it may be coming back
        elif news.left and self._activity.connections_of(self._holder) == 1:
            self._service.drop(self._holder)  # with its last connection; what a kernel holds, it holds by all of them


class _Live:
    """Live status of one stream, told when it has changed and not too often."""

    def __init__(self, look: Callable[[], dict[str, Any] | None], every_s: float) -> None:
        self._look, self._every_s = look, every_s
        self._told: int | None = None
        self._next = math.inf
        #: When to look, if there was news too soon after the last look.
        self.due = math.inf

    def begin(self) -> None:
        """Look from now on."""
        self._next = 0.0

    def look(self, now: float) -> bytes:
        """Return the event to send, if there is one."""
        if now < self._next:
            self.due = self._next
            return b""
        self._next, self.due = now + self._every_s, math.inf
        live = self._look()
        number = live_number(live)
        if number == self._told:
            return b""
        self._told = number
        return event("live", live)


async def _write(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})

"""
What the relay answers to each request that was let in.

Everything but a read goes to the `Service` in another thread, since it blocks; reads share one (`desk.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from nbstream.relay.http.answers import Refusal
from nbstream.relay.http.asked import (
    EVENTS,
    NAME_CHARS,
    cursor,
    form_of,
    json_body,
    marks_ids,
    number,
    seconds,
    stream_of,
)
from nbstream.relay.http.events import EventStream
from nbstream.relay.http.forms import event_form
from nbstream.relay.http.metrics import CONTENT_TYPE, health, prometheus
from nbstream.relay.http.pages import Poll

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from nbstream.relay.http.access import Access
    from nbstream.relay.http.activity import Activity
    from nbstream.relay.http.desk import Desk
    from nbstream.relay.http.limits import HTTPLimits
    from nbstream.relay.http.watch import Watch
    from nbstream.relay.service import Service

T = TypeVar("T")
#: When to ask again after a relay that ends: another one is there by then, or has been all along.
AGAIN_S = 1
#: Requests that are worked on at a time; others wait.
THREADS = 8
Endpoint: TypeAlias = "Callable[[Request], Awaitable[ASGIApp]]"

_NONCE = re.compile(r"[0-9a-fA-F]{16,128}")


class Endpoints:
    """A method for each line of the table in docs/protocol.md."""

    def __init__(
        self, service: Service, desk: Desk, activity: Activity, limits: HTTPLimits, watch: Watch, *,
        access: Access, draining: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._service, self._desk, self._activity, self._limits, self._watch = service, desk, activity, limits, watch
        self._access, self._draining = access, draining
        # Not the loop's own threads: a request may wait for seconds, and recorders look at their stops in those.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="nbstream-request")

    def routes(self) -> list[Route]:
        """Return the table."""
        stream = "/v1/streams/{stream}"
        return [
            _route("/healthz", GET=self._healthz),
            _route("/readyz", GET=self._readyz),
            _route("/metrics", GET=self._metrics),
            _route("/v1/streams", GET=self._list, POST=self._start),
            _route(stream, GET=self._describe, DELETE=self._delete),
            _route(f"{stream}/records", GET=self._records),
            _route(f"{stream}/stop", POST=self._stop),
            _route(f"{stream}/resume", POST=self._resume),
            _route(f"{stream}/continue", POST=self._continue),
            _route(f"{stream}/keep", POST=self._keep),
            _route(f"{stream}/hold", PUT=self._hold),
            _route(f"{stream}/ticket", POST=self._ticket),
            _route(f"{stream}/watch", GET=self._page),
        ]

    async def _stream(self, request: Request, right: str) -> str:
        """Return the stream that is meant, if its user may do this with it."""
        self._access.need(request.scope, right)
        stream = stream_of(request)
        await self._desk.ask(partial(self._access.check, request.scope, stream))
        request.scope["stream"] = stream
        return stream

    async def _records(self, request: Request) -> ASGIApp:
        stream, held, asked = await self._stream(request, "read"), cursor(request), request.query_params
        given = asked.get("format")
        # Who reads by a ticket holds as any reader does, and under nobody's name.
        holder = asked.get("holder") if request.scope["trusted"] else None
        if holder is not None:
            holder = self._access.holder(request.scope, holder)
        common = self._service, self._desk, self._activity, self._limits, self._access
        if form_of(request) == EVENTS:
            form = event_form(given, marked=marks_ids(request))
            return EventStream(*common, stream=stream, held=held, form=form, holder=holder)
        if given not in (None, "records"):
            raise Refusal(400, f"format={given} comes as {EVENTS} only")
        wait_s = seconds(request, "wait", self._limits.wait_s)
        live = number(request, "live")
        return Poll(*common, stream=stream, held=held, wait_s=wait_s, live=live, holder=holder)

    async def _start(self, request: Request) -> ASGIApp:
        self._access.need(request.scope, "start")
        self._take_calls()
        ask = await json_body(request, self._limits)

        def start() -> tuple[bool, dict[str, Any]]:
            with self._access.starting(request.scope, ask) as understood:
                started, answer = self._service.start(understood)
            request.scope["stream"] = answer["id"]
            if started:
                self._access.began(request.scope, answer["id"])
            return started, answer

        started, answer = await self._understood(start)
        return JSONResponse(answer, 201 if started else 200)

    async def _resume(self, request: Request, *, anew: bool = False) -> ASGIApp:
        stream = await self._stream(request, "start")
        self._take_calls()
        ask = await json_body(request, self._limits)

        def resume() -> dict[str, Any]:
            with self._access.starting(request.scope, ask, resumes=True) as understood:
                answer = self._service.resume(stream, understood, **({"anew": True} if anew else {}))
            self._access.began(request.scope, stream)
            return answer

        return JSONResponse(await self._understood(resume))

    async def _continue(self, request: Request) -> ASGIApp:
        return await self._resume(request, anew=True)

    async def _stop(self, request: Request) -> ASGIApp:
        stream, ask = await self._stream(request, "stop"), await json_body(request, self._limits)
        agent = _optional(ask, "agent", str, None)
        return JSONResponse(await self._understood(self._service.stop, stream, agent))

    async def _keep(self, request: Request) -> ASGIApp:
        stream, ask = await self._stream(request, "start"), await json_body(request, self._limits)
        agent = _optional(ask, "agent", str, None)
        return JSONResponse(await self._understood(self._service.keep, stream, agent))

    async def _hold(self, request: Request) -> ASGIApp:
        stream, ask = await self._stream(request, "read"), await json_body(request, self._limits)
        holder, for_s = ask.get("holder"), ask.get("for_s")
        if not isinstance(holder, str) or not 0 < len(holder) <= NAME_CHARS:
            raise Refusal(400, f"holder: a name of at most {NAME_CHARS} characters")
        if isinstance(for_s, bool) or not isinstance(for_s, (int, float)):
            raise Refusal(400, "for_s: a number of seconds")
        end, attended = _optional(ask, "end", bool, False), _optional(ask, "attended", bool, True)  # noqa: FBT003
        if end:
            self._access.need(request.scope, "stop")
        await self._desk.ask(lambda: self._service.store.log(stream))  # there must be something to hold
        name = self._access.holder(request.scope, holder)
        self._access.holds(request.scope, name, self._service.holders.names(stream))
        answer = await self._understood(lambda: self._service.hold(stream, name, for_s, end=end, attended=attended))
        return JSONResponse(self._access.told(request.scope, answer))

    async def _ticket(self, request: Request) -> ASGIApp:
        stream = await self._stream(request, "read")
        await self._desk.ask(lambda: self._service.store.log(stream))
        return self._watch.ticket(stream, request.scope["user"])

    async def _page(self, request: Request) -> ASGIApp:
        stream, ticket = stream_of(request), request.query_params.get("ticket")
        return self._watch.page() if ticket is None else self._watch.trade(ticket, stream)

    async def _list(self, request: Request) -> ASGIApp:
        self._access.need(request.scope, "read")
        found = await self._in_thread(self._service.list, self._access.own(request.scope))
        return JSONResponse({"streams": [self._access.told(request.scope, one) for one in found]})

    async def _describe(self, request: Request) -> ASGIApp:
        answer = await self._in_thread(self._service.describe, await self._stream(request, "read"))
        return JSONResponse(self._access.told(request.scope, answer))

    async def _delete(self, request: Request) -> ASGIApp:
        await self._in_thread(self._service.delete, await self._stream(request, "stop"))
        return Response(status_code=204)

    async def _healthz(self, request: Request) -> ASGIApp:
        answer: dict[str, Any] = {"ok": True}
        nonce = request.query_params.get("nonce")
        if nonce is not None:
            if not _NONCE.fullmatch(nonce):
                raise Refusal(400, "nonce: 16 to 128 hexadecimal digits")
            answer["proof"] = self._access.prove(nonce)
        if request.scope["trusted"]:
            answer |= self._access.health(request.scope, await self._in_thread(health, self._service, self._activity))
        return JSONResponse(answer)

    async def _readyz(self, request: Request) -> ASGIApp:  # noqa: ARG002 - an endpoint
        self._take_calls()
        await self._in_thread(self._service.store.find, "ready?")  # raises where it is away
        return JSONResponse({"ready": True})

    async def _metrics(self, request: Request) -> ASGIApp:
        self._access.need(request.scope, "metrics")
        found = await self._in_thread(health, self._service, self._activity)
        return PlainTextResponse(prometheus(found), media_type=CONTENT_TYPE)

    async def _in_thread(self, do: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(do, *given))

    async def _understood(self, do: Callable[..., T], *given: Any) -> T:
        """Do it in a thread; what could not be understood is the client's fault."""
        try:
            return await self._in_thread(do, *given)
        except (ValueError, TypeError) as exc:
            raise Refusal(400, str(exc)) from exc

    def _take_calls(self) -> None:
        if self._draining() or self._activity.closing:
            raise Refusal(
                503, "this relay takes no new calls: it is ending, or a newer one has its place",
                headers={"Retry-After": str(AGAIN_S)},
            )  # fmt: skip


def _route(path: str, **by_method: Endpoint) -> Route:
    """Return the route of *path*: one for all its methods, so that a 405 names them all."""

    async def endpoint(request: Request) -> ASGIApp:
        request.scope["route_path"] = path
        return await by_method["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=list(by_method))


def _optional(ask: dict[str, Any], name: str, kind: type[T], default: Any) -> T:
    value = ask.get(name)
    if value is not None and not isinstance(value, kind):
        raise Refusal(400, f"{name}: expected {kind.__name__}, found {type(value).__name__}")
    return default if value is None else value

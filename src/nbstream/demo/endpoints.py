"""What the demo server answers on one connection, and the log of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from nbstream.demo.ask import Ask, parse_ask
from nbstream.demo.connection import BadRequest, Reply, Request, read_request
from nbstream.demo.faults import Refusal, Runs
from nbstream.demo.frames import Frame, agent_frames, chat_completion, chat_frames, native_frames, poll_page

_METHODS: Final = {
    "/v1/chat/completions": "POST",
    "/stream": "GET",
    "/agents": "GET",
    "/poll": "GET",
    "/healthz": "GET",
    "/log": "GET",
}
_PING_S: Final = 15.0
_REQUEST_S: Final = 30.0
_REQUESTS_KEPT: Final = 10_000


@dataclasses.dataclass
class Served:
    """One line of the request log: facts only, neither prompt nor text."""

    time: float
    method: str
    path: str
    last_event_id: str | None = None
    offset: int | None = None
    fault: str = ""
    run: str = ""  # the parameter `run`, or a hash that a request shares with those that resume it
    status: int | None = None  # None until the answer begins


class Endpoints:
    """Answers requests, counts faults and open streams, keeps the log."""

    def __init__(self) -> None:
        self.requests: list[Served] = []
        self.open = 0
        self._runs = Runs()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        reply = Reply(writer)
        served: Served | None = None
        try:
            request = await asyncio.wait_for(read_request(reader), _REQUEST_S)
            if request is None:
                return
            reply.chunked = request.version != "HTTP/1.0"
            _check_method(request)
            if request.path == "/healthz":
                await _send_json(reply, {"ok": True})
                return
            if request.path == "/log":
                log = [dataclasses.asdict(line) for line in self.requests]
                await _send_json(reply, {"requests": log, "open": self.open})
                return
            served = self._note(request)
            ask = parse_ask(request)
            served.last_event_id, served.offset = ask.last_event_id, ask.offset
            served.fault, served.run = ask.fault, ask.run
            if "noresume" in ask.faults:
                ask = ask.without_cursor()
            frames = _frames(request.path, ask)
        except BadRequest as exc:
            if served is not None:
                served.status = exc.status
            await _send_error(reply, exc.status, str(exc), "invalid_request_error")
            return
        reply.bytes_per_s = ask.faults.bytes_per_s
        reply.eager = ask.tokens_per_s > 0 or "split" in ask.faults
        refusal = self._runs.refusal(ask.fingerprint, ask.faults, resumed=ask.resumed)
        served.status = refusal.status if refusal else 200
        if refusal:
            await _refuse(reply, refusal)
        elif frames is not None:
            await self._stream(reply, reader, frames, ask)
        else:
            answer = poll_page(ask) if request.path == "/poll" else chat_completion(ask, int(time.time()))
            await _send_json(reply, answer, split="split" in ask.faults)

    def _note(self, request: Request) -> Served:
        served = Served(time.time(), request.method, request.path)
        self.requests.append(served)
        del self.requests[:-_REQUESTS_KEPT]
        return served

    async def _stream(self, reply: Reply, reader: asyncio.StreamReader, frames: Iterator[Frame], ask: Ask) -> None:
        """Send frames until they end or the client leaves, whichever is first."""
        self.open += 1
        sending = asyncio.ensure_future(self._send(reply, frames, ask))
        leaving = asyncio.ensure_future(_left(reader))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()  # raises what went wrong in there
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            self.open -= 1

    async def _send(self, reply: Reply, frames: Iterator[Frame], ask: Ask) -> None:
        loop, faults = asyncio.get_running_loop(), ask.faults
        split = "split" in faults
        break_at = self._runs.break_at(ask.fingerprint, faults, resumed=ask.resumed)
        await reply.head(200, "text/event-stream")
        started, before, due = loop.time(), 0, False
        for number, frame in enumerate(frames):
            if frame.end and "noend" in faults:
                break
            if ask.tokens_per_s and not frame.end:
                before = before if number else frame.tokens  # the first one is sent at once
                await _wait_until(started + (frame.tokens - before) / ask.tokens_per_s, reply)
            cut = _inside(frame.data) if split else None
            if due and (frame.end or not frame.data.isascii()):
                # A split break: the stream ends inside a character.
                await reply.send(frame.data[:cut])
                await self._break(reply, ask)
                return
            await reply.send(frame.data, cut=cut)
            if break_at is not None and frame.chars >= break_at:
                if not split:
                    await self._break(reply, ask)
                    return
                due = True
        await reply.finish()

    async def _break(self, reply: Reply, ask: Ask) -> None:
        breaks = ask.faults.breaks
        self._runs.broke(ask.fingerprint, gave_cursor="noresume" not in ask.faults)
        if breaks is None or breaks.how == "cut":
            await reply.finish()
        elif breaks.how == "reset":
            await reply.reset()
        else:
            await reply.flush()
            await asyncio.Event().wait()  # until the client leaves


def _check_method(request: Request) -> None:
    method = _METHODS.get(request.path)
    if method is None:
        raise BadRequest(f"no such endpoint {request.path}: use {', '.join(_METHODS)}", 404)
    if method != request.method:
        raise BadRequest(f"{request.path} takes {method}, not {request.method}", 405)


def _frames(path: str, ask: Ask) -> Iterator[Frame] | None:
    """Return the frames of a stream; raises `BadRequest` here, before the head is sent, when a cursor is not ours."""
    if not ask.streamed:
        return None
    if path == "/stream":
        frames = native_frames(ask)
    elif path == "/agents":
        frames = agent_frames(ask)
    else:
        frames = chat_frames(ask, int(time.time()))
    return itertools.chain([next(frames)], frames)


def _inside(data: bytes) -> int:
    """Return a place inside the first multi-byte character of *data*, or inside its JSON."""
    return next((at + 1 for at, byte in enumerate(data) if byte >= 0x80), len(data) * 2 // 3)


async def _wait_until(due: float, reply: Reply) -> None:
    loop = asyncio.get_running_loop()
    while (left := due - loop.time()) > _PING_S:
        await asyncio.sleep(_PING_S)
        await reply.send(b": ping\n\n")
    if left > 0:
        await asyncio.sleep(left)


async def _left(reader: asyncio.StreamReader) -> None:
    """Return when the client has closed the connection."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(4096):
            pass


async def _refuse(reply: Reply, refusal: Refusal) -> None:
    status, after = refusal.status, refusal.retry_after_s
    headers = {} if after is None else {"Retry-After": str(after)}
    if status == 502:
        await reply.head(status, "text/html")
        await reply.send(b"<html><body><h1>502 Bad Gateway</h1><p>demo fault</p></body></html>\n")
        await reply.finish()
    elif status == 401:
        await _send_error(reply, status, "demo fault 401: wrong or missing key", "authentication_error")
    elif status == 429:
        await _send_error(reply, status, "demo fault 429: too many requests, try again", "rate_limit_error", headers)
    else:
        await _send_error(reply, status, "demo fault 503: not ready, try again", "server_error", headers)


async def _send_error(
    reply: Reply, status: int, message: str, kind: str, headers: dict[str, str] | None = None
) -> None:
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    await reply.head(status, "application/json", headers)
    await reply.send(json.dumps(body).encode() + b"\n")
    await reply.finish()


async def _send_json(reply: Reply, body: dict[str, Any], *, split: bool = False) -> None:
    data = json.dumps(body, ensure_ascii=False).encode() + b"\n"
    await reply.head(200, "application/json")
    await reply.send(data, cut=_inside(data) if split else None)
    await reply.finish()

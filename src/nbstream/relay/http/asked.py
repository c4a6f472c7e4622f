"""What a request asks for, checked: which stream, behind which record, in which form, with which body."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from starlette.requests import ClientDisconnect

from nbstream.log.rows import stream_id
from nbstream.relay.held import Held
from nbstream.relay.http.answers import UNKNOWN, Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from nbstream.relay.http.limits import HTTPLimits

EVENTS = "text/event-stream"
JSON = "application/json"

#: Of a holder.
NAME_CHARS = 200

#: Ranges that include JSON, for those who do not mind what they get.
_ANY = {"*/*": JSON, "application/*": JSON, "text/*": EVENTS}


def stream_of(request: Request) -> str:
    """Return the stream that the path names; what can be no id is answered like an unknown one."""
    try:
        return stream_id(request.path_params["stream"])
    except ValueError as exc:
        raise Refusal(404, UNKNOWN, kind="StreamGone") from exc


def cursor(request: Request) -> Held:
    """Return behind what to read: a browser that reconnects says where it was, which beats the URL."""
    name, given = "Last-Event-ID", request.headers.get("last-event-id")
    if not given:
        name, given = "after", request.query_params.get("after", "-1")
    try:
        return Held.parse(given)
    except ValueError as exc:
        raise Refusal(400, f"{name}: {exc}") from exc


def marks_ids(request: Request) -> bool:
    """Return whether ids of events are to say which record they name (`ids=at`)."""
    given = request.query_params.get("ids", "")
    if given not in ("", "at"):
        raise Refusal(400, "ids: at, or leave it out")
    return given == "at"


def form_of(request: Request) -> str:
    """Return `EVENTS` or `JSON`, whichever the client names first."""
    for accepted in request.headers.get("accept", "*/*").split(","):
        kind = accepted.partition(";")[0].strip().lower()
        kind = _ANY.get(kind, kind)
        if kind in (EVENTS, JSON):
            return kind
    raise Refusal(406, f"records come as {EVENTS} or {JSON}: name one in Accept")


def seconds(request: Request, name: str, most: float) -> float:
    """Return the query parameter *name*, a number of seconds from 0 to *most*."""
    try:
        value = float(request.query_params.get(name, "0"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise Refusal(400, f"{name}: a number of seconds from 0 to {most:g}")
    return value


def number(request: Request, name: str) -> int | None:
    """Return the query parameter *name*, a whole number, or None without it."""
    given = request.query_params.get(name)
    if given is not None and not re.fullmatch(r"[0-9]{1,18}", given):
        raise Refusal(400, f"{name}: a whole number from 0 on")
    return None if given is None else int(given)


async def json_body(request: Request, limits: HTTPLimits) -> dict[str, Any]:
    """Return the body, a JSON object; none counts as an empty one."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > limits.body_bytes):
        raise _too_large(limits)  # before a byte of it is asked for
    try:
        data = await asyncio.wait_for(_body(request, limits), limits.body_s)
    except asyncio.TimeoutError:
        raise Refusal(408, f"the body was not here within {limits.body_s:g} s") from None
    # Megabytes take their time, and the loop has none.
    return _parse(data) if len(data) < 16384 else await asyncio.to_thread(_parse, data)


async def _body(request: Request, limits: HTTPLimits) -> bytes:
    parts, size = [], 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise _too_large(limits)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limits: HTTPLimits) -> Refusal:
    # No "Connection: close": what still comes is thrown away while the client reads this, instead of a reset.
    return Refusal(413, f"a body has at most {limits.body_bytes // 2**20} MiB")


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data, parse_constant=_no_number) if data.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, "the body is not JSON") from exc
    if not isinstance(body, dict):
        raise Refusal(400, f"the body is a JSON {type(body).__name__}; an object is needed")
    return body


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")

"""
One HTTP answer, held open: sent as a browser's EventSource would, told in our errors, closed whatever happens.

Loaded with the first call, because httpx takes 100-200 ms to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx

from nbstream.errors import SourceLost, SourceMalformed, SourceRefused
from nbstream.sources.closing import cancelled_once, to_the_end
from nbstream.sources.http.call import DEMO, OWN, with_offset
from nbstream.sources.http.connections import standing
from nbstream.sources.http.fence import is_loopback
from nbstream.sources.http.library_logs import redacted
from nbstream.sources.redaction import safe_url
from nbstream.sources.refusal import plain_text, refused_by_status
from nbstream.wire.ndjson import LineParser
from nbstream.wire.sse import SSEParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from nbstream.sources.http.call import Call
    from nbstream.sources.http.fence import Fence

__all__ = ["answer", "parser_of", "tell", "tls"]

#: What is read, by media type: server-sent events, and JSON by the line.
PARSERS: Final[dict[str, type[SSEParser | LineParser]]] = {
    "text/event-stream": SSEParser, "application/x-ndjson": LineParser, "application/ndjson": LineParser,
    "application/jsonl": LineParser, "application/x-jsonl": LineParser,
}  # fmt: skip

MAX_REDIRECTS: Final = 5
#: How much of a refusal is read, and for how long: some servers never end it.
REFUSAL_BYTES: Final = 64 * 1024
REFUSAL_S: Final = 5.0

#: How long a server has to answer a question that is no stream.
ANSWER_S: Final = 5.0

# Reading has no limit: only the recorder's watchdog knows whether a model is thinking or dead.
TIMEOUTS: Final = httpx.Timeout(30.0, read=None)
# One connection a call, never kept: a redirect closes the one before.
LIMITS: Final = httpx.Limits(max_connections=1, max_keepalive_connections=0)

_context: ssl.SSLContext | None = None
_context_lock = threading.Lock()


@asynccontextmanager
async def answer(call: Call, *, event_id: str = "", offset: int | None = None) -> AsyncIterator[httpx.Response]:
    """
    Send *call* and enter with its answer, a 2xx of a type in `PARSERS`; everything else raises `SourceError`.

    *event_id* goes out as `Last-Event-ID`, as it came; *offset* as a query parameter. On leaving, the connection is
    closed before anything else happens, even if the task is cancelled twice.
    """
    url = call.url if offset is None else with_offset(call.url, offset)
    if _context is None or url.startswith(OWN):
        url = await asyncio.to_thread(_prepare, url)
    client = httpx.AsyncClient(
        verify=tls(), timeout=TIMEOUTS, limits=LIMITS, trust_env=not is_loopback(httpx.URL(url).host)
    )
    with standing(safe_url(url), client.aclose):
        try:
            with _our_errors(call):
                resumed = bool(event_id) or offset is not None
                yield await cancelled_once(_open(client, call, url, event_id, resumed=resumed))
        finally:
            await to_the_end(client.aclose())


def parser_of(response: httpx.Response, event_id: str) -> SSEParser | LineParser:
    """Return what turns the bytes of an `answer` into events; *event_id* is that of the last one before them."""
    return PARSERS[_media_type(response)](last_event_id=event_id)


async def tell(call: Call) -> dict[str, Any]:
    """
    Send *call*, which is answered at once, and return the JSON object of the answer ({} for none).

    A run that has ended already (404, 409) is no error. Raises `SourceError`; the connection is closed before it
    returns.
    """
    url = await asyncio.to_thread(_prepare, call.url)
    client = httpx.AsyncClient(
        verify=tls(), timeout=ANSWER_S, limits=LIMITS, trust_env=not is_loopback(httpx.URL(url).host)
    )
    with standing(safe_url(call.url), client.aclose):
        try:
            with _our_errors(call):
                response = await cancelled_once(_send(client, call, url, ""))
                if response.status_code in {404, 409}:
                    return {}
                if not 200 <= response.status_code < 300:
                    raise await _refusal(call, response)
                body = await response.aread()
        finally:
            await to_the_end(client.aclose())
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


async def _open(client: httpx.AsyncClient, call: Call, url: str, event_id: str, *, resumed: bool) -> httpx.Response:
    response = await _send(client, call, url, event_id)
    if response.status_code == 204:
        raise _no_content(call, resumed=resumed)
    if not 200 <= response.status_code < 300 or _media_type(response) not in PARSERS:
        raise await _refusal(call, response)
    return response


async def _send(client: httpx.AsyncClient, call: Call, url: str, event_id: str) -> httpx.Response:
    """Follow redirects by hand: httpx would keep `x-api-key` and its like on another origin."""
    theirs = dict(call.headers)
    about_body = {name: value for name, value in theirs.items() if name.lower() == "content-type"}
    method, body = call.method, call.body
    target = httpx.URL(url)
    for _ in range(MAX_REDIRECTS + 1):
        headers = _headers(theirs, event_id)
        request = client.build_request(method, target, content=body, headers=headers)
        if call.fence is not None:
            await _pin(request, call.fence)
        with redacted(call.redact):
            response = await client.send(request, stream=True)
        if response.status_code not in {301, 302, 303, 307, 308}:
            return response
        await response.aclose()
        if call.fence is not None:
            status = response.status_code
            raise SourceRefused(
                f"{call} was redirected, where the relay does not go: list the new address", status=status
            )
        here, target = target, _location(call, target, response)
        if response.status_code == 303 or (response.status_code in {301, 302} and method == "POST"):
            method, body = "GET", None
            theirs = {name: value for name, value in theirs.items() if name not in about_body}
            about_body = {}
        if _origin(here) != _origin(target):
            if body is not None and call.keyed_body:
                raise SourceRefused(f"{call} was redirected to another server, which its key is not for; ask that one")
            theirs = about_body
        elif here.userinfo and not target.userinfo:
            target = target.copy_with(userinfo=here.userinfo)
    raise SourceRefused(f"{call} was redirected more than {MAX_REDIRECTS} times; check the address")


async def _pin(request: httpx.Request, fence: Fence) -> None:
    """Let *request* go to the address that was judged; whom it is for (Host, the certificate's name) stays."""
    name = request.url.host
    found = await fence.address(name, request.url.port or (443 if request.url.scheme == "https" else 80))
    request.url = request.url.copy_with(host=found)
    request.extensions["sni_hostname"] = name


def _headers(theirs: dict[str, str], event_id: str) -> httpx.Headers:
    headers = httpx.Headers({
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",  # a compressor holds small events back
        "Cache-Control": "no-store",
    })  # fmt: skip
    headers.update(theirs)
    if not event_id:
        return headers
    raw = [(name, value) for name, value in headers.raw if name.lower() != b"last-event-id"]
    return httpx.Headers([*raw, (b"Last-Event-ID", event_id.encode())])  # as bytes: not always ASCII


def _location(call: Call, here: httpx.URL, response: httpx.Response) -> httpx.URL:
    target = here.join(response.headers.get("location", ""))
    if "location" not in response.headers or target.scheme not in {"http", "https"} or not target.host:
        status = response.status_code
        raise SourceRefused(f"{call} answered {status} with no address to go to; check the address", status=status)
    return target


async def _refusal(call: Call, response: httpx.Response) -> SourceRefused:
    body = bytearray()
    # Whatever has come of a refusal is quoted; one that breaks off is a refusal all the same.
    with anyio.move_on_after(REFUSAL_S), contextlib.suppress(httpx.TransportError, httpx.DecodingError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= REFUSAL_BYTES:
                break
    status = response.status_code
    if 200 <= status < 300:
        media_type = response.headers.get("content-type", "") or "no content type"
        said = plain_text(body.decode("utf-8", "replace"))
        message = f"{call} answered {status}, but not an event stream: {plain_text(media_type)}"
        return SourceRefused(f"{message}: {said}" if said else message, status=status)
    return refused_by_status(
        repr(call), status, response.reason_phrase, response.headers, bytes(body),
        now=time.time(), keyed=call.keyed_body or any(call.secrets),
    )  # fmt: skip


def _no_content(call: Call, *, resumed: bool) -> SourceRefused:
    if resumed:
        return SourceRefused(f"{call} answered 204: nothing comes behind the place where it was cut", status=204)
    return SourceRefused(f"{call} answered 204: there is nothing to stream", status=204)


@contextlib.contextmanager
def _our_errors(call: Call) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
        raise SourceLost(_unreachable(exc)) from exc
    except httpx.DecodingError as exc:
        raise SourceMalformed(f"{call} sent a body that cannot be decompressed: {_text(exc)}") from exc
    except httpx.InvalidURL as exc:
        # Our own address was checked before; httpx reads that of a redirect before we do.
        raise SourceRefused(f"{call} was redirected to no address ({_text(exc)}); check the address") from exc
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as exc:
        # Not chained: h11 quotes the header it does not like.
        raise SourceRefused(f"{call} cannot be sent: {_text(exc)}") from None
    except httpx.TransportError as exc:
        raise SourceLost(f"{call}: the connection was lost ({_text(exc)})") from exc


def _unreachable(exc: httpx.ConnectError | httpx.ConnectTimeout) -> str:
    host = exc.request.url.netloc.decode()  # without user and password
    if "sni_hostname" in exc.request.extensions:
        host = exc.request.headers["host"]  # the name that was asked for, not the address it was pinned to
    causes: list[BaseException] = [exc]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"cannot find the host {host}; check the address and the network"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        reason = _text(exc).partition(" (_ssl.c")[0]  # OpenSSL names its own source line
        return f"cannot reach {host} over TLS: {reason}; check http or https, and the server's certificate"
    return f"cannot reach {host}: {_text(exc)}; is the server running?"


def _text(exc: Exception) -> str:
    return f"{type(exc).__name__}: {plain_text(str(exc))}".rstrip(": ")


def _prepare(url: str) -> str:
    """Do in a thread what would hold up the loop: build the TLS context, start a server of ours."""
    tls()
    if url.startswith(DEMO):
        from nbstream.demo import demo_url

        return demo_url() + url.removeprefix(DEMO)
    if url.startswith(OWN):
        from nbstream.sources.models.local import local_url

        name, _, path = url.partition(":/")[2].partition("/")
        return f"{local_url(name)}/{path}"
    return url


def tls() -> ssl.SSLContext:
    """Return the one context of this process: building it takes 40-100 ms."""
    global _context  # noqa: PLW0603 - built once, on first use, by whichever thread comes first
    with _context_lock:
        if _context is None:
            _context = httpx.create_ssl_context()
        return _context


def _media_type(response: httpx.Response) -> str:
    media_type: str = response.headers.get("content-type", "").partition(";")[0]
    return media_type.strip(" \t").lower()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port

"""HTTP to one relay: JSON there and back, answers that go on, and what went wrong in our own errors."""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlencode

import httpcore

from nbstream import errors
from nbstream.errors import RelayError, StreamError
from nbstream.relay.link.proving import proven_pool
from nbstream.sources.closing import cancelled_once, to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterator, Mapping

    from nbstream.relay.address import Address

#: A connection that is not used is closed before the relay does it (30 s).
KEEP_S: Final = 15.0
#: How long a relay may take to answer; it is on this machine or near.
ANSWER_S: Final = 10.0
_CONNECT_S: Final = 5.0

#: Errors of the relay's store and sources that are ours, whichever process met them.
_OURS: Final = frozenset({"Fenced", "LogDamaged", "SourceMalformed", "SourceRefused", "StoreFull", "StreamGone"})


class Answer(NamedTuple):
    """What the relay said: the status, and the JSON of the body (None for none)."""

    status: int
    body: Any


class Line:
    """At most so many *connections* to the relay at *address*, made when they are needed. For one event loop."""

    def __init__(self, address: Address, *, connections: int) -> None:
        self.address = address
        self._pool = proven_pool(address, connections=connections, keep_s=KEEP_S)

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        answer_s: float = ANSWER_S,
        accept: Container[int] = (),
    ) -> Answer:
        """
        Send one request and return the answer.

        Raises the error that a refusal names, unless *accept* holds its status, and `RelayError` without a status when
        none has come in *answer_s* seconds.
        """
        headers = self._headers("application/json")
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        url, timeouts = self._url(path, query), _timeouts(answer_s)
        with self._our_errors():
            response = await cancelled_once(
                self._pool.request(method, url, headers=headers, content=content, extensions=timeouts)
            )
        if response.status >= 400 and response.status not in accept:
            raise _refusal(response.status, response.content)
        return Answer(response.status, _json(response.content))

    @asynccontextmanager
    async def listen(
        self, path: str, query: Mapping[str, Any]
    ) -> AsyncIterator[tuple[int, AsyncGenerator[bytes, None]]]:
        """
        Enter with the status and the bytes of an event stream, 200, 204 or 410; other answers raise their error.

        How long nothing may come is for the caller to decide.
        """
        headers, timeouts = self._headers("text/event-stream"), _timeouts(None)
        headers["Cache-Control"] = "no-store"
        request = httpcore.Request("GET", self._url(path, query), headers=headers, extensions=timeouts)
        with self._our_errors():
            response = await cancelled_once(self._pool.handle_async_request(request))
            try:
                if response.status not in (200, 204, 410):
                    raise _refusal(response.status, await response.aread())
                async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_stream())) as chunks:
                    yield response.status, chunks
            finally:
                await to_the_end(response.aclose())

    async def close(self) -> None:
        """Close all connections."""
        await to_the_end(self._pool.aclose())

    def _url(self, path: str, query: Mapping[str, Any] | None) -> str:
        return f"{self.address.url}{path}?{urlencode(query)}" if query else f"{self.address.url}{path}"

    def _headers(self, accept: str) -> dict[bytes | str, bytes | str]:
        return {
            "Host": self.address.netloc,  # httpcore's own takes the brackets off IPv6
            "Authorization": f"Bearer {self.address.token}",
            "Accept": accept,
            "Accept-Encoding": "identity",
        }

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as exc:
            said = str(exc) or ("no answer in time" if isinstance(exc, httpcore.TimeoutException) else "")
            reason = " ".join(f"{type(exc).__name__}: {said}".rstrip(": ").split())
            raise RelayError(f"the relay at {self.address.url} cannot be reached ({reason})") from exc


def _timeouts(read_s: float | None) -> dict[str, Any]:
    return {"timeout": {"connect": _CONNECT_S, "write": ANSWER_S, "read": read_s, "pool": None}}


def _json(content: bytes) -> Any:
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as exc:
        raise RelayError(f"the relay answered something that is no JSON: {exc}") from exc


def _refusal(status: int, content: bytes) -> StreamError:
    """Return the error that the relay reported, as the one it is here."""
    try:
        told = json.loads(content)["error"]
        name, message = str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):  # not from the relay: a proxy on the way to it
        return RelayError(f"the relay answered {status}", status=status)
    if name in _OURS:
        return cast("StreamError", getattr(errors, name)(message))
    return RelayError(message, status=status)

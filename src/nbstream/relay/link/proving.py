"""
Connections to a relay that has proved, on each of them, to be the one whose token we hold.

A port is free again when its process ends, and anybody may listen there next. Who cannot answer for the token gets
neither it nor a key.
"""

from __future__ import annotations

import hmac
import json
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import h11
import httpcore

from nbstream.errors import RelayError
from nbstream.relay.address import Address, proof

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

#: How long a proof may take, in seconds.
PROOF_S: Final = 5.0
#: A proof is two lines; who sends more is no relay.
PROOF_BYTES: Final = 16 * 1024


def proven_pool(address: Address, *, connections: int, keep_s: float) -> httpcore.AsyncConnectionPool:
    """
    Return a pool of at most so many *connections* to the relay at *address*, kept for *keep_s* seconds unused.

    Each proves itself before its first request; one that does not raises `RelayError`. Proxies of the environment are
    not asked: httpcore knows none.
    """
    backend = _ProvingBackend(address) if address.proves else None
    context = tls() if address.url.startswith("https:") else None
    return httpcore.AsyncConnectionPool(
        ssl_context=context, max_connections=connections, keepalive_expiry=keep_s, network_backend=backend
    )


def tls() -> ssl.SSLContext:
    """Return the context that is used for every call: `SSL_CERT_FILE` counts."""
    from nbstream.sources.http.answer import tls

    return tls()


class _ProvingBackend(httpcore.AsyncNetworkBackend):
    """Makes TCP connections, and hands out those that hold the relay at their other end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """See `httpcore.AsyncNetworkBackend`."""
        stream = await self._plain.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            with anyio.fail_after(PROOF_S):
                await _prove(stream, self._address)
        except TimeoutError as exc:
            await stream.aclose()
            raise httpcore.ReadTimeout(f"no answer in {PROOF_S:.0f} s") from exc
        except BaseException:
            await stream.aclose()
            raise
        return stream


async def _prove(stream: httpcore.AsyncNetworkStream, address: Address) -> None:
    """Raise `RelayError` unless the other end answers for the token; then the connection stays open for requests."""
    nonce = secrets.token_hex(32)
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=PROOF_BYTES)
    question = h11.Request(method="GET", target=f"/healthz?nonce={nonce}", headers=[("Host", address.netloc)])
    await stream.write((talk.send(question) or b"") + (talk.send(h11.EndOfMessage()) or b""))
    body = b""
    given: Any = None
    # Who speaks no HTTP, or speaks of something else, has given no proof.
    with suppress(h11.ProtocolError, ValueError, KeyError, TypeError, RecursionError):
        while len(body) <= PROOF_BYTES and not isinstance(event := talk.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                came = await stream.read(PROOF_BYTES)
                if not came:
                    raise httpcore.ReadError("closed without an answer")
                talk.receive_data(came)
            elif isinstance(event, h11.Data):
                body += event.data
        talk.start_next_cycle()  # which it cannot if the other end is going to close
        given = json.loads(body)["proof"]
    expected = proof(address.token, address.port, nonce)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise RelayError(f"{address.url} is no longer the relay's: another program answers there")

"""As much of HTTP/1.1 as the demo server speaks: one request and one answer a connection."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_BODY_BYTES: Final = 16 << 20
_BATCH_BYTES: Final = 16 << 10


class BadRequest(Exception):
    """A request that gets a 4xx with this message."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as it came; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    version: str


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None when the client left before it was whole."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, version = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        if "transfer-encoding" in headers:
            raise BadRequest("send the body with a Content-Length", 411)
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= _BODY_BYTES:
            raise BadRequest(f"a body has at most {_BODY_BYTES} bytes", 413)
        body = await reader.readexactly(length)
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
    except asyncio.LimitOverrunError as exc:
        raise BadRequest("the head of the request is too large", 431) from exc
    except asyncio.IncompleteReadError:
        return None
    except ValueError as exc:
        raise BadRequest("this is not an HTTP/1.1 request") from exc
    return Request(method, url.path, query, headers, body, version)


class Reply:
    """
    The answer on one connection: head, pieces of the body, and one of three ends.

    A body is chunked, or delimited by the end of the connection for HTTP/1.0. Pieces are joined to 16 KiB unless they
    are *eager*; *bytes_per_s* sends every byte on its own.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.chunked = True
        self.eager = False
        self.bytes_per_s: int | None = None
        self._writer = writer
        self._waiting = bytearray()
        # With no buffer of its own, `drain` returns when the socket has taken everything: "sent" means sent.
        writer.transport.set_write_buffer_limits(high=0)

    async def head(self, status: int, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        """Send the status line and the headers."""
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += ["Transfer-Encoding: chunked"] * self.chunked
        self._writer.write("\r\n".join([*lines, "Cache-Control: no-store", "Connection: close", "\r\n"]).encode())
        await self._writer.drain()

    async def send(self, data: bytes, *, cut: int | None = None) -> None:
        """Send a piece of the body; in two writes if it is to be *cut* somewhere."""
        if self.bytes_per_s:
            await self._trickle(data, self.bytes_per_s)
        elif cut:
            for part in (data[:cut], data[cut:]):
                await self._write(part)
        elif self.eager:
            await self._write(data)
        else:
            self._waiting += data
            if len(self._waiting) >= _BATCH_BYTES:
                await self.flush()

    async def flush(self) -> None:
        """Send what was joined so far."""
        data, self._waiting = bytes(self._waiting), bytearray()
        await self._write(data)

    async def finish(self) -> None:
        """End the body as if it were whole."""
        await self.flush()
        if self.chunked:
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()

    async def reset(self) -> None:
        """Break the connection with an RST."""
        await self.flush()
        # Lingering for zero seconds turns the close into a reset.
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _write(self, data: bytes) -> None:
        if data:
            self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
            await self._writer.drain()
        await asyncio.sleep(0)  # `drain` does not yield on a fast link; the other streams want their turn

    async def _trickle(self, data: bytes, bytes_per_s: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for number in range(len(data)):
            await self._write(data[number : number + 1])
            due += 1 / bytes_per_s
            if due > loop.time() + 0.001:  # timers are no finer than this
                await asyncio.sleep(due - loop.time())

"""
The SSE reader over real sockets: what httpx hands out is what the reader must cope with.

The server sends its next part only when the reader has shown that the last one had the effect it should have: a reader
that holds something back lets the test run into its time limit.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import httpx_sse
import pytest
from listening import listening

from nbstream.testing.sse_bytes import read_sse
from nbstream.wire.sse import EventSource, EventTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    Script = Callable[[asyncio.StreamWriter], Awaitable[None]]

LIMIT_S = 10
CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[httpx.Response]:
    """Serve one request with *script* on a loopback socket and open its response."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(writer)
        finally:
            writer.close()

    async with (
        listening(answer) as port,
        httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/") as response,
    ):
        yield response


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* in a loop of its own, with a time limit."""

    async def limited() -> None:
        await asyncio.wait_for(main(), LIMIT_S)

    asyncio.run(limited())


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def all_data(source: EventSource) -> list[str]:
    """The data of all events."""
    return [event.data async for event in source.aiter_sse()]


def test_each_event_is_out_before_the_next_is_sent() -> None:
    """In a chunked body every event arrives with its last byte, whichever line ends the server writes."""
    parts = [b"data: LF\n\n", b"data: CRLF\r\n\r\n", b"data: CR\r\r", b"data: CRLF CR\r\n\r", b"\ndata: end\n\n"]
    got: asyncio.Queue[str] = asyncio.Queue()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for part in parts:
            writer.write(http_chunk(part))
            await writer.drain()
            assert (await got.get()).encode() in part
        writer.write(http_chunk(b""))

    async def main() -> None:
        async with connected(script) as response:
            seen = []
            async for event in EventSource(response).aiter_sse():
                seen.append(event.data)
                got.put_nowait(event.data)
            assert seen == ["LF", "CRLF", "CR", "CRLF CR", "end"]

    run(main)


@pytest.mark.parametrize(
    "body",
    [
        b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
        b"\xef\xbb\xbfdata: a\ndata: b\n\ndata: c\n\n",
        b"data: a\rdata: b\r\rdata: c\r\r",
    ],
    ids=["CRLF", "BOM", "CR"],
)
def test_a_body_in_packets_of_one_byte(body: bytes) -> None:
    """A CRLF, a BOM or a blank line split between packets reads as one."""
    arrived = asyncio.Queue[int]()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(CLOSE_DELIMITED)
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            assert await arrived.get() == 1

    async def main() -> None:
        async with connected(script) as response:
            source = EventSource(response, on_bytes=arrived.put_nowait)
            assert await all_data(source) == ["a\nb", "c"]
            assert source.parser.bytes_seen == len(body)

    run(main)


def test_a_compressed_stream_is_read_event_by_event() -> None:
    """Under gzip, flushed events are out at once, and a character split by the compressor is whole again."""
    got = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        gzip = zlib.compressobj(wbits=31)
        writer.write(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        first = "data: caf\u00e9\n\ndata: \U0001f600".encode()
        writer.write(http_chunk(gzip.compress(first[:-2]) + gzip.flush(zlib.Z_SYNC_FLUSH)))
        await writer.drain()
        await got.wait()
        writer.write(http_chunk(gzip.compress(first[-2:] + b"\r\n\r\n") + gzip.flush()) + http_chunk(b""))

    async def main() -> None:
        async with connected(script) as response:
            seen = []
            async for event in EventSource(response).aiter_sse():
                seen.append(event.data)
                got.set()
            assert seen == ["caf\u00e9", "\U0001f600"]

    run(main)


def test_a_clean_end_drops_the_unfinished_block_and_its_id() -> None:
    """A close-delimited body that ends inside an event raises nothing; the id still names the last whole event."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(CLOSE_DELIMITED + b"id: 7\ndata: whole\n\nid: 8\ndata: half\n")

    async def main() -> None:
        async with connected(script) as response:
            source = EventSource(response, last_event_id="6")
            assert await all_data(source) == ["whole"]
            assert source.parser.last_event_id == "7"

    run(main)


def test_a_broken_chunked_body_raises_after_its_whole_events() -> None:
    """A body that ends without its last chunk is httpx's error, and comes after the events that were whole."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + http_chunk(b"id: 7\ndata: whole\n\ndata: ha"))

    async def main() -> None:
        async with connected(script) as response:
            source = EventSource(response)
            events = source.aiter_sse()
            assert (await anext(events)).data == "whole"
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(events)
            assert source.parser.last_event_id == "7"

    run(main)


def test_a_declared_charset_is_ignored() -> None:
    """SSE is always UTF-8, and a charset does not make it another media type."""

    async def script(writer: asyncio.StreamWriter) -> None:
        head = CLOSE_DELIMITED.replace(b"event-stream", b"event-stream; charset=iso-8859-1")
        writer.write(head + "data: caf\u00e9 \u20ac\n\n".encode())

    async def main() -> None:
        async with connected(script) as response:
            source = EventSource(response)
            assert source.is_event_stream
            assert await all_data(source) == ["caf\u00e9 \u20ac"]

    run(main)


def test_pings_after_an_id_are_no_events() -> None:
    """A comment with its blank line gives no event, even after an id was seen; it is counted."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(CLOSE_DELIMITED + b"id: 7\ndata: a\n\n" + b": ping\r\n\r\n" * 3 + b"data: b\n\n")

    async def main() -> None:
        async with connected(script) as response:
            source = EventSource(response)
            events = [event async for event in source.aiter_sse()]
            assert [(event.data, event.id) for event in events] == [("a", "7"), ("b", "7")]
            assert source.parser.comments == 3

    run(main)


def test_an_endless_line_ends_with_an_error() -> None:
    """A server that never ends its line fills no memory: the events before it come, then the error."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(CLOSE_DELIMITED + b"data: ok\n\ndata: ")
        with suppress(ConnectionError):  # the reader leaves, as it should
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()

    async def main() -> None:
        async with connected(script) as response:
            source = EventSource(response, max_event_bytes=2**20)
            events = source.aiter_sse()
            assert (await anext(events)).data == "ok"
            with pytest.raises(EventTooLarge):
                await anext(events)

    run(main)


def test_read_sse_gives_each_event_as_its_chunk_comes() -> None:
    """The door for conformance suites takes any async iterator and waits for nothing behind an event."""
    body = [b"\xef\xbb", b"\xbfda", b"", b"ta: a\r\r", b"retry: 5\nid: 2\ndata: b\n\ndata: c\n\n", b"data: d\n"]
    asked: list[bytes] = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        for chunk in body:
            asked.append(chunk)
            yield chunk

    async def main() -> None:
        events = read_sse(chunks(), last_event_id="1")
        first = await anext(events)
        assert isinstance(first, httpx_sse.ServerSentEvent)
        assert (first.event, first.data, first.id, first.retry) == ("message", "a", "1", None)
        assert asked[-1] == b"ta: a\r\r"
        rest = [(event.data, event.id, event.retry) async for event in events]
        assert rest == [("b", "2", 5), ("c", "2", None)]

    run(main)

"""
Reading speed of the SSE reader against bare httpx-sse, over the same bytes in the same run.

    python bench/sse_parse.py

Both read a real httpx.Response; the best of several interleaved rounds counts, because the machine may be shared.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import httpx
import httpx_sse

from nbstream.wire.sse import EventSource, SSEParser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

EVENTS = 30_000
ROUNDS = 5


class Body(httpx.AsyncByteStream):
    """A response body that arrives in chunks of one size."""

    def __init__(self, body: bytes, chunk_bytes: int) -> None:
        self.chunks = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


def frame(number: int) -> str:
    """One chat-completion chunk with a token of 8 bytes."""
    return json.dumps({"choices": [{"index": 0, "delta": {"content": f"{number % 10**7:7d} "}}]}, separators=(",", ":"))


FRAMES: dict[str, Callable[[int], str]] = {
    "data, LF": lambda n: f"data: {frame(n)}\n\n",
    "data, CRLF": lambda n: f"data: {frame(n)}\r\n\r\n",
    "id + data": lambda n: f"id: {n}\ndata: {frame(n)}\n\n",
    "event + data": lambda n: f"event: delta\ndata: {frame(n)}\n\n",
}


async def seconds(kind: type[httpx_sse.EventSource], body: Body) -> float:
    """Time one reading of *body*."""
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=body)
    started = time.perf_counter()
    count = 0
    async for event in kind(response).aiter_sse():
        count += len(event.data) > 0
    elapsed = time.perf_counter() - started
    if count != EVENTS:
        raise SystemExit(f"{kind.__module__} gave {count} events, {EVENTS} expected")
    return elapsed


async def compare() -> None:
    """Print one line for each kind of frame and chunk size."""
    print(f"{'frame':<14}{'chunk':>8}{'httpx-sse':>14}{'nbstream':>14}{'ratio':>8}   (events/s, best of {ROUNDS})")
    for name, make in FRAMES.items():
        data = "".join(map(make, range(EVENTS))).encode()
        for chunk_bytes in (1 << 10, 1 << 14, 1 << 16):
            body = Body(data, chunk_bytes)
            bare = ours = float("inf")
            for _ in range(ROUNDS if chunk_bytes > 1 << 10 else 2):
                bare = min(bare, await seconds(httpx_sse.EventSource, body))
                ours = min(ours, await seconds(EventSource, body))
            rates = f"{EVENTS / bare:>14,.0f}{EVENTS / ours:>14,.0f}{bare / ours:>8.2f}"
            print(f"{name:<14}{chunk_bytes // 1024:>5} KB{rates}")


def grow() -> None:
    """Print the time for one event of 1, 2, 4 and 8 MB in chunks of 1 KB: it should double."""
    for size_mb in (1, 2, 4, 8):
        parser = SSEParser()
        chunk = b"x" * 1000
        started = time.perf_counter()
        parser.feed(b"data: ")
        for _ in range(size_mb * 1000):
            parser.feed(chunk)
        (event,) = parser.feed(b"\n\n")
        print(f"one event of {len(event.data) / 1e6:.0f} MB: {(time.perf_counter() - started) * 1e3:.1f} ms")


if __name__ == "__main__":
    asyncio.run(compare())
    grow()

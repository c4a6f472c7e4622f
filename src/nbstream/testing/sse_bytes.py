"""The door for conformance suites: bytes in, server-sent events out, through the reader that streams use."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx

from nbstream.wire.sse import EventSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    import httpx_sse

__all__ = ["read_sse"]


async def read_sse(
    chunks: AsyncIterable[bytes], *, last_event_id: str = ""
) -> AsyncIterator[httpx_sse.ServerSentEvent]:
    """
    Yield the events of a response whose body arrives as *chunks*, each as soon as its last byte is there.

    `event.id` is the last event id (persistent, starting from *last_event_id*), `event.retry` the value of a valid
    `retry` line in the event's own block.
    """
    response = httpx.Response(
        200, headers={"Content-Type": "text/event-stream"}, content=(chunk async for chunk in chunks)
    )
    async with aclosing(EventSource(response, last_event_id=last_event_id).aiter_sse()) as events:
        async for event in events:
            yield event

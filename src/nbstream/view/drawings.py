"""What happened to a stream, for a page that asks: the timeline and the wire, as docs/protocol.md has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nbstream.errors import StreamError
from nbstream.pictures.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.stream import Stream


class DrawingAnswers:
    """Answers `picture` through *send*; on the runtime's loop."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        # One at a time: each reads the whole log.
        self._busy = asyncio.Lock()

    async def answer(self, stream: Stream, message: Mapping[str, Any]) -> None:
        """Answer one question; what cannot be read is told by `reason`."""
        reply = {"type": "picture", "view": message.get("view"), "id": message.get("id"), "stream": stream.id}
        if message.get("stream") != stream.id:
            return
        try:
            async with self._busy:
                reply.update(await asyncio.to_thread(_draw, stream, str(message.get("what"))))
        except StreamError as exc:
            reply["reason"] = str(exc)
        self._send(reply)


def _draw(stream: Stream, what: str) -> dict[str, Any]:
    if what == "wire":
        return Wire(stream.id, stream.log).to_json()
    timeline = stream.timeline()
    return {"svg": timeline.svg, "text": str(timeline)}

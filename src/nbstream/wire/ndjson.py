"""
Lines of JSON (`application/x-ndjson`), read from bytes as if each were an event with nothing but data.

So whoever reads events reads lines as well; a line that is empty says nothing.
"""

from __future__ import annotations

from httpx_sse import ServerSentEvent

from nbstream.wire.sse import BOM, DEFAULT_MAX_EVENT_BYTES, EventTooLarge, is_whole

__all__ = ["LineParser"]


class LineParser:
    """
    Turn the bytes of a stream of lines into events, however the transport cut them; see `SSEParser`.

    An event comes out with the LF that ends its line; at the end of the stream `rest` returns what has none.

    Attributes:
        cut: The stream ended inside a line; known once `rest` was asked.
    """

    #: Lines name neither a time nor a place, and have no comments.
    retry_ms: int | None = None
    comments = 0

    def __init__(self, *, last_event_id: str = "", max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:  # noqa: ARG002
        self._max_event_bytes = max_event_bytes
        self._first = True
        self.cut = False
        #: The last line, as long as its end is missing: joined once, or a long one would cost its square.
        self._unfinished: list[bytes] = []
        self._unfinished_bytes = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the lines that *chunk* ends; raises `EventTooLarge`."""
        *ended, rest = chunk.split(b"\n")
        events: list[ServerSentEvent] = []
        for line in ended:
            whole = b"".join([*self._unfinished, line]) if self._unfinished else line
            self._unfinished, self._unfinished_bytes = [], 0
            if len(whole) > self._max_event_bytes:
                raise self._too_large(events)
            if text := self._text(whole):
                events.append(ServerSentEvent("message", text))
        if rest:
            self._unfinished.append(rest)
            self._unfinished_bytes += len(rest)
            if self._unfinished_bytes > self._max_event_bytes:
                raise self._too_large(events)
        return events

    def rest(self) -> list[ServerSentEvent]:
        """Return the last line if only its LF is missing: a whole JSON object, since no beginning of one is one."""
        text = self._text(b"".join(self._unfinished))
        self._unfinished, self._unfinished_bytes = [], 0
        self.cut = bool(text) and not is_whole(text)
        return [ServerSentEvent("message", text)] if text and not self.cut else []

    def _text(self, line: bytes) -> str:
        if self._first:
            self._first, line = False, line.removeprefix(BOM)
        return line.decode("utf-8", "replace").strip(" \t\r")

    def _too_large(self, events: list[ServerSentEvent]) -> EventTooLarge:
        error = EventTooLarge(self._max_event_bytes, what="a line", end="a line end")
        error.events = events
        return error

"""
Server-sent events, read from bytes as the WHATWG HTML standard says (section 9.2.6).

`SSEParser` does all the reading and no I/O; `EventSource` feeds it from an httpx response. Both hand out the plain
`ServerSentEvent` of httpx-sse, so that code written for httpx-sse goes on working.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, cast

import httpx_sse
from httpx_sse import ServerSentEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    import httpx

__all__ = ["DEFAULT_MAX_EVENT_BYTES", "EventSource", "EventTooLarge", "SSEParser"]

DEFAULT_MAX_EVENT_BYTES: Final = 16 * 2**20
BOM: Final = b"\xef\xbb\xbf"

# As numbers: `10 in line` takes a sixth of the time of `b"\n" in line`.
LF: Final = 0x0A
CR: Final = 0x0D
NUL: Final = 0x00

# int() refuses longer numbers when it is set to its strictest limit (sys.set_int_max_str_digits).
MAX_RETRY_DIGITS: Final = 640


def is_whole(text: str) -> bool:
    """Whether *text* is a JSON object: no beginning of one is."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


class EventTooLarge(ValueError):
    """
    One line, or the data lines of one event, exceeded the limit.

    *events* holds the events which the same chunk completed before it. The parser that raised is of no further use.
    """

    def __init__(self, limit: int, what: str = "a server-sent event", end: str = "a blank line") -> None:
        advice = f"let the server send smaller ones, each with {end} behind it"
        super().__init__(f"{what} is larger than {limit} bytes: {advice}")
        self.events: list[ServerSentEvent] = []


class SSEParser:
    """
    Turn the bytes of an event stream into events, however the transport cut them.

    An event comes out with the last byte of its blank line. A block without a `data` line gives no event, and a block
    that the end of the stream cuts off is dropped: simply stop feeding, or ask `rest` whether it was.

    Attributes:
        last_event_id: Id of the last finished block, to be sent as `Last-Event-ID`. It may be ahead of the events
            of one `feed()` that the caller has not used yet; those carry their own `id`.
        retry_ms: The reconnection time the server last asked for.
        comments: Number of comment lines so far.
        bytes_seen: Number of bytes so far, any of which is a sign of life.
    """

    def __init__(self, *, last_event_id: str = "", max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self.comments = 0
        self.bytes_seen = 0
        self._max_event_bytes = max_event_bytes
        self._start: bytes | None = b""  # what may still become a BOM; None once that is decided
        self._skip_lf = False  # the last line ended in CR, so an LF coming next belongs to it
        self._unfinished: list[bytes] = []  # the last line, as long as its end is missing; never holds CR or LF
        self._unfinished_bytes = 0
        self._block_open = False
        #: The stream ended inside a block; known once `rest` was asked.
        self.cut = False
        # The buffers of the standard. The id outlives its block, the others do not.
        self._id = last_event_id
        self._event = ""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that *chunk* completes; raises `EventTooLarge`."""
        self.bytes_seen += len(chunk)
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(BOM) and BOM.startswith(chunk):
                self._start = chunk
                return []
            self._start = None
            chunk = chunk.removeprefix(BOM)
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")

        events: list[ServerSentEvent] = []
        cut = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        try:
            if cut:
                lines = b"".join([*self._unfinished, chunk[:cut]])
                self._unfinished = []
                self._unfinished_bytes = 0
                if CR in lines:
                    self._skip_lf = cut == len(chunk) and lines.endswith(b"\r")
                    lines = lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                self._read_blocks(lines, events)
            if cut < len(chunk):
                self._keep(chunk[cut:])
        except EventTooLarge as error:
            error.events = events
            raise
        return events

    def rest(self) -> list[ServerSentEvent]:
        """
        Return the last event if only its blank line is missing; whatever else is unfinished makes the stream `cut`.

        The standard (9.2.6) drops every unfinished block. Servers leave out the last blank line, and no beginning of a
        JSON object is one: what is whole is told. Not in a stream with ids where the block has none: its id may have
        been cut off, and read again behind the last one its text would come twice.
        """
        line = b"".join(self._unfinished)
        self._unfinished, self._unfinished_bytes = [], 0
        events: list[ServerSentEvent] = []
        # Of other fields a part may look like a whole: `id: 1` of `id: 12`. A comment says nothing either way.
        readable = not line or line.startswith((b"data:", b":"))
        if line and readable:
            self._read_lines([line], events)
        data = b"\n".join(self._data).decode("utf-8", "replace").strip()
        named = not self.last_event_id or self._id != self.last_event_id
        if readable and named and (data == "[DONE]" or is_whole(data)):
            self._end_block(events)
        else:
            self.cut = bool(self._data or self._event or self._id != self.last_event_id or not readable)
        return events

    def _keep(self, piece: bytes) -> None:
        # Pieces are joined once, when the line ends: joining each time would make a long line quadratic.
        self._unfinished.append(piece)
        self._unfinished_bytes += len(piece)
        if self._unfinished_bytes > self._max_event_bytes:
            raise EventTooLarge(self._max_event_bytes)

    def _read_blocks(self, lines: bytes, events: list[ServerSentEvent]) -> None:
        """Read whole lines, each ended by LF. LLM streams are blocks of one data line: those take the short way."""
        *blocks, rest = lines.split(b"\n\n")
        limit = self._max_event_bytes
        for block in blocks:
            if block.startswith(b"data: ") and LF not in block and not self._block_open and len(block) <= limit:
                events.append(ServerSentEvent("message", block[6:].decode("utf-8", "replace"), self.last_event_id))
            else:
                self._read_lines(block.split(b"\n"), events)
                self._end_block(events)
        if rest:
            self._read_lines(rest.split(b"\n")[:-1], events)

    def _read_lines(self, lines: list[bytes], events: list[ServerSentEvent]) -> None:
        limit = self._max_event_bytes
        for line in lines:
            if not line:
                self._end_block(events)
                continue
            if len(line) > limit:
                raise EventTooLarge(limit)
            # Names are compared as bytes, and a value is decoded without its line end: no byte of a longer UTF-8
            # sequence is ASCII, so a character that was cut off cannot swallow what follows.
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._data.append(value)
                self._data_bytes += len(line)
                if self._data_bytes > limit:
                    raise EventTooLarge(limit)
            elif name:
                self._set_field(name, value)
            else:
                self.comments += 1
        self._block_open = bool(lines[-1])

    def _set_field(self, name: bytes, value: bytes) -> None:
        if name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if NUL not in value:
                self._id = value.decode("utf-8", "replace")
        # bytes.isdigit() knows ASCII digits only; int() alone would also take "+7", "1_000" and other scripts.
        elif name == b"retry" and value.isdigit() and len(value) <= MAX_RETRY_DIGITS:
            self.retry_ms = self._retry = int(value)

    def _end_block(self, events: list[ServerSentEvent]) -> None:
        # Only a finished block moves the id: after a cut inside a block, that block has to be sent again.
        self.last_event_id = self._id
        if self._data:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            events.append(ServerSentEvent(self._event, data, self._id, self._retry))
            self._data = []
            self._data_bytes = 0
        self._event = ""
        self._retry = None
        self._block_open = False


class EventSource(httpx_sse.EventSource):
    """
    The `EventSource` of httpx-sse, reading bytes with `SSEParser`.

    It does not judge the response: look at its status and at `is_event_stream` before iterating.

    Args:
        response: A streamed response; closing it stays with the caller.
        last_event_id: The id sent with the request, so that a second cut before any event resumes there again.
        max_event_bytes: Limit for one line and for the data lines of one event; beyond it, iterating raises
            `EventTooLarge` after the events before it.
        on_bytes: Called with the size of each chunk, after content decoding and before it is parsed.
    """

    def __init__(
        self,
        response: httpx.Response,
        *,
        last_event_id: str = "",
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(response)
        self.parser = SSEParser(last_event_id=last_event_id, max_event_bytes=max_event_bytes)
        self._on_bytes = on_bytes

    @property
    def is_event_stream(self) -> bool:
        """Whether the media type is exactly `text/event-stream`; a charset means nothing, SSE is always UTF-8."""
        media_type: str = self.response.headers.get("content-type", "").partition(";")[0]
        return media_type.strip(" \t").lower() == "text/event-stream"

    async def aiter_sse(self) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of an asynchronous response as they arrive."""
        stream = cast("AsyncGenerator[bytes, None]", self.response.aiter_bytes())
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                try:
                    events = self._feed(chunk)
                except EventTooLarge as error:
                    for event in error.events:
                        yield event
                    raise
                for event in events:
                    yield event

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """Yield the events of a synchronous response as they arrive."""
        for chunk in self.response.iter_bytes():
            try:
                events = self._feed(chunk)
            except EventTooLarge as error:
                yield from error.events
                raise
            yield from events

    def _feed(self, chunk: bytes) -> list[ServerSentEvent]:
        if self._on_bytes is not None:
            self._on_bytes(len(chunk))
        return self.parser.feed(chunk)

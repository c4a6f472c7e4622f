"""Any SSE endpoint as a source: one call, read in one format, resumed by Last-Event-ID and offset."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceError, SourceLost, SourceMalformed
from nbstream.sources.call import Call
from nbstream.sources.contract import Arrival, Traits
from nbstream.sources.frames import QUOTE_CHARS
from nbstream.sources.native import AgentOutput, Native
from nbstream.sources.openai_chat import OpenAIChat
from nbstream.sources.plain import Custom, PlainText

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor
    from nbstream.sources.contract import FrameReader, Pulse
    from nbstream.sources.plain import Read

_READERS: dict[str, Callable[[Cursor | None], FrameReader]] = {
    "openai.chat": OpenAIChat,
    "nbstream": Native,
    "agent_output": AgentOutput,
    "text": PlainText,
}
FORMATS = ("auto", *_READERS)


def sse(
    url: str,
    *,
    method: str = "GET",
    json: Any = None,
    content: str | bytes | None = None,
    headers: Mapping[str, str] | None = None,
    format: str = "auto",
    read: Read | None = None,
) -> SSESource:
    """
    Stream from any endpoint that sends server-sent events.

    Args:
        url: http(s) address, or `demo:` plus a path of the embedded demo server.
        method: GET or POST (any method goes). A GET that is cut may be sent again and is verified against what is
            shown; a POST is sent again only behind a cursor, or while nothing was shown.
        json: Body, sent as JSON.
        content: Body, sent as it is. Not together with *json*.
        headers: Sent to this origin only; never stored, never shown.
        format: `openai.chat`, `nbstream` (delta/done), `agent_output`, `text`, or `auto`: what the first frame says.
        read: For any other format: gets each event (`event`, `data`, `id`) and returns the text in it, a `Part`, an
            `Arrival`, or None for nothing. `[DONE]`, or None for an event named `done` or `end`, ends the message.
    """
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}: use {', '.join(FORMATS)}, or read= for any other")
    call = Call.of(method, url, json_body=json, content=content, headers=headers)
    return SSESource(call, format, read)


class SSESource:
    """A call that answers with server-sent events. Made by `sse()` and `chat()`; may be connected any number of times."""

    note: str | None = None

    def __init__(self, call: Call, format: str = "auto", read: Read | None = None) -> None:
        self._call = call
        self._format = format
        self._reader: Callable[[Cursor | None], FrameReader] = Auto if format == "auto" else _READERS[format]
        if read is not None:
            self._reader = partial(Custom, read)
            name = getattr(read, "__qualname__", type(read).__qualname__)
            self._format = f"read:{getattr(read, '__module__', '')}.{name}"

    def __repr__(self) -> str:
        return f"<source {self._call} ({self._format})>"

    @property
    def spec(self) -> Mapping[str, Any]:
        """What the log says about the call: no values of headers or keys, of the body only its fingerprint and title."""
        return self._call.spec(self._format)

    @property
    def fingerprint(self) -> str:
        """Equal exactly for the same method, URL, body and format."""
        return self._call.fingerprint(self._format)

    @property
    def traits(self) -> Traits:
        """What the format declares."""
        return self._reader(None).traits

    @property
    def replayable(self) -> bool:
        """A GET may be sent again."""
        return self._call.method == "GET"

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        """Make the call and yield what arrives; see `Source.connect`."""
        from nbstream.sources.http import answer
        from nbstream.wire.sse import EventTooLarge, SSEParser

        call = self._call.ready()
        reader = self._reader(cursor)
        event_id: str = cursor.get("id", "") if cursor else ""
        offset: int | None = cursor.get("offset") if cursor else None
        end: Arrival | None = None
        try:
            async with (
                answer(call, event_id=event_id, offset=offset) as response,
                aclosing(response.aiter_bytes()) as chunks,  # type: ignore[type-var] # a generator, typed as iterator
            ):
                yield Arrival()
                parser = SSEParser(last_event_id=event_id)
                too_large: EventTooLarge | None = None
                async for chunk in chunks:
                    pulse.last_byte = time.monotonic()
                    try:
                        events = parser.feed(chunk)
                    except EventTooLarge as exc:
                        events, too_large = exc.events, exc
                    pulse.retry_ms = parser.retry_ms
                    pulse.pings = pulse.pings or parser.comments > 0
                    for event in events:
                        if event.event == "ping":
                            pulse.pings = True
                            continue
                        arrival = reader.read(event)
                        if arrival is None:
                            continue
                        if arrival.end is not None:
                            end = arrival
                            break
                        yield arrival
                    if end is not None:
                        break
                    if too_large is not None:
                        raise SourceMalformed(f"{call}: {too_large}") from too_large
                else:
                    end = reader.eof()
            if end is None:
                raise SourceLost(f"{call} ended without an end mark")
        except SourceError as exc:
            exc.args = (call.redact(str(exc)),)
            raise
        # Only now: whoever sees the end mark may rely on the connection being closed.
        yield end


class Auto:
    """
    Reads in the format that the first telling frame speaks, and writes its name into the cursor for the next connection.

    JSON objects of no known format are passed on by type only; if nothing else comes, that is an error and no message.
    """

    traits = Traits(
        end_mark="that of the format of the first frame",
        error_mark="that of the format of the first frame",
        heartbeat="SSE comment, or event: ping",
        resume="event-id",
    )

    def __init__(self, cursor: Cursor | None) -> None:
        self._chosen: FrameReader | None = None
        self._unknown: str | None = None
        if cursor and cursor.get("format") in _READERS:
            self._chosen = _READERS[cursor["format"]](cursor)
            self.read = self._chosen.read  # type: ignore[method-assign] # from now on without the detour

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Choose, and let the chosen one read."""
        format = _format_of(event)
        if format == "text" and self._unknown is not None:
            raise self._not_known()
        if format is not None:
            self._chosen = _READERS[format]({"format": format})
            self.read = self._chosen.read  # type: ignore[method-assign] # from now on without the detour
            return self._chosen.read(event)
        if not event.data:
            return None
        self._unknown = self._unknown or event.data
        return Arrival()

    def eof(self) -> Arrival | None:
        """Ask the chosen one."""
        if self._chosen is None and self._unknown is not None:
            raise self._not_known()
        return self._chosen.eof() if self._chosen is not None else None

    def _not_known(self) -> SourceMalformed:
        return SourceMalformed(
            f"the frames are of no format that nbstream knows: {(self._unknown or '')[:QUOTE_CHARS]!r};"
            f" give format= or read="
        )


def _format_of(event: ServerSentEvent) -> str | None:
    """Return the format that *event* speaks, or None if it may be any."""
    data = event.data.strip()
    if not data.startswith("{"):
        telling = {"message", "done", "end", "error"} if data else {"done", "end"}
        return "text" if event.event in telling else None
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        if data.startswith('{"'):
            raise SourceMalformed(
                f"the first frame is broken JSON: {data[:QUOTE_CHARS]!r}; give format='text' if it is meant as text"
            ) from None
        return "text"
    if frame.get("type") == "agent_output":
        return "agent_output"
    if frame.get("type") in {"delta", "done"} or event.event in {"done", "error"}:
        return "nbstream"
    if "choices" in frame or "error" in frame or frame.get("object") == "error":
        return "openai.chat"
    return None

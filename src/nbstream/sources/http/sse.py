"""Any endpoint that streams, as a source: one call, read in one format, resumed by Last-Event-ID and offset."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from nbstream.errors import SourceError, SourceLost, SourceMalformed
from nbstream.sources.contract import Arrival, Traits, listening
from nbstream.sources.formats.frames import Suspicion
from nbstream.sources.formats.plain import Custom
from nbstream.sources.formats.registry import READERS
from nbstream.sources.http.call import Call
from nbstream.sources.http.joining import joined

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor
    from nbstream.sources.contract import FrameReader, Pulse, Run
    from nbstream.sources.formats.plain import Read
    from nbstream.wire.ndjson import LineParser
    from nbstream.wire.sse import SSEParser


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
    Stream from any endpoint that sends server-sent events, or JSON by the line.

    Args:
        url: http(s) address, or `demo:` plus a path of the embedded demo server.
        method: GET or POST (any method goes). A GET that is cut may be sent again and is verified against what is
            shown; a POST is sent again only behind a cursor, or while nothing was shown.
        json: Body, sent as JSON.
        content: Body, sent as it is. Not together with *json*.
        headers: Sent to this origin only; never stored, never shown.
        format: `openai.chat`, `openai.responses`, `anthropic.messages`, `gemini.generate`, `gemini.interactions`,
            `ollama.chat`, `llamacpp`, `nbstream` (delta/done), `agent_output`, `agui`, `vercel.ui`, `langgraph`,
            `text`, or `auto`: what the first frame says.
        read: For any other format: gets each event (`event`, `data`, `id`) and returns the text in it, a `Part`, an
            `Arrival`, or None for nothing. `[DONE]`, or None for an event named `done` or `end`, ends the message.
    """
    if format not in READERS:
        raise ValueError(f"unknown format {format!r}: use {', '.join(READERS)}, or read= for any other")
    call = Call.of(method, url, json_body=json, content=content, headers=headers)
    return SSESource(call, format, read)


class SSESource:
    """A call that answers with a stream of events. Made by `sse()` and `chat()`; may be connected again and again."""

    note: str | None = None

    def __init__(self, call: Call, format: str = "auto", read: Read | None = None) -> None:
        #: The call, keys and all: for the relay, never for the log.
        self.call = call
        self.format = format
        self._reader: Callable[[Cursor | None], FrameReader] = READERS[format]
        self._run: Run | None = None
        if read is not None:
            self._reader = partial(Custom, read)
            name = getattr(read, "__qualname__", type(read).__qualname__)
            self.format = f"read:{getattr(read, '__module__', '')}.{name}"

    def __repr__(self) -> str:
        return f"<source {self.call} ({self.format})>"

    @property
    def spec(self) -> Mapping[str, Any]:
        """What the log says about the call: no values of headers or keys, of the body its fingerprint and title."""
        return self.call.spec(self.format)

    @property
    def fingerprint(self) -> str:
        """Equal exactly for the same method, URL, body and format."""
        return self.call.fingerprint(self.format)

    @property
    def traits(self) -> Traits:
        """What the format declares."""
        return self._reader(None).traits

    @property
    def replayable(self) -> bool:
        """A GET may be sent again."""
        return self.call.method == "GET"

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        """Make the call and yield what arrives; see `Source.connect`."""
        from nbstream.sources.http.answer import answer, parser_of

        call = await self._ready()
        reader = self._reader(cursor)
        if cursor is not None and (run := _run_of(reader)) is not None:
            call = run.joining(call)
        event_id: str = cursor.get("id", "") if cursor else ""
        offset: int | None = cursor.get("offset") if cursor else None
        end: Arrival | None = None
        suspicion = Suspicion()
        try:
            async with (
                answer(call, event_id=event_id, offset=offset) as response,
                aclosing(_to_the_end(cast("AsyncGenerator[bytes, None]", response.aiter_bytes()))) as chunks,
            ):
                if (listener := listening(reader)) is not None:
                    listener.met(call, response.headers)
                yield Arrival()
                parser = parser_of(response, event_id)
                # The first event of a connection stays alone: the recorder looks at it to recognise a start-over.
                alone = 1
                async for chunk in chunks:
                    read, error = _read(reader, suspicion, _events(parser, chunk, pulse))
                    if read and read[-1].end is not None:
                        end = read.pop()
                    for arrival in (*read[:alone], *joined(read[alone:])):
                        yield arrival
                    if error is not None:
                        raise error
                    if end is not None:
                        break
                    alone = 0 if read else alone
                else:
                    end = None if parser.cut else suspicion.end(reader.eof()) or await self._asked(reader)
            if end is None:
                raise SourceLost(f"{call} ended without an end mark")
        except SourceError as exc:
            exc.args = (call.redact(str(exc)),)
            raise
        finally:
            self._run = _run_of(reader) or self._run
        # Only now: whoever sees the end mark may rely on the connection being closed.
        yield end

    async def cancel(self, cursor: Cursor | None) -> None:
        """End a run that goes on without listeners; where closing the connection ends the call, do nothing."""
        run = self._run or (_run_of(self._reader(cursor)) if cursor is not None else None)
        if run is None:
            return
        call = await self._ready()
        cancelling = run.cancelling(call)
        if cancelling is not None:
            from nbstream.sources.http.answer import tell

            try:
                await tell(cancelling)
            except SourceError as exc:
                exc.args = (call.redact(str(exc)),)
                raise

    async def _ready(self) -> Call:
        """Return the call with its key. A function of the user's may ask a key store, which takes its time."""
        asks = self.call.key is not None and self.call.key.ask is not None
        return await asyncio.to_thread(self.call.ready) if asks else self.call.ready()

    async def _asked(self, reader: FrameReader) -> Arrival | None:
        """Return the end if the run that *reader* read says itself that it has ended."""
        run = _run_of(reader)
        asking = run.asking(await self._ready()) if run is not None else None
        listener = listening(reader)
        if asking is None or listener is None:
            return None
        from nbstream.sources.http.answer import tell

        try:
            status = (await tell(asking)).get("status")
        except SourceError:
            return None  # it does not say: the connection was lost
        return listener.finished(status) if isinstance(status, str) else None


def _run_of(reader: FrameReader) -> Run | None:
    listener = listening(reader)
    return listener.run if listener is not None else None


def _read(
    reader: FrameReader, suspicion: Suspicion, events: Iterator[ServerSentEvent]
) -> tuple[list[Arrival], SourceError | None]:
    """Return what *events* say, up to the end mark or to the first one that is an error, and that."""
    read: list[Arrival] = []
    try:
        for event in events:
            arrival = reader.read(event)
            if arrival is not None:
                arrival = suspicion.heed(arrival)
                if arrival.error is not None:
                    return [*read, arrival._replace(error=None)], arrival.error
                read.append(arrival)
                if arrival.end is not None:
                    break
    except SourceError as exc:
        return read, exc
    return read, None


async def _to_the_end(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes | None, None]:
    """Yield *chunks*, and None behind the last one."""
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk
    yield None


def _events(parser: SSEParser | LineParser, chunk: bytes | None, pulse: Pulse) -> Iterator[ServerSentEvent]:
    """Yield the events that *chunk*, or the end, completes, but for pings, and note the signs of life in it."""
    from nbstream.wire.sse import EventTooLarge

    pulse.last_byte = time.monotonic()
    too_large: EventTooLarge | None = None
    comments = parser.comments
    try:
        events = parser.rest() if chunk is None else parser.feed(chunk)
    except EventTooLarge as exc:
        events, too_large = exc.events, exc
    pulse.retry_ms = parser.retry_ms
    pulse.pings += parser.comments - comments
    for event in events:
        if event.event == "ping":
            pulse.pings += 1
        else:
            yield event
    if too_large is not None:
        raise SourceMalformed(str(too_large)) from too_large

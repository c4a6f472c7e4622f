"""Streams that are not JSON: plain text, and whatever a function of the user's makes of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from nbstream.errors import SourceError, SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import QUOTE_CHARS, Place
from nbstream.sources.origin import line_of
from nbstream.sources.refusal import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor

    #: What a function given as `read=` may return for an event; None for "says nothing".
    Read: TypeAlias = Callable[[ServerSentEvent], "str | Part | Arrival | None"]

_ENDS = frozenset({"done", "end"})


class PlainText:
    """Reads `data` as text. The end mark is an event named `done` or `end`, or `[DONE]`."""

    traits = Traits(
        end_mark="event: done, event: end or data: [DONE]",
        error_mark="event: error",
        heartbeat="SSE comment, or event: ping",
        resume="event-id",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        self._place = Place(cursor)

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        name, data, event_id = event.event, event.data, event.id or None
        if name in _ENDS or data.strip() == "[DONE]":
            return Arrival(event_id=event_id, end=End())
        if name == "error":
            raise SourceRefused(f"the upstream reported an error: {plain_text(data)}")
        part = Part("text", data) if name == "message" else Part("raw", fields={"type": name})
        return Arrival((part,) if data else (), self._place.behind(event.id), event_id=event_id)

    def eof(self) -> Arrival | None:
        """Text that just stops may have been cut."""
        return None


class Custom:
    """
    Asks the function *read* about every event.

    `[DONE]` ends the message without asking, so that `read` may be one `json.loads`; so does an event named `done` or
    `end` for which `read` returns None. Any other end mark is an `Arrival` with `end`.
    """

    traits = PlainText.traits

    def __init__(self, read: Read, cursor: Cursor | None = None) -> None:
        self._read = read
        self._place = Place(cursor)

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what the function makes of *event*."""
        event_id = event.id or None
        if event.data.strip() == "[DONE]":
            return Arrival(event_id=event_id, end=End())
        try:
            said = self._read(event)
        except SourceError:
            raise
        except Exception as exc:
            said = f"{type(exc).__name__}{line_of(exc)}: {plain_text(str(exc))}"
            raise SourceMalformed(f"read() raised {said} on the event {event.data[:QUOTE_CHARS]!r}") from exc
        if said is None:
            return Arrival(event_id=event_id, end=End()) if event.event in _ENDS else None
        cursor = self._place.behind(event.id)
        if isinstance(said, Arrival):
            return said._replace(cursor=said.cursor or cursor, event_id=said.event_id or event_id)
        if isinstance(said, str):
            said = Part("text", said)
        if not isinstance(said, Part):
            raise SourceMalformed(f"read() returned {type(said).__name__}: return str, Part, Arrival or None")
        return Arrival((said,), cursor, event_id=event_id)

    def eof(self) -> Arrival | None:
        """Without an end mark the message is not complete."""
        return None

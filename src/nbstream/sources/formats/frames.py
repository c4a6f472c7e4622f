"""What the readers of all formats share: JSON frames, and the cursor that event ids make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceMalformed
from nbstream.records import Part
from nbstream.sources.contract import Arrival
from nbstream.sources.refusal import (
    ErrorObject,
    plain_text,
    read_error,
    read_failure,
    read_suspicion,
    refused_by_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.errors import SourceError, SourceRefused
    from nbstream.records import Cursor

QUOTE_CHARS = 80


class Place:
    """
    The cursor of one connection, by event id.

    `{"id": ..., "first": ...}`: `first` is the id of the stream's very first event, by which a server that starts over
    is recognised. What else the cursor of the connection before carried for us (the format chosen) is carried on.
    """

    def __init__(self, cursor: Cursor | None) -> None:
        kept = dict(cursor or {})
        self.last: str = kept.pop("id", "")
        kept.pop("offset", None)
        kept.pop("numbers", None)
        kept.pop("older", None)
        kept.pop("since", None)
        self._kept = kept

    def behind(self, event_id: str) -> dict[str, Any] | None:
        """Return the cursor behind the event with this id, or None if it names no place of its own."""
        if event_id == self.last or not event_id:
            return None
        self.last = event_id
        if "first" not in self._kept:
            self._kept["first"] = event_id
        return {"id": event_id, **self._kept}

    def at_offset(self, event_id: str, offset: int) -> dict[str, Any]:
        """Return the cursor behind an event that says itself where its text stands: it needs no id of its own."""
        cursor = self.behind(event_id)
        if cursor is None:
            cursor = {"id": self.last, **self._kept} if self.last else dict(self._kept)
        cursor["offset"] = offset
        return cursor


def frame_of(data: str) -> dict[str, Any]:
    """Return the JSON object in *data*; anything else raises `SourceMalformed` naming it."""
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise malformed(data) from exc
    if type(frame) is not dict:
        raise malformed(data)
    return frame


def read_frame(event: ServerSentEvent, frame: Callable[[Mapping[str, Any]], Arrival]) -> Arrival | None:
    """
    Return what the JSON object in *event* says, as *frame* understands it; None where there is none.

    What *frame* stumbles over (`AttributeError`, `TypeError`, `LookupError`) raises `misread`, unless it is words alone
    (`stumbled`); an event that is named `error` is one, whatever it says.
    """
    if event.event == "error":
        raise error_event(event)
    if not event.data.strip():
        return None
    decoded = frame_of(event.data)
    try:
        return frame(decoded)
    except (AttributeError, TypeError, LookupError) as exc:
        return stumbled(event.data, decoded, exc)


def unknown(frame: Mapping[str, Any], name: Any = None) -> Arrival:
    """
    Return what counts a *frame* that the format does not know, by *name*; raises `SourceRefused` for an error in it.

    A stream that failed may go on to its end mark: nobody would learn of it. What only may be an error is `suspect`.
    """
    if (error := read_failure(frame)) is not None:
        raise refused_by_frame(error)
    return Arrival((Part("raw", fields={"type": str(name or "no type")}),), suspect=suspected(frame))


def suspected(frame: Mapping[str, Any]) -> SourceRefused | None:
    """Return the exception for the error that a *frame* without any field of its format may be."""
    error = read_suspicion(frame)
    return None if error is None else refused_by_frame(error)


class Suspicion:
    """Remembers what may have been an error, until something is said behind it or the stream ends."""

    def __init__(self) -> None:
        #: What the stream fails with if it ends now.
        self.error: SourceError | None = None

    def heed(self, arrival: Arrival) -> Arrival:
        """Return *arrival*; its end becomes the error that nothing was said behind."""
        if arrival.suspect is not None:
            self.error = arrival.suspect
        elif self.error is None:
            return arrival
        elif any(part.kind != "raw" for part in arrival.parts):
            self.error = None
        elif arrival.end is not None:
            return arrival._replace(error=self.error, end=None)
        return arrival

    def end(self, end: Arrival | None) -> Arrival | None:
        """Return the *end* that the end of the stream is, if it is one; raises the error that stands for it."""
        if self.error is not None:
            raise self.error
        return end


def named(event: ServerSentEvent, frame: dict[str, Any]) -> dict[str, Any]:
    """Return the *frame* of *event* with the event's own name in it, if it has one: what names itself is no error."""
    return frame if event.event == "message" else {"event": event.event, **frame}


def aside(event: ServerSentEvent) -> Arrival:
    """Return what counts an *event* of a name of its own that is no JSON; raises where its name is that of an error."""
    return unknown({"event": event.event, "message": event.data}, event.event)


def failing(arrival: Arrival, error: SourceError) -> Arrival:
    """Return *arrival* with the *error* behind its parts; raises it where there are none."""
    if not arrival.parts:
        raise error
    return arrival._replace(error=error, end=None)


def misread(data: str, frame: Mapping[str, Any]) -> SourceError:
    """Return the exception for a *frame* whose fields are not of its format: an error of another shape, or broken."""
    error = read_failure(frame)
    return malformed(data) if error is None else refused_by_frame(error)


def stumbled(data: str, frame: Mapping[str, Any], exc: Exception) -> Arrival:
    """Return what counts a *frame* that has nothing of its format but words; raises `misread` from *exc* for others."""
    error = misread(data, frame)
    if isinstance(error, SourceMalformed) and suspected(frame) is not None:
        return unknown(frame)
    raise error from exc


def error_event(event: ServerSentEvent) -> SourceRefused:
    """Return the exception for an event that its name calls an error."""
    try:
        said = json.loads(event.data)
    except (ValueError, RecursionError):
        said = event.data
    error = read_error(said) or read_error({"error": said})
    return refused_by_frame(error or ErrorObject(plain_text(event.data) or "it does not say which"))


def malformed(data: str) -> SourceMalformed:
    """Return the exception for a frame that is not of its format."""
    return SourceMalformed(f"the upstream sent a frame that is not of its format: {data[:QUOTE_CHARS]!r}")

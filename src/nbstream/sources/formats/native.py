"""
nbstream's own frames: one voice (`delta`, `done`) and several (`agent_output`).

    data: {"type": "delta", "offset": 12, "text": "..."}
    data: {"type": "agent_output", "agent": "planner", "content": "...", "sequence": 3}
    event: done
    data: {"length": 345, "sha256": "..."}

`offset` and `length` count code points of the whole text, `sha256` is hex over its UTF-8. Only `text` and `content`
are needed; what else is there gets checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import Place, aside, error_event, frame_of, misread, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor


#: Events that have a meaning here; all others are only counted.
_NAMES = frozenset({"message", "delta", "agent_output", "done", "end"})


class Native:
    """Reads native frames; both kinds may come in one stream. The end mark is `done`, or `[DONE]`."""

    traits = Traits(
        end_mark="event: done",
        error_mark="event: error",
        heartbeat="SSE comment, or event: ping",
        resume="event-id",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        self._place = Place(cursor)
        #: agent -> its last `sequence`, kept in the cursor: a new kernel must see the same gaps.
        self._numbers: dict[str, int] = dict((cursor or {}).get("numbers") or {})

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        data, name = event.data, event.event
        if data.strip() == "[DONE]":
            return Arrival(event_id=event.id or None, end=End())
        if not data and name == "message":
            return None
        if name == "error":
            raise error_event(event)
        if name not in _NAMES and not data.lstrip().startswith("{"):
            return self._placed(aside(event), event.id)
        frame = frame_of(data) if data or name not in {"done", "end"} else {}
        if name not in {"message", "delta", "agent_output"}:
            frame = {**frame, "type": name}
        try:
            return self.frame(frame, event.id)
        except (TypeError, LookupError) as exc:
            raise misread(data, frame) from exc

    def frame(self, frame: Mapping[str, Any], event_id: str = "") -> Arrival:
        """Return what a decoded frame says; `TypeError` or `LookupError` for one that breaks its format."""
        kind = frame.get("type")
        if kind == "delta":
            return self._delta(frame, event_id)
        if kind == "agent_output":
            return self._agent_output(frame, event_id)
        if kind in {"done", "end"}:
            end = End(length=_number(frame.get("length")), sha256=_optional_text(frame.get("sha256")))
            return Arrival(event_id=event_id or None, end=end)
        return self._placed(unknown(frame, kind), event_id)

    def _placed(self, arrival: Arrival, event_id: str) -> Arrival:
        return arrival._replace(cursor=self._place.behind(event_id), event_id=event_id or None)

    def eof(self) -> Arrival | None:
        """Without `done` the message is not complete."""
        return None

    def _delta(self, frame: Mapping[str, Any], event_id: str) -> Arrival:
        text = _text(frame["text"])
        offset = _number(frame.get("offset"))
        place = self._place
        cursor = place.behind(event_id) if offset is None else place.at_offset(event_id, offset + len(text))
        return Arrival((Part("text", text),) if text else (), cursor, offset, event_id=event_id or None)

    def _agent_output(self, frame: Mapping[str, Any], event_id: str) -> Arrival:
        agent = frame.get("agent", ASSISTANT)
        part = Part("text", _text(frame["content"]), _text(agent))
        number = _number(frame.get("sequence"))
        if number is not None:
            self._numbers[agent] = number
        cursor = self._place.behind(event_id)
        if cursor is not None and self._numbers:
            cursor["numbers"] = dict(self._numbers)
        return Arrival((part,), cursor, number=number, event_id=event_id or None)


class AgentOutput(Native):
    """The same reader under the name of a format whose frames number themselves."""

    traits = Traits(
        end_mark="event: done, a frame of type done, or data: [DONE]",
        error_mark="event: error",
        heartbeat="SSE comment, or event: ping",
        resume="event-id",
    )


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _number(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise TypeError(f"expected a number from 0 on, found {value!r}")
    return value


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)

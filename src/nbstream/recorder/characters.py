"""
Whole characters: a source that thinks in UTF-16 may cut a character in two, and each half comes in a delta of its own.

A half is kept until the other one comes. An event that leaves a half open names no place to resume at: behind it, the
half would be lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.records import TEXT_KINDS, Part, whole_characters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.recorder.progress import Name
    from nbstream.sources.contract import Arrival

#: What stands for a half whose other half never comes.
REPLACEMENT = "\ufffd"


class Characters:
    """Turns the arrivals of one connection into arrivals of whole characters."""

    def __init__(self) -> None:
        #: The open half of each agent and kind, and where its character begins if the frame said so.
        self._halves: dict[Name, tuple[str, int | None]] = {}
        #: That of the arguments of each tool call, by agent and index: they come in deltas, too.
        self._arguments: dict[tuple[str, Any], str] = {}

    def are_whole(self, arrival: Arrival) -> bool:
        """Whether there is nothing to do."""
        if self._halves or self._arguments:
            return False
        for part in arrival.parts:
            if part.fields is not None or whole_characters(part.text) is not part.text:
                return False
            if whole_characters(part.agent) is not part.agent:
                return False
        return True

    def whole(self, arrival: Arrival) -> Arrival:
        """Return *arrival* with the halves before it joined on, and its own open ones kept back."""
        start = arrival.start
        parts = []
        for part in arrival.parts:
            fields, text = part.fields, part.text
            if fields is not None:
                fields = _clean(self._joined(part) if part.kind == "tool_call" else fields)
            if part.kind in TEXT_KINDS:
                name = whole_characters(part.agent), part.kind
                half, began = self._halves.pop(name, ("", None))
                if half and start is not None:
                    start = began
                text = half + text
                if "\ud800" <= text[-1:] <= "\udbff":
                    self._halves[name] = text[-1], None if start is None else start + len(text) - 1
                    text = text[:-1]
            agent = whole_characters(part.agent)
            parts.append(part._replace(text=whole_characters(text), agent=agent, fields=fields))
        if arrival.end is not None:
            parts += [Part(kind, REPLACEMENT, agent) for agent, kind in self._halves]
            parts += [
                Part("tool_call", agent=agent, fields={"index": index, "args_delta": REPLACEMENT})
                for agent, index in self._arguments
            ]
            self._halves.clear()
            self._arguments.clear()
        cursor = None if self._halves or self._arguments else arrival.cursor
        return arrival._replace(parts=tuple(parts), start=start, cursor=cursor)

    def _joined(self, part: Part) -> Mapping[str, Any]:
        """Return the fields of a piece of a tool call, the half before it joined on and its own open one kept back."""
        fields = part.fields or {}
        name, more = (part.agent, fields.get("index")), fields.get("args_delta")
        if type(more) is not str or name[1] is None:
            return fields
        text = self._arguments.pop(name, "") + more
        if "\ud800" <= text[-1:] <= "\udbff" and not fields.get("final"):
            self._arguments[name], text = text[-1], text[:-1]
        return fields if text is more else {**fields, "args_delta": text}


def _clean(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    text = json.dumps(fields, ensure_ascii=False)
    clean = whole_characters(text)
    return fields if clean is text else json.loads(clean)

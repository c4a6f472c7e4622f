"""Pages: what a view gets of a log. Joined parts, cut by size; the records stay in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbstream.records import Delta, join

if TYPE_CHECKING:
    from nbstream.log.contract import Log
    from nbstream.records import Part

#: Records read from the log at a time while a page is filled.
READ = 64


@dataclass(frozen=True, slots=True)
class Page:
    """The parts of records after+1 … upto."""

    after: int
    upto: int
    parts: tuple[Part, ...]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the page as docs/protocol.md has it, without stream and state."""
        parts = [part.to_json() for part in self.parts]
        return {"type": "page", "after": self.after, "upto": self.upto, "parts": parts}


def page(log: Log, after: int, *, max_bytes: int) -> Page:
    """Return the page behind record *after*: at least one record if there is one, about *max_bytes* at the most."""
    parts: list[Part] = []
    size, upto = 0, after
    while size < max_bytes:
        records = log.read(upto, limit=READ)
        for record in records:
            upto += 1
            if isinstance(record, Delta):
                parts.extend(record.parts)
                size += sum(_weight(part) for part in record.parts)
            if size >= max_bytes:
                break
        if len(records) < READ:
            break
    return Page(after=after, upto=upto, parts=tuple(join(parts)), bytes=size)


def _weight(part: Part) -> int:
    text = len(part.text) if part.text.isascii() else len(part.text.encode())
    return text + (len(str(part.fields)) if part.fields else 0)

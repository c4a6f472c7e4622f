"""
What has arrived and is not stored yet, and how it becomes records.

Batch by being busy: whatever arrives while the last append runs becomes the next record, up to 16 KiB. A record that
ends inside an upstream event keeps the cursor before that event and says how much is stored `behind` it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nbstream.records import TEXT_KINDS, Delta, join

if TYPE_CHECKING:
    from nbstream.recorder.progress import Progress
    from nbstream.records import Cursor, Part

#: Bytes of text in one record: small enough that no value becomes a file of its own, large enough for a flood.
RECORD_BYTES = 16 * 1024
#: Code points waiting before the upstream is paused.
PENDING_CHARS = 256 * 1024


class Batch:
    """
    A queue of parts on their way into the log.

    Entries are (part, cursor): the cursor stands on the last part of an event and names the place behind it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._entries: deque[tuple[Part, Cursor | None]] = deque()
        self._chars = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def full(self) -> bool:
        """Should the upstream wait until some of this is stored?"""
        return self._chars >= PENDING_CHARS

    def add(self, parts: tuple[Part, ...], cursor: Cursor | None) -> None:
        """Queue the parts of one event."""
        last = len(parts) - 1
        for i, part in enumerate(parts):
            self._entries.append((part, cursor if i == last else None))
            self._chars += len(part.text) + 1

    def take(self, at: float) -> Delta:
        """Remove one record's worth, number its parts, and move the progress behind it. Not to be called when empty."""
        progress, entries = self._progress, self._entries
        cursor, behind = progress.cursor, progress.behind
        taken: list[Part] = []
        room = RECORD_BYTES
        while entries and room > 0:
            part, place = entries[0]
            head, rest = _split(part, room)
            if rest is None:
                entries.popleft()
            else:
                entries[0] = (rest, place)
            taken.append(head)
            self._chars -= len(head.text) + (rest is None)
            room -= len(head.text) if head.text.isascii() else len(head.text.encode())
            if part.fields:
                room -= len(str(part.fields))
            if rest is None and place is not None:
                cursor, behind = place, 0
            elif cursor is not None and part.kind in TEXT_KINDS:
                behind += len(head.text)
        parts = tuple(self._number(part) for part in join(taken))
        progress.tail += 1
        progress.cursor, progress.behind = cursor, behind
        return Delta(parts=parts, at=at, cursor=cursor, behind=behind)

    def _number(self, part: Part) -> Part:
        progress = self._progress
        numbered = part._replace(
            sequence=progress.sequences.get(part.agent, 0) + 1,
            off=progress.lengths.get((part.agent, part.kind), 0) if part.kind in TEXT_KINDS else 0,
        )
        progress.count(numbered)
        return numbered


def _split(part: Part, room: int) -> tuple[Part, Part | None]:
    """Cut *part* so that the head fits into *room* bytes (at least one character; never inside a character)."""
    text = part.text
    if len(text) * 4 <= room or (text.isascii() and len(text) <= room):
        return part, None
    head = text.encode()[:room].decode(errors="ignore") or text[0]
    if len(head) == len(text):
        return part, None
    return part._replace(text=head), part._replace(text=text[len(head) :])

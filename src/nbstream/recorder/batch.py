"""
What has arrived and is not stored yet, and how it becomes records.

Batch by being busy: whatever arrives while the last append runs becomes the next record, up to 16 KiB. A record that
ends inside an upstream event keeps the cursor before that event and says how much is stored `behind` it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from nbstream.recorder.progress import measure, take_back
from nbstream.records import TEXT_KINDS, Delta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbstream.recorder.progress import Name, Progress
    from nbstream.records import Cursor, Part

#: Bytes of text in one record: small for a page, large enough for a flood. What JSON escapes comes on top.
RECORD_BYTES = 15 * 1024
#: Bytes that a part adds to its record besides its text.
PART_BYTES = 80
#: Longer text is cut into pieces of this many code points, of which four fill a record, or one of the widest.
PIECE_CHARS = 3800
#: Code points waiting before the upstream is paused.
PENDING_CHARS = 256 * 1024
#: A part that waits costs memory, and time to store, like this many code points besides its text.
PART_CHARS = 64


class Batch:
    """
    A queue of parts on their way into the log, behind *progress* (which whoever stores the records moves).

    Entries are (part, cursor, voice): the cursor stands on the last part of an event and names the place behind it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._entries: deque[tuple[Part, Cursor | None, str]] = deque()
        self._chars = 0
        #: Entries that ever came, and that were ever taken: the order is theirs.
        self.added = self.taken = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def full(self) -> bool:
        """Whether the upstream should wait until some of this is stored."""
        return self._chars >= PENDING_CHARS

    def add(self, parts: tuple[Part, ...], cursor: Cursor | None, voice: str = "") -> bool:
        """Queue the parts of one event; returns whether the upstream should wait for room now."""
        last = parts[-1]
        if len(parts) > 1 or len(last.text) > PIECE_CHARS:
            *before, last = [piece for part in parts for piece in _pieces(part)]
            for part in before:
                self._entries.append((part, None, voice))
                self._chars += len(part.text) + PART_CHARS
            self.added += len(before)
        self.added += 1
        self._entries.append((last, cursor, voice))
        self._chars += len(last.text) + PART_CHARS
        return self._chars >= PENDING_CHARS

    def take(self, at: float) -> Delta:
        """Remove one record's worth and return it, joined and numbered. Not to be called when empty."""
        entries = self._entries
        places: dict[str, _Place] = {}
        runs: list[tuple[Part, list[str]]] = []
        texts: list[str] = []
        room = RECORD_BYTES
        agent = kind = None
        while entries:
            part, cursor, voice = entries[0]
            text = part.text
            size = len(text) if text.isascii() else len(text.encode())
            joins = part.kind == kind and part.agent == agent and part.fields is None
            if not joins:
                size += PART_BYTES + (len(str(part.fields)) if part.fields else 0)
            if size > room and runs:
                break
            room -= size
            entries.popleft()
            self.taken += 1
            self._chars -= len(text) + PART_CHARS
            if not joins:
                texts = []
                runs.append((part, texts))
                agent, kind = part.agent, part.kind if part.kind in TEXT_KINDS and part.fields is None else None
            texts.append(text)
            place = places.get(voice)
            if place is None:
                track = self._progress.track(voice)
                place = places[voice] = _Place(track.cursor, track.behind)
            place.move(part, cursor)
        parts = self._numbered(part._replace(text="".join(texts)) for part, texts in runs)
        if "" in places:
            return Delta(parts=parts, at=at, cursor=places[""].cursor, behind=places[""].behind)
        voices = {voice: place.to_json() for voice, place in places.items() if place.cursor is not None}
        return Delta(parts=parts, at=at, cursor={"voices": voices} if voices else None)

    def _numbered(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        sequences: dict[str, int] = {}
        lengths: dict[Name, int] = {}
        taken = dict(self._progress.taken)
        out = []
        for part in parts:
            agent, name = part.agent, (part.agent, part.kind)
            sequences[agent] = sequences.get(agent, self._progress.sequences.get(agent, 0)) + 1
            begins = lengths.get(name, self._progress.lengths.get(name, 0))
            lengths[name] = begins + measure(part)
            off = begins - taken.get(name, 0) if part.kind in TEXT_KINDS else 0
            out.append(part._replace(sequence=sequences[agent], off=off))
            if part.kind == "truncate":
                take_back(part, {**self._progress.lengths, **lengths}, taken)
        return tuple(out)


class _Place:
    """Where the upstream of one voice goes on, as a record is filled."""

    __slots__ = ("behind", "cursor")

    def __init__(self, cursor: Cursor | None, behind: int) -> None:
        self.cursor, self.behind = cursor, behind

    def move(self, part: Part, cursor: Cursor | None) -> None:
        if cursor is not None:
            self.cursor, self.behind = cursor, 0
        elif self.cursor is not None:
            self.behind += measure(part)

    def to_json(self) -> dict[str, Any]:
        return {"cursor": self.cursor, "behind": self.behind}


def _pieces(part: Part) -> Iterator[Part]:
    for start in range(0, len(part.text) or 1, PIECE_CHARS):
        yield part._replace(text=part.text[start : start + PIECE_CHARS])

"""How far a stream has come: what the next part's numbers are, and where the upstream goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from nbstream.log.readback import records_of
from nbstream.records import TEXT_KINDS, Close, Delta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Cursor, Part, Record

#: Whose output, and which kind of it: (agent, kind).
Name: TypeAlias = tuple[str, str]

#: A server may name as many types as it likes.
UNKNOWN_TYPES = 16


def measure(part: Part) -> int:
    """Return how far *part* moves its agent and kind: code points of text, one for anything else."""
    return len(part.text) if part.kind in TEXT_KINDS else 1


def take_back(part: Part, lengths: Mapping[Name, int], taken: dict[Name, int]) -> int:
    """Note in *taken* what a `truncate` part takes back of *lengths*, which only grow; returns the code points."""
    name = part.agent, str((part.fields or {}).get("of", "text"))
    if name[1] not in TEXT_KINDS:
        return 0
    left = lengths.get(name, 0) - taken.get(name, 0)
    back = max(0, left - int((part.fields or {})["length"]))
    taken[name] = taken.get(name, 0) + back
    return back


@dataclass(slots=True)
class Progress:
    """The numbers of one stream behind its last record. Other threads may look at it while one moves it."""

    tail: int = -1
    #: Code points of text kinds, or number of parts of the others; what was taken back still counts.
    lengths: dict[Name, int] = field(default_factory=dict)
    #: Code points that `truncate` parts took back.
    taken: dict[Name, int] = field(default_factory=dict)
    #: Code points of all agents.
    chars: int = 0
    #: agent -> its last sequence.
    sequences: dict[str, int] = field(default_factory=dict)
    cursor: Cursor | None = None
    #: What is stored behind the cursor, in order: at every resume the upstream sends it once more.
    trail: list[tuple[Name, int]] = field(default_factory=list)
    #: agent -> the source's own number of the last frame before the cursor.
    numbers: dict[str, int] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None
    #: Type -> how many pieces came of it that no reader here understands.
    unknown: Counter[str] = field(default_factory=Counter)
    #: How often the call was opened: once, and once more for every resume.
    opens: int = 0

    @classmethod
    def of(cls, log: Log) -> Progress:
        """Read *log* through (blocking; about a second for 100 MB) and return where it stands."""
        progress = cls()
        for record in records_of(log):
            progress.add(record)
        return progress

    def add(self, record: Record) -> None:
        """Move behind *record*."""
        if isinstance(record, Delta):
            for part in record.parts:
                self._count(part)
            self._follow(record)
        elif isinstance(record, Close):
            self.usage, self.model = record.usage or self.usage, record.model or self.model
        else:
            self.opens += 1
        self.tail += 1

    @property
    def shown(self) -> bool:
        """Whether anything has been recorded that a reader could see."""
        return bool(self.lengths)

    @property
    def behind(self) -> int:
        """How much is stored behind the cursor."""
        return sum(length for _, length in self.trail)

    @property
    def behind_of(self) -> Counter[Name]:
        """How much is stored behind the cursor, of each agent and kind."""
        total: Counter[Name] = Counter()
        for name, length in self.trail:
            total[name] += length
        return total

    def _count(self, part: Part) -> None:
        name, length = (part.agent, part.kind), measure(part)
        self.lengths[name] = self.lengths.get(name, 0) + length
        self.sequences[part.agent] = part.sequence
        if part.kind in TEXT_KINDS:
            self.chars += length
        elif part.kind == "truncate":
            self.chars -= take_back(part, self.lengths, self.taken)
        elif part.kind == "raw":
            kind = str((part.fields or {}).get("type"))
            self.unknown[kind if kind in self.unknown or len(self.unknown) < UNKNOWN_TYPES else "others"] += 1

    def _follow(self, record: Delta) -> None:
        """Move the cursor, and keep of the trail what is behind it."""
        if record.cursor is None:
            return
        self.cursor = record.cursor
        self.numbers.update(record.cursor.get("numbers") or {})
        trail = self.trail if record.behind else []
        for part in record.parts if record.behind else ():
            name, length = (part.agent, part.kind), measure(part)
            if trail and trail[-1][0] == name:
                length += trail.pop()[1]
            trail.append((name, length))
        surplus = sum(length for _, length in trail) - record.behind
        while surplus > 0:
            name, length = trail.pop(0)
            if length > surplus:
                trail.insert(0, (name, length - surplus))
            surplus -= length
        self.trail = trail

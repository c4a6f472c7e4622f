"""How far a stream has come: what the next part's numbers are, and where the upstream goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbstream.log.readback import records_of
from nbstream.records import TEXT_KINDS, Close, Delta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Cursor, Part, Record





@dataclass(slots=True)
class Progress:
    """The numbers of one stream behind its last record."""

    tail: int = -1
    #: (agent, kind) -> code points of text kinds, or number of parts of the others.
    lengths: dict[tuple[str, str], int] = field(default_factory=dict)
    #: agent -> its last sequence.
    sequences: dict[str, int] = field(default_factory=dict)
    cursor: Cursor | None = None
    behind: int = 0
    #: agent -> the source's own sequence of the last frame recorded.
    numbers: dict[str, int] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None
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
        self.tail += 1
        if isinstance(record, Delta):
            for part in record.parts:
                self.count(part)
            if record.cursor is not None:
                self.cursor, self.behind = record.cursor, record.behind
                self.numbers.update(record.cursor.get("numbers") or {})
        elif isinstance(record, Close):
            self.usage, self.model = record.usage or self.usage, record.model or self.model
        else:
            self.opens += 1

    def count(self, part: Part) -> None:
        """Move behind *part*."""
        name = part.agent, part.kind
        self.lengths[name] = self.lengths.get(name, 0) + (len(part.text) if part.kind in TEXT_KINDS else 1)
        self.sequences[part.agent] = part.sequence

    @property
    def chars(self) -> int:
        """Code points of all agents."""
        return sum(length for (_, kind), length in self.lengths.items() if kind in TEXT_KINDS)

    @property
    def shown(self) -> bool:
        """Has anything been recorded that a reader could see?"""
        return bool(self.lengths)

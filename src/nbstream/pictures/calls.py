"""How many requests a log tells of: one author for the timeline and the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.records import Close, Delta, Open

if TYPE_CHECKING:
    from nbstream.records import Record


class Calls:
    """
    Counts requests to upstreams over the records of one log.

    An `open` is one, and each time the recorder called again by itself. In a team an `open` calls nobody: each agent
    that begins does. What an upstream asks of others is not in the log.
    """

    def __init__(self) -> None:
        #: Requests, those among them that the recorder made again by itself, and `open` records.
        self.made = self.again = self.opens = 0
        #: The last record is no `close`: a writer may be at work.
        self.open = False
        self._team = False
        self._writer = ""

    def joins(self, record: Open) -> bool:
        """Whether *record*, the next one, is of an agent of a team that goes on beside others: it has their writer."""
        return self.open and "agents" in record.source and record.writer == self._writer

    def add(self, record: Record) -> None:
        """Count *record*."""
        if isinstance(record, Open):
            self.opens += 1
            self._team, self._writer = "agents" in record.source, record.writer
            self.made += not self._team
        else:
            told = record.meanwhile
            notes = told if isinstance(told, (list, tuple)) else ()
            again = sum(isinstance(note, dict) and note.get("what") == "called" for note in notes)
            self.again += again
            self.made += again
        if self._team and isinstance(record, Delta):
            # Agents inside one of the team are called "agent/name", and are its upstream's.
            self.made += sum(part.kind == "agent_start" and "/" not in part.agent for part in record.parts)
        self.open = not isinstance(record, Close)

    def __str__(self) -> str:
        """Return the counts in words."""
        made = f"{self.made:,} call{'' if self.made == 1 else 's'}"
        again = f" ({self.again:,} of them {'a reconnection' if self.again == 1 else 'reconnections'})"
        return made + (again if self.again else "")

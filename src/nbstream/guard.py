"""
Which upstream connections nobody wants any more. Pure: whoever looks brings what stands, this decides.

    leaked     its stream has no recorder at work here (or nobody owns it): it outlived its owner
    zombie     its recorder makes no call, or was told to end it, and the connection still stands
    duplicate  its recorder makes a call, and has opened a newer connection for it

A connection may stand for a moment longer than its call, so only what is found at several looks in a row is acted on.
Looks are counted, not seconds: a process that was asleep has looked once, however long it slept.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Fault(str, Enum):
    """What is wrong with a connection. `str`, so that it prints as its name."""

    LEAKED = "leaked"
    ZOMBIE = "zombie"
    DUPLICATE = "duplicate"

    __str__ = str.__str__


class Owned(Protocol):
    """An open connection, equal only to itself."""

    @property
    def owner(self) -> str | None:
        """Id of the stream it was opened for."""

    @property
    def opened_at(self) -> float:
        """Grows with each one."""


C = TypeVar("C", bound=Owned)


@dataclass(frozen=True, slots=True)
class Finding(Generic[C]):
    """A connection to close, and why."""

    connection: C
    fault: Fault


def faults(standing: Iterable[C], calling: Mapping[str, bool]) -> list[Finding[C]]:
    """Return what is wrong with the open connections; *calling*: stream -> whether its recorder makes a call."""
    newest: dict[str | None, C] = {}
    standing = sorted(standing, key=lambda connection: connection.opened_at)
    for connection in standing:
        newest[connection.owner] = connection
    found = []
    for connection in standing:
        owner = connection.owner
        if owner is None or owner not in calling:
            found.append(Finding(connection, Fault.LEAKED))
        elif not calling[owner]:
            found.append(Finding(connection, Fault.ZOMBIE))
        elif connection is not newest[owner]:
            found.append(Finding(connection, Fault.DUPLICATE))
    return found


class Suspicion(Generic[C]):
    """Remembers what was found, and lets through what was found at *looks* looks in a row."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._seen: dict[C, int] = {}

    def confirmed(self, found: Iterable[Finding[C]]) -> list[Finding[C]]:
        """Take in what one look has found; return what is certain by now. What is returned is forgotten."""
        found = list(found)
        seen = {finding.connection: self._seen.get(finding.connection, 0) + 1 for finding in found}
        self._seen = {connection: times for connection, times in seen.items() if times < self._looks}
        return [finding for finding in found if finding.connection not in self._seen]

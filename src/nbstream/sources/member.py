"""
One voice of a team: a source under a name.

What a member says is named after it; what it itself calls an agent becomes "member/agent".
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT
from nbstream.sources.agent import Agent, TeamAtWork
from nbstream.sources.contract import Traits
from nbstream.sources.objects.pump import call_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from nbstream.records import Cursor, Part
    from nbstream.sources.contract import Arrival, Pulse, Source

#: A name stands in every heading and in every part.
NAME_CHARS = 80


class Member:
    """One voice of a team: an `Agent` or a source, under its name."""

    note: str | None = None

    def __init__(self, name: str, given: Agent | Source, crew: TeamAtWork | None = None) -> None:
        self._name, self._given, self._crew = name, given, crew
        #: An agent's source is not known before it is made.
        self._source: Source | None = None if isinstance(given, Agent) else given

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Source.spec`; with it stands whether a cut call may be sent again."""
        return {**self._given.spec, "replayable": self.replayable}

    @property
    def fingerprint(self) -> str | None:
        """See `Source.fingerprint`."""
        return self._given.fingerprint

    @property
    def traits(self) -> Traits:
        """See `Source.traits`."""
        return self._source.traits if self._source else Traits("that of its source", "that of its source", None, "none")

    @property
    def replayable(self) -> bool:
        """See `Source.replayable`."""
        return self._source is not None and self._source.replayable

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        """Make the source if need be, and yield what arrives under the name of this member."""
        source = await self._made()
        async with aclosing(source.connect(cursor, pulse)) as arrivals:
            async for arrival in arrivals:
                self.note = source.note
                yield arrival._replace(parts=tuple(map(self._named, arrival.parts))) if arrival.parts else arrival

    async def cancel(self, cursor: Cursor | None) -> None:
        """See `Source.cancel`."""
        if self._source is not None:
            await self._source.cancel(cursor)

    def _named(self, part: Part) -> Part:
        """Return *part* as the team has it: whatever names an agent in it means one inside this member."""
        parent = (part.fields or {}).get("parent") if part.kind == "agent_start" else None
        if isinstance(parent, str):
            part = part._replace(fields={**(part.fields or {}), "parent": self._inside(parent)})
        return part._replace(agent=self._inside(part.agent))

    def _inside(self, agent: str) -> str:
        # One that it calls by the member's own name is another one all the same: both may count their frames from 1.
        return self._name if agent == ASSISTANT else f"{self._name}/{agent}"

    async def _made(self) -> Source:
        if isinstance(self._given, Agent) and self._source is None:
            from nbstream.sources import as_source

            assert self._crew is not None  # noqa: S101 - whoever connects it has one
            made = await call_in_thread(partial(self._given.make, self._crew))
            try:
                self._source = as_source(made)
            except TypeError as exc:
                raise SourceRefused(f"agent {self._name}: its function returned {type(made).__name__}: {exc}") from exc
        assert self._source is not None  # noqa: S101 - what is no `Agent` is a source
        return self._source


def check_name(name: Any) -> None:
    """Raise `ValueError` for what cannot be an agent's name."""
    if type(name) is not str or not 0 < len(name) <= NAME_CHARS or not name.isprintable() or "/" in name:
        raise ValueError(f'agent {name!r}: a name has 1 to {NAME_CHARS} printable characters and no "/"')

"""
One agent of a team: a source under a name, or a function that makes one when its turn comes.

What a member says is named after it; what it itself calls an agent (frames `agent_output`) becomes "member/agent".
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT
from nbstream.sources.contract import Arrival, Traits
from nbstream.sources.digest import digest_of
from nbstream.sources.pump import call_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from nbstream.records import Cursor
    from nbstream.sources.contract import Pulse, Source

#: A name stands in every heading and in every part.
NAME_CHARS = 80


class TeamAtWork(Protocol):
    """The team at work, as an `Agent`'s function sees it. From any thread."""

    def __getitem__(self, name: str) -> str:
        """Return the text of another agent, as far as it is saved."""

    def spawn(self, name: str, source: Any, *, parent: str | None = None, wait_for: Iterable[str] = ()) -> None:
        """Let a further agent begin, a child of *parent*. One of this name that is complete is left as it is."""


class Agent:
    """
    An agent whose source is made when its turn comes.

    *make* gets the team at work: `team["planner"]` is the text of another agent, `team.spawn(name, source)` lets a
    further one begin. It returns anything that can be streamed. A resumed agent is made again from the same texts.
    """

    def __init__(self, make: Callable[[TeamAtWork], Any]) -> None:
        if not callable(make):
            raise TypeError(f"Agent({type(make).__name__}): give a function of the team that returns a source")
        self.make = make
        self._digest = digest_of(make)
        self._name = getattr(make, "__qualname__", type(make).__qualname__)

    @property
    def spec(self) -> Mapping[str, Any]:
        """Describe it to the log: only the cell that made it can make it again."""
        return {"kind": "object" if self._digest is None else "factory", "type": self._name}

    @property
    def fingerprint(self) -> str | None:
        """Name and digest of its function; None if that reads what has no digest."""
        return None if self._digest is None else f"agent:{self._name}:{self._digest}"


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
                if arrival.parts:
                    named = tuple(part._replace(agent=self._renamed(part.agent)) for part in arrival.parts)
                    yield arrival._replace(parts=named)
                else:
                    yield arrival

    async def cancel(self, cursor: Cursor | None) -> None:
        """See `Source.cancel`."""
        if self._source is not None:
            await self._source.cancel(cursor)

    def _renamed(self, agent: str) -> str:
        return self._name if agent in (ASSISTANT, self._name) else f"{self._name}/{agent}"

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


class Gone:
    """A source that only its cell can make again: the log knows its description, and no more."""

    note: str | None = None
    replayable = False
    fingerprint: str | None = None
    traits = Traits("none", "none", None, "none")

    def __init__(self, spec: Mapping[str, Any], why: str) -> None:
        self.spec, self._why = spec, why

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:  # noqa: ARG002
        """Refuse."""
        if self._why:
            raise SourceRefused(self._why)
        yield Arrival()

    async def cancel(self, cursor: Cursor | None) -> None:
        """Do nothing."""


def check_name(name: Any) -> None:
    """Raise `ValueError` for what cannot be an agent's name."""
    if type(name) is not str or not 0 < len(name) <= NAME_CHARS or not name.isprintable() or "/" in name:
        raise ValueError(f'agent {name!r}: a name has 1 to {NAME_CHARS} printable characters and no "/"')

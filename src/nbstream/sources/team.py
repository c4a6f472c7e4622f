"""
Several agents in one stream: each a voice with a source, retries, a stop and an end of its own.

A `Team` is what `merge` returns. It is no iterator: the recorder calls its members one by one, so that one that is cut,
stopped or refused leaves the others alone. A member's output is named after it; what a member itself calls an agent
(frames `agent_output`) becomes "member/agent".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT
from nbstream.sources.contract import Arrival, Traits
from nbstream.sources.digest import digest_of
from nbstream.sources.pump import call_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

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


class Team:
    """
    Agents by name, and how they run together. Made by `merge`.

    It passes for a source wherever one is described; whoever records it takes its members.
    """

    note: str | None = None
    traits = Traits("the end marks of all agents", "that of each agent", None, "cursor", cancel="that of each agent")

    def __init__(
        self,
        agents: Mapping[str, Agent | Source],
        *,
        limit: int | None = None,
        wait_for: Mapping[str, tuple[str, ...]] | None = None,
        parents: Mapping[str, str] | None = None,
        fail_fast: bool = False,
    ) -> None:
        self.agents, self.limit = dict(agents), limit
        self.wait_for, self.parents, self.fail_fast = dict(wait_for or {}), dict(parents or {}), fail_fast

    def __repr__(self) -> str:
        return f"<team of {', '.join(self.agents)}>"

    @property
    def spec(self) -> Mapping[str, Any]:
        """Describe every agent; a team that nobody can recognise is an object to the log, like its members."""
        return {
            "kind": "object" if self.fingerprint is None else "team",
            "title": ", ".join(self.agents),
            "agents": {name: Member(name, given).spec for name, given in self.agents.items()},
            **self.rules,
        }

    @property
    def fingerprint(self) -> str | None:
        """Equal exactly if every agent asks the same; None if one of them cannot be told from its like."""
        prints = {name: given.fingerprint for name, given in self.agents.items()}
        if None in prints.values():
            return None
        return hashlib.sha256(json.dumps([prints, self.rules], sort_keys=True).encode()).hexdigest()

    @property
    def gone(self) -> list[str]:
        """Agents that cannot be made again from what the log knows."""
        return [name for name, given in self.agents.items() if isinstance(given, Gone)]

    @property
    def replayable(self) -> bool:
        """Whether every agent's call may be sent again."""
        return all(Member(name, given).replayable for name, given in self.agents.items())

    def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:  # noqa: ARG002
        """Raise: a team is not called as one."""
        raise TypeError("a team is recorded agent by agent")

    async def cancel(self, cursor: Cursor | None) -> None:
        """Do nothing: each agent is told for itself."""

    def of_agents(self, agents: Mapping[str, Agent | Source]) -> Team:
        """Return a team with the same rules and other agents."""
        return Team(agents, limit=self.limit, wait_for=self.wait_for, parents=self.parents, fail_fast=self.fail_fast)

    @property
    def rules(self) -> dict[str, Any]:
        """How they run together, as far as it is not the usual."""
        rules = {
            "limit": self.limit, "wait_for": {name: list(others) for name, others in self.wait_for.items()},
            "parents": self.parents, "fail_fast": self.fail_fast,
        }  # fmt: skip
        return {name: rule for name, rule in rules.items() if rule}


def merge(
    agents: Mapping[str, Any] | None = None,
    /,
    *,
    limit: int | None = None,
    wait_for: Mapping[str, Iterable[str]] | None = None,
    parents: Mapping[str, str] | None = None,
    fail_fast: bool = False,
    **more: Any,
) -> Team:
    """
    Let several agents speak in one stream: `merge(planner=source, reporter=Agent(lambda team: ...))`.

    Args:
        agents: Agents whose names are no Python names; the others are given by keyword. Each is a source, anything that
            can be streamed, or an `Agent` whose source is made when its turn comes.
        limit: How many run at a time; the others wait in their order, and say so. None: as many as the notebook may.
        wait_for: `{"reporter": ["planner"]}`: who begins only when those are complete.
        parents: `{"helper": "planner"}`: whose child an agent is, for who shows them.
        fail_fast: One that fails interrupts the others. By default they go on.
        more: Agents by name.
    """
    from nbstream.sources import as_source

    given = {**(agents or {}), **more}
    if not given:
        raise ValueError("merge() needs an agent: merge(planner=nbstream.chat(...), ...)")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"limit={limit!r}: a number of agents from 1 on, or None")
    made: dict[str, Agent | Source] = {}
    for name, one in given.items():
        check_name(name)
        if isinstance(one, Team):
            raise TypeError(f"agent {name}: a team in a team; give all agents to one merge, with parents=")
        made[name] = one if isinstance(one, Agent) else as_source(one)
    after = {name: tuple(others) for name, others in (wait_for or {}).items()}
    _check_order(made, after)
    for name, parent in (parents or {}).items():
        if name not in made or parent not in made:
            raise ValueError(f"parents: {name if name not in made else parent} is none of the agents")
    return Team(made, limit=limit, wait_for=after, parents=parents, fail_fast=fail_fast)


def check_name(name: Any) -> None:
    """Raise `ValueError` for what cannot be an agent's name."""
    if type(name) is not str or not 0 < len(name) <= NAME_CHARS or not name.isprintable() or "/" in name:
        raise ValueError(f'agent {name!r}: a name has 1 to {NAME_CHARS} printable characters and no "/"')


def of_spec(spec: Mapping[str, Any], source: Callable[[Mapping[str, Any]], Source]) -> Team:
    """Make the team again that the log describes; *source* makes one agent's, or raises `SourceRefused`."""
    agents: dict[str, Agent | Source] = {}
    for name, one in spec["agents"].items():
        agents[name] = again(one, source)
    after = {name: tuple(others) for name, others in (spec.get("wait_for") or {}).items()}
    return Team(
        agents, limit=spec.get("limit"), wait_for=after, parents=spec.get("parents"),
        fail_fast=bool(spec.get("fail_fast")),
    )  # fmt: skip


def again(spec: Mapping[str, Any], source: Callable[[Mapping[str, Any]], Source]) -> Source:
    """Make one agent's source again; one that cannot be made refuses when it is called, and not before."""
    try:
        return source(spec)
    except SourceRefused as exc:
        return Gone(spec, str(exc))


def _check_order(agents: Mapping[str, Any], after: Mapping[str, tuple[str, ...]]) -> None:
    """Raise `ValueError` for agents that wait for nobody, or for each other."""
    for name, others in after.items():
        for one in (name, *others):
            if one not in agents:
                raise ValueError(f"wait_for: {one!r} is none of the agents")
    left = set(agents)
    while ready := {name for name in left if not left & set(after.get(name, ()))}:
        left -= ready
    if left:
        raise ValueError(f"wait_for: {', '.join(sorted(left))} would wait for each other for ever")

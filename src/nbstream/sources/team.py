"""
Several agents in one stream: each a voice with a source, retries, a stop and an end of its own.

A `Team` is what `merge` returns. It is no iterator: the recorder calls its members one by one, so that one that is cut,
stopped or refused leaves the others alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.sources.agent import Agent
from nbstream.sources.contract import Arrival, Traits
from nbstream.sources.gone import Gone
from nbstream.sources.member import Member, check_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from nbstream.records import Cursor
    from nbstream.sources.contract import Pulse, Source


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
        if isinstance(one, str):
            raise TypeError(f"agent {name}: give a source, not a prompt: merge({name}=nbstream.chat('...'))")
        try:
            made[name] = one if isinstance(one, Agent) else as_source(one)
        except TypeError as exc:
            raise TypeError(f"agent {name}: {exc}") from None
    after = {name: tuple(others) for name, others in (wait_for or {}).items()}
    _check_order(made, after)
    for name, parent in (parents or {}).items():
        if name not in made or parent not in made:
            raise ValueError(f"parents: {name if name not in made else parent} is none of the agents")
    return Team(made, limit=limit, wait_for=after, parents=parents, fail_fast=fail_fast)


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

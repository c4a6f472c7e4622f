"""The team at work, as the functions of its agents see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nbstream.log.readback import parts_of
from nbstream.sources import as_source
from nbstream.sources.agent import Agent
from nbstream.sources.member import check_name
from nbstream.sources.team import Team
from nbstream.transcript import AgentText

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from nbstream.log.contract import Log
    from nbstream.recorder.turns import Turns
    from nbstream.sources.contract import Source


class Seat:
    """
    A `TeamAtWork` over *log*. Made on the loop of the crew; used from any thread.

    *agents* are those there are; *begin* lets a further one begin, on the loop, in its turn of *turns*.
    """

    def __init__(
        self,
        log: Log,
        agents: Container[str],
        turns: Turns,
        begin: Callable[[str, Agent | Source, str | None], None],
    ) -> None:
        self._log, self._agents, self._turns, self._begin = log, agents, turns, begin
        self._loop = asyncio.get_running_loop()

    def __getitem__(self, name: str) -> str:
        """See `TeamAtWork`: what its readers see, so without what was taken back and with what came late."""
        if name not in self._agents:
            raise KeyError(name)
        said = AgentText(name)
        for part in parts_of(self._log):
            if part.agent == name:
                said.add(part)
        return said.text

    def spawn(self, name: str, source: Any, *, parent: str | None = None, wait_for: Iterable[str] = ()) -> None:
        """See `TeamAtWork`. Raises at once for what makes no sense; what is spawned behind a stop is stopped."""
        check_name(name)
        if isinstance(source, Team):
            raise TypeError(f"spawn({name!r}): a team in a team; spawn its agents one by one, with parent=")
        given = source if isinstance(source, Agent) else as_source(source)
        after = tuple(wait_for)
        for one in (*after, *([parent] if parent else [])):
            # One that was spawned just now has its turn, and begins in a moment.
            if one not in self._agents and one not in self._turns:
                raise ValueError(f"spawn({name!r}): {one!r} is none of the agents")
        self._turns.put(name, after)
        self._loop.call_soon_threadsafe(self._begin, name, given, parent)

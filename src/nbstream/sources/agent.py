"""An agent whose source is a function of the team, made when its turn comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nbstream.sources.objects.digest import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


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

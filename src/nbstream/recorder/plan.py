"""
Which agents of a team go on when its stream is resumed. Pure: whoever resumes brings what is stored.

| agent ended | the whole is resumed, or its cell run again | this agent is resumed |
|---|---|---|
| complete | never called again | never called again |
| stopped | left alone, unless the whole was stopped | goes on |
| interrupted, failed, not begun | goes on | goes on |

None of them where that would repeat text or money, or where its source cannot be made here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from nbstream.sources import from_spec
from nbstream.sources.gone import Gone
from nbstream.sources.member import Member
from nbstream.sources.team import again
from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.recorder.progress import Progress, Track
    from nbstream.sources.agent import Agent
    from nbstream.sources.contract import Source
    from nbstream.sources.team import Team


class Plan(NamedTuple):
    """What becomes of the agents of a team."""

    #: Those that are called.
    called: frozenset[str]
    #: Those that were stopped by a process that could not record it any more.
    stopped: frozenset[str]


def agents_of(team: Team, progress: Progress) -> dict[str, Agent | Source]:
    """Return the agents of *team*, and those that were spawned, as far as they can be made again."""
    spawned = {
        name: again(track.spec, from_spec)
        for name, track in progress.voices.items()
        if name not in team.agents and track.spec is not None
    }
    return {**team.agents, **spawned}


def plan(
    team: Team, progress: Progress, *, agent: str | None, was_stopped: bool, stopped: Callable[[str], bool]
) -> Plan:
    """
    Return who goes on behind *progress*.

    *agent* asks for that one, None for all. *was_stopped*: the stream as a whole is stopped. *stopped* says whether a
    stop row stands for an agent.
    """
    agents = agents_of(team, progress)
    states = {name: state_of(progress.voices.get(name), partial(stopped, name)) for name in agents}
    asked = going_on(states, agent, was_stopped=was_stopped)
    called = frozenset(name for name in asked if may_call(name, agents[name], progress.voices.get(name)))
    unsaid = (name for name in agents if states[name] is State.STOPPED and not _says_so(progress.voices.get(name)))
    return Plan(called, frozenset(unsaid) - called)


def going_on(states: Mapping[str, State], agent: str | None, *, was_stopped: bool = False) -> list[str]:
    """Return which of the agents that stand so go on, as the table says: *agent* asks for that one, None for all."""
    if agent is not None:
        return [name for name, state in states.items() if name == agent and state is not State.COMPLETE]
    unfinished = {State.INTERRUPTED, State.FAILED} | ({State.STOPPED} if was_stopped else set())
    return [name for name, state in states.items() if state in unfinished]


def state_of(track: Track | None, stopped: Callable[[], bool]) -> State:
    """
    Return how an agent stands at rest: as its `agent_end` says, else interrupted.

    One that is interrupted does not go on once it is *stopped*: once a stop row stands for it.
    """
    state = State(track.ended["status"]) if track is not None and track.ended is not None else State.INTERRUPTED
    return State.STOPPED if state is State.INTERRUPTED and stopped() else state


def may_call(name: str, given: Agent | Source, track: Track | None) -> bool:
    """Whether an agent can be called behind *track*: that repeats neither text nor money, and it can be made here."""
    if isinstance(given, Gone):
        return False
    return track is None or track.can_go_on(replayable=Member(name, given).replayable)


def _says_so(track: Track | None) -> bool:
    return track is not None and track.ended is not None and track.ended["status"] == State.STOPPED

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
from nbstream.sources.member import Gone, Member
from nbstream.sources.team import again
from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.recorder.progress import Progress, Track
    from nbstream.sources.contract import Source
    from nbstream.sources.member import Agent
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
    if agent is not None:
        asked = [name for name in agents if name == agent and states[name] is not State.COMPLETE]
    else:
        again_too = {State.STOPPED} if was_stopped else set()
        asked = [name for name in agents if states[name] in {State.INTERRUPTED, State.FAILED} | again_too]
    called = frozenset(name for name in asked if _goes_on(name, agents[name], progress.voices.get(name)))
    unsaid = (name for name in agents if states[name] is State.STOPPED and not _ended(progress.voices.get(name)))
    return Plan(called, frozenset(unsaid) - called)


def state_of(track: Track | None, stopped: Callable[[], bool]) -> State:
    """Return how an agent stands at rest: as its `agent_end` says, else *stopped* if a stop row stands for it."""
    if track is not None and track.ended is not None:
        return State(track.ended["status"])
    return State.STOPPED if stopped() else State.INTERRUPTED


def _ended(track: Track | None) -> bool:
    return track is not None and track.ended is not None


def _goes_on(name: str, given: Agent | Source, track: Track | None) -> bool:
    if isinstance(given, Gone):
        return False
    return track is None or not track.shown or track.cursor is not None or Member(name, given).replayable

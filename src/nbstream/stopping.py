"""Stopping what a user names on a line: a stream, or one agent of its team, and how that stands then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream import words
from nbstream.waiting import until

if TYPE_CHECKING:
    from nbstream.stream import Stream

#: Whoever records a stream looks for a stop every 250 ms; who does not answer in this time does not answer.
STOP_S = 5.0


def agent_of(stream: Stream, name: str) -> str:
    """Return the agent of this name; `ValueError` where a command that means one would be about all."""
    agents = stream.agent_facts()
    if name not in agents:
        known = f"its agents are {', '.join(agents)}" if agents else "it is no team, leave the agent out"
        raise ValueError(f"stream {stream.id} has no agent {name!r}: {words.plain(known)}")
    return name


def stop_agent(stream: Stream, name: str) -> words.Facts:
    """Stop one agent and return how it stands, at rest unless nobody answers; the others go on."""
    agent = agent_of(stream, name)
    stream.stop(agent)
    until(stream, lambda: not stream.agent_facts()[agent].state.live, STOP_S)
    return stream.agent_facts()[agent]

"""The function of an `Agent`, asked for its source: what goes wrong in it is told in one line."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused, StreamError
from nbstream.sources.objects.raised import error_of
from nbstream.sources.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.sources.agent import Agent, TeamAtWork


def told(agent: Agent, name: str, stream: str) -> Agent:
    """Return *agent* with a function that names itself and *stream* in every error."""
    named = copy(agent)
    named.make = partial(_made, agent.make, f"stream {stream}, agent {name}")
    return named


def _made(make: Callable[[TeamAtWork], Any], who: str, team: TeamAtWork) -> Any:
    again = "correct it and run the cell again"
    try:
        made = make(team)
    except StreamError:
        raise
    except Exception as exc:
        # What kind of error it is (a limit of an SDK's server, say) decides whether it is asked again.
        error = error_of(exc)
        error.args = (f"{who}: its function {str(error).removeprefix('the iterator ')}; {again}",)
        raise error from exc
    if isinstance(made, Team):
        raise SourceRefused(f"{who}: its function returned a team; spawn the agents of that with `team.spawn`: {again}")
    return made

"""
The states of a stream and the one table that moves between them.

    connecting -> streaming -> complete (final)
    lost -> retrying, only where it cannot repeat text or money; else cut -> interrupted at once
    silent -> stalled: the user is asked (Keep waiting / Resume / Stop); new data ends it, never a retry by itself
    stop from any live state -> stopped;  refused -> failed;  the lease is over (left) -> interrupted
    stopped, interrupted, failed --resume--> connecting (the same stream)

What the table lacks is a programming error and raises, except that stopping something at rest changes nothing.
"""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Where a stream is. `str`, so that it prints and compares as its name."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    RETRYING = "retrying"
    STALLED = "stalled"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    COMPLETE = "complete"

    __str__ = str.__str__

    @property
    def live(self) -> bool:
        """Whether a recorder is at work."""
        return self in LIVE


class Event(Enum):
    """What can happen to a stream."""

    OPENED = "the upstream accepted the call"
    DELTA = "output arrived"
    FINISHED = "the source's own end mark"
    LOST = "the connection is gone and the call may be sent again"
    CUT = "the connection is gone and sending again would repeat text or money"
    EXHAUSTED = "all tries are used up"
    SILENT = "nothing came for too long"
    KEEP = "the user keeps waiting"
    REFUSED = "the upstream said no"
    RESUME = "somebody wants to go on behind the last record"
    STOP = "the user's stop"
    LEFT = "nobody holds the stream any more"


LIVE = frozenset({State.CONNECTING, State.STREAMING, State.RETRYING, State.STALLED})

_S, _E = State, Event
_ENDINGS = {_E.REFUSED: _S.FAILED, _E.STOP: _S.STOPPED, _E.LEFT: _S.INTERRUPTED}
_CALL = {
    _E.DELTA: _S.STREAMING,
    _E.FINISHED: _S.COMPLETE,
    _E.LOST: _S.RETRYING,
    _E.CUT: _S.INTERRUPTED,
    **_ENDINGS,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.CONNECTING: {**_CALL, _E.OPENED: _S.STREAMING, _E.SILENT: _S.STALLED},
    _S.STREAMING: {**_CALL, _E.SILENT: _S.STALLED},
    _S.STALLED: {**_CALL, _E.KEEP: _S.STREAMING, _E.RESUME: _S.CONNECTING, _E.OPENED: _S.STREAMING},
    _S.RETRYING: {_E.OPENED: _S.STREAMING, _E.LOST: _S.RETRYING, _E.CUT: _S.INTERRUPTED, _E.EXHAUSTED: _S.INTERRUPTED,
                  _E.SILENT: _S.STALLED, **_ENDINGS},
    _S.STOPPED: {_E.RESUME: _S.CONNECTING, _E.STOP: _S.STOPPED},
    _S.INTERRUPTED: {_E.RESUME: _S.CONNECTING, _E.STOP: _S.STOPPED},
    _S.FAILED: {_E.RESUME: _S.CONNECTING, _E.STOP: _S.FAILED},
    _S.COMPLETE: {_E.STOP: _S.COMPLETE},
}  # fmt: skip


def step(state: State, event: Event) -> State:
    """Return the state after *event*; an event that *state* does not know raises `ValueError`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        msg = f"a stream that is {state} cannot take the event {event.name} ({event.value})"
        raise ValueError(msg) from None

"""The one table that moves a stream between its states."""

import pytest

from nbstream.state import LIVE, TRANSITIONS, Event, State, step

C, S, R, L = State.CONNECTING, State.STREAMING, State.RETRYING, State.STALLED
P, X, F, D = State.STOPPED, State.INTERRUPTED, State.FAILED, State.COMPLETE
E = Event

ALLOWED = {
    C: {E.OPENED: S, E.DELTA: S, E.FINISHED: D, E.LOST: R, E.CUT: X, E.SILENT: L, E.REFUSED: F, E.STOP: P, E.LEFT: X},
    S: {E.DELTA: S, E.FINISHED: D, E.LOST: R, E.CUT: X, E.SILENT: L, E.REFUSED: F, E.STOP: P, E.LEFT: X},
    R: {E.OPENED: S, E.LOST: R, E.CUT: X, E.EXHAUSTED: X, E.SILENT: L, E.REFUSED: F, E.STOP: P, E.LEFT: X},
    L: {E.OPENED: S, E.DELTA: S, E.KEEP: S, E.FINISHED: D, E.LOST: R, E.CUT: X, E.REFUSED: F, E.RESUME: C, E.STOP: P,
        E.LEFT: X},
    P: {E.RESUME: C, E.STOP: P},
    X: {E.RESUME: C, E.STOP: P},
    F: {E.RESUME: C, E.STOP: F},
    D: {E.STOP: D},
}  # fmt: skip


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("state", State, ids=str)
def test_every_pair_of_state_and_event_is_decided(state, event):
    """What the table lacks raises and names both; everything else leads where the design says."""
    wanted = ALLOWED[state].get(event)
    if wanted is None:
        with pytest.raises(ValueError, match=f"{state} cannot take the event {event.name}"):
            step(state, event)
    else:
        assert step(state, event) is wanted


def test_complete_is_final():
    """No event leads out of complete."""
    assert set(TRANSITIONS[State.COMPLETE].values()) == {State.COMPLETE}


def test_only_the_end_mark_makes_complete():
    """Complete means complete: no other event leads there."""
    leading = {event for state in LIVE for event, to in TRANSITIONS[state].items() if to is State.COMPLETE}
    assert leading == {Event.FINISHED}


@pytest.mark.parametrize("state", sorted(LIVE), ids=str)
def test_stop_ends_every_live_state(state):
    """Stop means stop, wherever the stream is."""
    assert step(state, Event.STOP) is State.STOPPED


@pytest.mark.parametrize("state", sorted(set(State) - LIVE), ids=str)
def test_stop_at_rest_never_starts_anything(state):
    """Stop pressed at rest leads to no live state."""
    assert not step(state, Event.STOP).live


def test_a_state_is_its_name():
    """States print and compare as their names."""
    assert f"{State.STREAMING}" == "streaming" == State.STREAMING

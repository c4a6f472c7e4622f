"""What running a cell again means: each row of the table in README and DESIGN is a test."""

import itertools
import json
from dataclasses import replace

import pytest

from nbstream.log.contract import Status
from nbstream.records import Close, Open
from nbstream.rerun import Act, Ask, decide, left_behind

SAME = Ask("print 1")
EDITED = Ask("print 2")


def found(how=None, *, live=False, stop=False, text=True, fingerprint="print 1"):
    """A stream under the cell's key: `how` it was closed, or None for no close record."""
    close = Close(how, 2.0) if how else None
    opening = Open("s1", "cell", "new", {}, fingerprint, "pid 1", "host", "boot", 1.0)
    tail = (2 if text else 0) + (close is not None)
    return Status("s1", opening, 0, tail, close, live, stop, 1.0, 1.0)


LIVE = found(live=True)
KILLED = found()
INTERRUPTED = found("interrupted")
COMPLETE = found("complete")


def test_nothing_under_the_key():
    """A cell that was never run starts a stream."""
    assert decide(None, SAME, held_here=False) is Act.NEW


@pytest.mark.parametrize("held_here", [True, False])
def test_live_is_attached_to(held_here):
    """Live, same question: attach, no second call, whoever holds it."""
    assert decide(LIVE, SAME, held_here=held_here) is Act.ATTACH


@pytest.mark.parametrize(
    "status",
    [KILLED, INTERRUPTED, found("failed"), found(text=False), found("interrupted", text=False)],
    ids=["killed", "interrupted", "failed after text", "killed before text", "interrupted before text"],
)
def test_interrupted_is_resumed(status):
    """Interrupted (also by SIGKILL), or failed after some text, same question: resume."""
    assert decide(status, SAME, held_here=False) is Act.RESUME


def test_complete_is_shown_after_a_restart():
    """Complete, first run since this kernel started: the saved answer, no call. Restart + Run All costs nothing."""
    assert decide(COMPLETE, SAME, held_here=False) is Act.SAVED


def test_complete_can_be_asked_anew_after_a_restart():
    """`%config NbStream.rerun = "new"` switches showing saved answers off."""
    assert decide(COMPLETE, Ask("print 1", keep_complete=False), held_here=False) is Act.NEW


@pytest.mark.parametrize(
    ("status", "first_run"),
    [(COMPLETE, False), (found("stopped"), True), (found("stopped"), False), (found(stop=True), True),
     (found("failed", text=False), True)],
    ids=["complete again", "stopped, after a restart", "stopped", "killed after Stop", "failed before any text"],
)  # fmt: skip
def test_what_has_ended_is_asked_anew(status, first_run):
    """Complete (again in the same kernel), stopped, failed before any text: a new stream, the old one is kept."""
    assert decide(status, Ask("print 1", first_run=first_run), held_here=False) is Act.NEW


@pytest.mark.parametrize(
    ("status", "held_here", "act"),
    [
        (LIVE, True, Act.REPLACE),
        (LIVE, False, Act.NEW),  # another kernel's: left alone
        (KILLED, False, Act.REPLACE),  # a dead one: stopped for good first
        (INTERRUPTED, False, Act.REPLACE),
        (COMPLETE, False, Act.NEW),
        (found("stopped"), False, Act.NEW),
        (found("failed"), False, Act.NEW),
    ],
)
def test_an_edited_prompt_is_a_new_stream(status, held_here, act):
    """Another question: a new stream; a live old one of ours or a dead one is stopped first."""
    assert decide(status, EDITED, held_here=held_here) is act


@pytest.mark.parametrize(("status", "held_here", "act"), [
    (LIVE, True, Act.REPLACE), (LIVE, False, Act.NEW), (INTERRUPTED, False, Act.REPLACE), (COMPLETE, False, Act.NEW),
])  # fmt: skip
def test_an_object_is_always_a_new_stream(status, held_here, act):
    """A Python object has no fingerprint: each run is a new stream, the live old one is stopped."""
    assert decide(status, Ask(None), held_here=held_here) is act


def test_an_object_is_not_taken_for_another():
    """Two objects without fingerprints are two questions, though the log has the same (empty) word for both."""
    assert decide(found("complete", fingerprint=""), Ask(None), held_here=False) is Act.NEW
    assert decide(found(live=True, fingerprint=""), Ask(None), held_here=True) is Act.REPLACE


@pytest.mark.parametrize("how", ["complete", "stopped", "interrupted", "failed", None])
def test_replay_makes_no_call(how):
    """`--replay` shows the saved stream without a call, however it ended."""
    assert decide(found(how), Ask("print 1", replay=True), held_here=False) is Act.SAVED


def test_replay_of_a_live_stream_reads_along():
    """`--replay` of a live stream reads it."""
    assert decide(LIVE, Ask("print 1", replay=True), held_here=True) is Act.ATTACH


def test_fresh_always_asks_anew():
    """`--fresh` never attaches, resumes or shows what is saved."""
    states = [
        found(how, live=live) for how, live in itertools.product(["complete", "stopped", "failed", None], [False])
    ]
    for status in [*states, LIVE]:
        for held_here in (True, False):
            assert decide(status, Ask("print 1", fresh=True), held_here=held_here) in (Act.NEW, Act.REPLACE)


HERE, THERE = json.dumps(["/a.ipynb", "cell:1", 0]), json.dumps(["/b.ipynb", "cell:1", 0])


@pytest.mark.parametrize(
    ("key", "exists", "offered"),
    [
        (json.dumps(["/a.ipynb", "cell:2", 0]), True, True),
        (THERE, False, True),
        (THERE, True, False),
        (json.dumps(["/b.ipynb", "cell:2", 0]), False, False),
    ],
)
def test_what_was_left_behind_is_offered(key, exists, offered):
    """The same question, left interrupted elsewhere in the notebook or in the same cell of one that is gone."""
    left = found()
    left = replace(left, open=replace(left.open, key=key))
    ask = Ask(left.open.fingerprint)
    assert left_behind(left, HERE, ask, exists=lambda _: exists) is offered
    assert not left_behind(left, HERE, Ask("print 2"), exists=lambda _: exists)
    assert not left_behind(left, HERE, Ask(None), exists=lambda _: exists)
    stopped = replace(left, stop_requested=True)
    assert not left_behind(stopped, HERE, ask, exists=lambda _: exists)
    turn = replace(left, open=replace(left.open, turn={"conversation": "talk"}))
    assert not left_behind(turn, HERE, ask, exists=lambda _: exists), "it belongs to its place in its conversation"

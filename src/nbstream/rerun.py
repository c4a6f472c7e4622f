"""
What running a cell again means: one decision table over what the store holds under the cell's key.

| found under the key | running the cell again does |
|---|---|
| live, same fingerprint | attach: no second call |
| interrupted, or failed after some text, same fingerprint | resume |
| complete, first run since this kernel started, or no page has shown its end yet | show the saved answer |
| complete (again), stopped, failed before any text | new stream |
| other fingerprint | new stream; the old one is stopped first if this kernel or nobody holds it |
| damaged beyond telling what it was | an error that says so; new stream with `--fresh` and for a Python object |
| nothing | new stream, unless the same question was left interrupted elsewhere: then that one is offered |

What cannot be resumed is shown as it is saved, to be continued by a new generation if that is asked for; with
`auto_continue` it is.

A Python object has no fingerprint and its call was made before we saw it: each run is a new stream.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.log.contract import Status


class Act(Enum):
    """What to do with the stream found under the key."""

    NEW = "start a new stream"
    REPLACE = "stop the old stream, then start a new one"
    ATTACH = "read the live stream; no second call"
    RESUME = "go on behind the last record"
    SAVED = "show the saved answer; no call"
    OFFER = "show what was left interrupted under another key, with Resume and Regenerate; no call"


@dataclass(frozen=True, slots=True)
class Ask:
    """What the user asks for by running the cell: the source's *fingerprint* and the options."""

    fingerprint: str | None
    #: `--fresh`: always ask anew.
    fresh: bool = False
    #: `--replay`: show what is saved, without a call.
    replay: bool = False
    #: Somebody can press a button: what was left interrupted elsewhere may be offered.
    offers: bool = False
    #: No cell of this key ran before in this kernel.
    first_run: bool = True
    #: `%config NbStream.rerun = "new"` switches showing saved answers off.
    keep_complete: bool = True

    @property
    def anew(self) -> bool:
        """Whether it is a new stream whatever the store holds."""
        return self.fresh or (self.fingerprint is None and not self.replay)


def left_behind(interrupted: Status, key: str, ask: Ask, *, exists: Callable[[str], bool]) -> bool:
    """
    Say whether *interrupted* may be offered to a cell under *key*, whose own key names nothing.

    It must ask the same question, from another place of the same notebook, or from the same cell of a notebook that is
    gone (renamed, moved): *exists* says whether a notebook is there.
    """
    if ask.fingerprint is None or interrupted.open.fingerprint != ask.fingerprint:
        return False
    if interrupted.state is not State.INTERRUPTED or interrupted.open.turn is not None:
        return False  # a turn belongs to its place in its conversation
    (scope, name, _), (other_scope, other_name, _) = json.loads(key), json.loads(interrupted.open.key)
    return other_scope == scope or (name == other_name and name.startswith("cell:") and not exists(other_scope))


def decide(found: Status | None, ask: Ask, *, held_here: bool) -> Act:  # noqa: PLR0911 - a return a row
    """
    Return what to do.

    *held_here*: this kernel's recorder is the live writer of *found*.
    """
    if found is None:
        return Act.NEW
    same = ask.fingerprint is not None and found.open.fingerprint == ask.fingerprint
    state = found.state
    if ask.replay:
        return Act.ATTACH if state.live else Act.SAVED
    if ask.fresh or not same:
        ours = held_here if state.live else state is State.INTERRUPTED
        return Act.REPLACE if ours else Act.NEW
    if state.live:
        return Act.ATTACH
    if state is State.INTERRUPTED or (state is State.FAILED and found.has_text):
        return Act.RESUME
    if state is State.COMPLETE and ask.first_run and ask.keep_complete:
        return Act.SAVED
    return Act.NEW

"""What several agents come to together: while they work, in numbers, and each one's end as a record says it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nbstream.recorder.ending import error_json
from nbstream.recorder.live import Live
from nbstream.records import Close
from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nbstream.recorder.ending import Outcome
    from nbstream.recorder.progress import Track
    from nbstream.recorder.voice import Voice
    from nbstream.records import Finish, How

#: The order in which states apply to the whole: while any agent works, and at rest.
WORKING = (State.STREAMING, State.RETRYING, State.STALLED, State.CONNECTING)
ENDINGS = (State.INTERRUPTED, State.FAILED, State.STOPPED, State.COMPLETE)


def live_of(lives: list[Live], live: Live, note: str | None) -> Live:
    """Return what is true of *lives* together; *live* says whether all is saved, and how it ended once it did."""
    if not live.state.live:
        return live
    states = {one.state for one in lives}
    first = [one.first_at for one in lives if one.first_at is not None]
    last = [one.last_at for one in lives if one.last_at is not None]
    retries = [one.retry_at for one in lives if one.retry_at is not None]
    return Live(
        state=next((state for state in WORKING if state in states), State.STREAMING),
        retries=sum(one.retries for one in lives), retry_at=min(retries, default=None),
        connections=sum(one.connections for one in lives), saved=live.saved, note=note,
        error=next((one.error for one in lives if one.error and one.state.live), None),
        pieces=sum(one.pieces for one in lives), first_at=min(first, default=None), last_at=max(last, default=None),
    )  # fmt: skip


def in_words(states: Iterable[State]) -> str:
    """Return how many agents stand how."""
    counts = Counter(states)
    order = [state for state in (*WORKING, *ENDINGS) if counts[state]]
    total = sum(counts.values())
    said = ", ".join(f"{counts[state]} {'waiting' if state is State.CONNECTING else state}" for state in order)
    return f"{total} agent{'' if total == 1 else 's'}: {said}"


def close_of(
    states: Mapping[str, State],
    tracks: Mapping[str, Track],
    error: Callable[[str], Mapping[str, Any] | None],
    *,
    at: float,
    model: str | None,
    chars: int,
) -> Close:
    """Return the `close` of a team whose agents are at rest in *states*; *error* says what went wrong with one."""
    state = next(state for state in ENDINGS if state in states.values())
    usage: Counter[str] = Counter()
    for track in tracks.values():
        usage.update(track.usage)
    ends = [end for name in states if name in tracks and (end := (tracks[name].ended or {}).get("finish"))]
    finish: Finish = "error" if state is State.FAILED else "cancelled"
    if state is State.COMPLETE:
        finish = next((end for end in ends if end != "stop"), "stop")
    how: How = state.value  # type: ignore[assignment]  # all are at rest
    return Close(
        how=how, at=at, finish=finish, usage=dict(usage), model=model, chars=chars,
        error=next((found for name in states if states[name] is state and (found := error(name)) is not None), None),
    )  # fmt: skip


def ending_of(state: State, outcome: Outcome, voice: Voice) -> dict[str, Any]:
    """Return the fields of the `agent_end` of *voice*, which is at rest in *state*."""
    end: dict[str, Any] = {"status": str(state), "finish": outcome.finish}
    if outcome.end is not None and outcome.end.raw_finish:
        end["raw_finish"] = outcome.end.raw_finish
    if outcome.error is not None:
        end["error"] = error_json(outcome.error)
    if voice.intake.usage:
        end["usage"] = dict(voice.intake.usage)
    if voice.track.model:
        end["model"] = voice.track.model
    return end

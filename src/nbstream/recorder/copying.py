"""What the other agents of a team have said, taken over into the stream in which one of them is asked anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from nbstream.errors import SourceRefused, StoreFull, StreamGone
from nbstream.log.readback import records_of
from nbstream.recorder.progress import voice_of
from nbstream.records import Delta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbstream.log.contract import Log, Store
    from nbstream.recorder.progress import Progress
    from nbstream.records import Open


def check(store: Store, first: Open) -> None:
    """
    Raise what keeps *first* from being asked, before anything is done.

    A spawned agent is its parent's to ask; a stream to take over from is read to its end, it may be damaged.
    """
    if first.agent not in first.source["agents"]:
        raise SourceRefused(
            f"agent {first.agent} of stream {first.parent} was spawned by another agent: regenerate that one, or all"
        )
    for _ in _kept(store, first):
        pass


def take_over(store: Store, first: Open, log: Log, progress: Progress) -> None:
    """
    Append to *log*, behind *progress*, what the others said in the parent that *first*, its `open`, names. Blocks.

    Numbers and offsets are each agent's own, so every part stays as it is. It goes on where it was cut, by the death of
    its process or a full disk: until its agent has a turn, all behind the `open` is taken over. Else it does nothing.
    """
    if first.agent is None or progress.opens != 1 or first.agent in progress.voices:
        return
    try:
        for kept in islice(_kept(store, first), progress.tail, None):
            log.append(progress.tail + 1, kept)
            progress.add(kept)
    except StoreFull as exc:
        raise StoreFull(
            f"stream {log.stream}: agent {first.agent} was not asked, as only {progress.tail:,} records of the others"
            f" could be taken over ({exc}); `%stream resume {log.stream}` goes on once there is room"
        ) from exc


def _kept(store: Store, first: Open) -> Iterator[Delta]:
    """Yield what all agents but that of *first* said in its parent: texts, places, ends."""
    agent, parent = first.agent, first.parent or ""
    try:
        old = store.log(parent)
    except StreamGone as exc:
        raise StreamGone(
            f"stream {first.stream} takes over what its other agents said in stream {parent}, which is gone;"
            f" `%%stream --fresh` asks all anew"
        ) from exc
    for record in records_of(old):
        if not isinstance(record, Delta):
            continue
        parts = tuple(part for part in record.parts if voice_of(part.agent) != agent)
        if parts:
            voices = {name: at for name, at in ((record.cursor or {}).get("voices") or {}).items() if name != agent}
            yield replace(record, parts=parts, cursor={"voices": voices} if voices else None)

"""What the other agents of a team have said, taken over into the stream in which one of them is asked anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbstream.log.readback import records_of
from nbstream.recorder.progress import voice_of
from nbstream.records import Delta

if TYPE_CHECKING:
    from nbstream.log.contract import Log
    from nbstream.recorder.progress import Progress


def copy_but(agent: str, old: Log, new: Log, progress: Progress) -> None:
    """
    Append to *new*, behind *progress*, what *old* holds of all agents but *agent*: texts, places, ends. Blocks.

    Numbers and offsets are each agent's own, so every part stays as it is.
    """
    for record in records_of(old):
        if not isinstance(record, Delta):
            continue
        parts = tuple(part for part in record.parts if voice_of(part.agent) != agent)
        if not parts:
            continue
        voices = {name: at for name, at in ((record.cursor or {}).get("voices") or {}).items() if name != agent}
        kept = replace(record, parts=parts, cursor={"voices": voices} if voices else None)
        new.append(progress.tail + 1, kept)
        progress.add(kept)

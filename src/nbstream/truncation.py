"""
What stays of text that was taken back.

`truncate {agent, length, of}` says how many code points of an agent's text (`of` names another kind of it, or its tool
calls) stay; without such a length it says nothing, and takes nothing back. Who shows a log from one end to the other
without holding its text has to know of the truncates before the text passes by, so such a reader goes over the log
twice.
"""

from __future__ import annotations

from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from nbstream.records import TEXT_KINDS, Delta

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbstream.records import Part, Record

#: Whose text, and which kind of it: (agent, kind).
Name: TypeAlias = tuple[str, str]
#: Kinds that can be taken back.
TRUNCATED = TEXT_KINDS | {"tool_call"}


def truncated(part: Part) -> tuple[Name, int] | None:
    """
    Return whose output *part* takes back, and how much of it stays: code points of a kind of text, or tool calls.

    None if it says no such thing. What a truncate means is decided here alone, for recorder, page, file and wire.
    """
    if part.kind != "truncate" or part.fields is None:
        return None
    kind, length = part.fields.get("of", "text"), part.fields.get("length")
    if type(length) is not int or type(kind) is not str or kind not in TRUNCATED:
        return None
    return (part.agent, kind), max(0, length)


def text_truncated(part: Part) -> tuple[Name, int] | None:
    """Return the same where *part* takes text back, and not tool calls."""
    found = truncated(part)
    return found if found is not None and found[0][1] in TEXT_KINDS else None


class Remaining:
    """
    Goes along with the parts of a log, in order, and gives of each what all truncates known beforehand leave.

    A part behind them is passed on as it is, a further truncate too: its text has been shown by then.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        lengths: dict[Name, list[int]] = {}
        for record in records:
            for part in record.parts if isinstance(record, Delta) else ():
                if (found := text_truncated(part)) is not None:
                    lengths.setdefault(found[0], []).append(found[1])
        # No text that comes before a truncate reaches behind the shortest that follows.
        self._shortest = {name: deque(list(accumulate(reversed(of), min))[::-1]) for name, of in lengths.items()}
        self._known = {name: deque(of) for name, of in lengths.items()}
        self._at: dict[Name, int] = {}

    def of(self, part: Part) -> Part | None:
        """Return what remains of *part*; None when nothing does."""
        if part.kind in TEXT_KINDS:
            name = part.agent, part.kind
            at = self._at.get(name, 0)
            self._at[name] = at + len(part.text)
            shortest = self._shortest.get(name)
            if not shortest:
                return part
            text = part.text[: max(0, shortest[0] - at)]
            return part._replace(text=text) if text else None
        found = text_truncated(part)
        if found is None:
            return part
        name, length = found
        self._at[name] = min(self._at.get(name, 0), length)
        if not self._known.get(name):
            return part
        self._known[name].popleft()
        self._shortest[name].popleft()
        return None

"""Iterators that repeat the whole text so far in every item: only what is new of it is text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.records import TEXT_KINDS
from nbstream.sources.formats.speech import taken_back

if TYPE_CHECKING:
    from nbstream.records import Part
    from nbstream.sources.contract import Arrival


class Cumulative:
    """What each agent has said so far, by kind."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], str] = {}

    def new(self, arrival: Arrival) -> Arrival:
        """Return what is new of *arrival*, behind what it takes back: it may say the end otherwise than before."""
        parts: list[Part] = []
        for part in arrival.parts:
            if part.kind in TEXT_KINDS:
                parts += self._new(part)
            else:
                parts.append(part)
        return arrival._replace(parts=tuple(parts))

    def _new(self, part: Part) -> list[Part]:
        name = part.agent, part.kind
        before, whole = self._said.get(name, ""), part.text
        self._said[name] = whole
        same = len(before) if whole.startswith(before) else _alike(before, whole)
        back = [taken_back(part.agent, same, part.kind)] if same < len(before) else []
        return [*back, part._replace(text=whole[same:])] if same < len(whole) else back


def _alike(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))

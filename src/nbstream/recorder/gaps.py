"""Frames that never came, by agent: each gap is a range of numbers, and the place in the text where they belong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.records import Part

#: Gaps of an agent that may still close. A server that loses more than that has no order to restore.
KEPT = 256


#: What a recorded `gap` and a `late` frame say of their place.
GAP = ("expected", "got", "at")
LATE = ("number",)


class Gap(NamedTuple):
    """Frames *first* to *last*, which belong behind code point *at* of the agent's text."""

    first: int
    last: int
    at: int


@dataclass(slots=True)
class Gaps:
    """The gaps of one upstream that are named and not closed, by agent."""

    opened: dict[str, list[Gap]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.opened.values())

    def copy(self) -> Gaps:
        """Return gaps of their own."""
        return Gaps({agent: list(gaps) for agent, gaps in self.opened.items()})

    def add(self, agent: str, gap: Gap) -> None:
        """Note a gap that is named now."""
        gaps = self.opened.setdefault(agent, [])
        gaps.append(gap)
        del gaps[:-KEPT]

    def find(self, agent: str, number: int) -> Gap | None:
        """Return the gap in which frame *number* is missing."""
        return next((gap for gap in self.opened.get(agent, ()) if gap.first <= number <= gap.last), None)

    def fill(self, agent: str, number: int) -> bool:
        """Note that a missing frame came; return whether all of what is around it is there by now."""
        gap = self.find(agent, number)
        if gap is None:
            return False
        gaps = self.opened[agent]
        gaps.remove(gap)
        left = (Gap(gap.first, number - 1, gap.at), Gap(number + 1, gap.last, gap.at))
        gaps += [one for one in left if one.first <= one.last]
        return not any(one.at == gap.at for one in gaps)

    def count(self, part: Part) -> None:
        """Move behind a recorded `gap` or `late`."""
        fields: Mapping[str, Any] = part.fields or {}
        numbers: list[Any] = [fields.get(name) for name in (GAP if part.kind == "gap" else LATE)]
        if any(type(number) is not int for number in numbers):
            return  # a source of the user's own: shown, but nothing can close it
        if part.kind == "gap":
            expected, got, at = numbers
            self.add(part.agent, Gap(expected, got - 1, at))
        else:
            self.fill(part.agent, numbers[0])

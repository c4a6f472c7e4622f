"""One line of the doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """
    One thing that was looked at; `advice` is empty when there is nothing to do.

    *known*: it could be looked at. *warning*: what to know of a thing that may be meant to be so.
    """

    name: str
    found: str
    advice: str = ""
    known: bool = True
    warning: str = ""

    @property
    def ok(self) -> bool:
        """True if there is nothing to do."""
        return not self.advice

    def __str__(self) -> str:
        mark = "problem" if self.advice else "warning" if self.warning else "ok" if self.known else "unknown"
        return f"{mark:8} {self.name:14} {': '.join(filter(None, [self.found, self.advice, self.warning]))}"

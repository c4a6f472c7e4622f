"""One line of the doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` is empty when there is nothing to do. *known*: it could be looked at."""

    name: str
    found: str
    advice: str = ""
    known: bool = True

    @property
    def ok(self) -> bool:
        """True if there is nothing to do."""
        return not self.advice

    def __str__(self) -> str:
        mark = "problem" if self.advice else "ok" if self.known else "unknown"
        return f"{mark:8} {self.name:14} {self.found}{f': {self.advice}' * bool(self.advice)}"

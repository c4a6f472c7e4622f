"""What is true of a stream only while it is live: states in between, retries, waits, speed. Not stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Live:
    """Live status of one recorder. Moments are seconds of the recorder's monotonic clock."""

    state: State = State.CONNECTING
    #: Repetitions of the call so far, and when the next one starts.
    retries: int = 0
    retry_at: float | None = None
    #: Open upstream connections (0 or 1).
    connections: int = 0
    #: False while something that arrived could not be stored; it is not shown either.
    saved: bool = True
    #: One more thing the state line says.
    note: str | None = None
    error: Mapping[str, Any] | None = None
    #: Output of this call: pieces, first and last moment.
    pieces: int = 0
    first_at: float | None = None
    last_at: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any], now: float) -> Live:
        """Make it again from what `to_json` said, with the moments of another clock, at which it is *now*."""
        wait_s, first_s, last_s = data["retry_in_s"], data["first_ago_s"], data["last_ago_s"]
        return cls(
            state=State(data["state"]),
            retries=data["retries"],
            retry_at=None if wait_s is None else now + wait_s,
            connections=data["connections"],
            saved=data["saved"],
            note=data["note"],
            error=data["error"],
            pieces=data["pieces"],
            first_at=None if first_s is None else now - first_s,
            last_at=None if last_s is None else now - last_s,
        )

    def to_json(self, now: float) -> dict[str, Any]:
        """Describe it to another process, whose clock differs: moments become seconds from *now*. From any thread."""
        retry_at, first_at, last_at = self.retry_at, self.first_at, self.last_at
        return {
            "state": str(self.state),
            "retries": self.retries,
            "retry_in_s": None if retry_at is None else max(0.0, retry_at - now),
            "connections": self.connections,
            "saved": self.saved,
            "note": self.note,
            "error": self.error,
            "pieces": self.pieces,
            "first_ago_s": None if first_at is None else now - first_at,
            "last_ago_s": None if last_at is None else now - last_at,
        }

    def arrived(self, now: float, pieces: int = 1) -> None:
        """Count output."""
        self.pieces += pieces
        self.last_at = now
        if self.first_at is None:
            self.first_at = now

    @property
    def speed(self) -> float | None:
        """Pieces (about tokens) per second since the first one; None before there is anything to measure."""
        if self.first_at is None or self.last_at is None or self.last_at - self.first_at < 0.1:
            return None
        return (self.pieces - 1) / (self.last_at - self.first_at)

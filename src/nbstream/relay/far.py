"""A recorder in a relay, as this process hears of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nbstream.recorder.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FarAgent:
    """One agent of a team in a relay."""

    def __init__(self, status: Mapping[str, Any], now: float) -> None:
        self.live = Live.from_json(status, now)
        self.note: str | None = status.get("note")
        self.chars: int = status["chars"]
        self.can_reconnect: bool = status["resumable"]


class FarRecorder:
    """
    An `AtWork`: the last live status that came, and the buttons, which go to the relay.

    *press* sends one of `stop`, `keep`, `resume`, for one agent or for all, and returns at once.
    """

    def __init__(self, status: Mapping[str, Any], press: Callable[[str, str | None], None]) -> None:
        now = time.monotonic()
        self.live = Live.from_json(status, now)
        self.agents = {name: FarAgent(agent, now) for name, agent in (status.get("agents") or {}).items()}
        self.note: str | None = status.get("note")
        self.chars: int = status["chars"]
        self.tail: int = status["offset"]
        self.model: str | None = status.get("model")
        self.can_reconnect: bool = status["resumable"]
        self.repeatable: bool = status["repeatable"]
        self._press = press

    def stop(self, agent: str | None = None) -> None:
        """See `Recorder.stop`."""
        self._press("stop", agent)

    def keep(self, agent: str | None = None) -> None:
        """See `Recorder.keep`."""
        self._press("keep", agent)

    def reconnect(self, agent: str | None = None) -> None:
        """See `Recorder.reconnect`."""
        self._press("resume", agent)

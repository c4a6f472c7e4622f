"""A recorder in a relay, as this process hears of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nbstream.recorder.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FarRecorder:
    """
    An `AtWork`: the last live status that came, and the buttons, which go to the relay.

    *press* sends one of `stop`, `keep`, `resume` and returns at once.
    """

    def __init__(self, status: Mapping[str, Any], press: Callable[[str], None]) -> None:
        self.live = Live.from_json(status, time.monotonic())
        self.note: str | None = status.get("note")
        self.chars: int = status["chars"]
        self.tail: int = status["offset"]
        self.model: str | None = status.get("model")
        self.can_reconnect: bool = status["resumable"]
        self.repeatable: bool = status["repeatable"]
        self._press = press

    def stop(self) -> None:
        """See `Recorder.stop`."""
        self._press("stop")

    def keep(self) -> None:
        """See `Recorder.keep`."""
        self._press("keep")

    def reconnect(self) -> None:
        """See `Recorder.reconnect`."""
        self._press("resume")

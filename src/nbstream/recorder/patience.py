"""How long nothing has come on a call, and what that means. Pure: time comes in as an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nbstream.errors import SourceError, SourceLost, SourceSilent
from nbstream.state import Event, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.sources.contract import Pulse

#: A connection that has sent pings before and now sends no byte for this long is dead, not thinking.
DEAD_S = 45.0


class Patience:
    """
    Counts the silence of one recorder, from *now* on.

    *first_s*, *idle_s*: seconds of silence, before the first output and between outputs, that stall the stream.
    """

    def __init__(self, first_s: float, idle_s: float, now: float) -> None:
        self._first_s, self._idle_s = first_s, idle_s
        self._output_at = now

    def output(self, now: float) -> None:
        """Begin to count anew: something came, a call was made, the user keeps waiting."""
        self._output_at = now

    def paused(self, pulse: Pulse, now: float) -> None:
        """Begin to count anew: it is we who do not read."""
        self._output_at = pulse.last_byte = now

    def skip(self, seconds: float, pulse: Pulse | None, now: float) -> None:
        """Do not count the last *seconds*: this process was asleep. What was read since then keeps its time."""
        self._output_at = min(now, self._output_at + seconds)
        if pulse is not None:
            pulse.last_byte = min(now, pulse.last_byte + seconds)

    def look(
        self, state: State, pulse: Pulse, *, shown: bool, attended: Callable[[], bool], now: float
    ) -> SourceError | Literal[Event.SILENT] | None:
        """Return the error to cut the connection with, SILENT when it is time to ask the user, or None."""
        if pulse.pings and now - pulse.last_byte > DEAD_S:
            return SourceLost(f"no byte for {DEAD_S:.0f} s on a connection that used to send pings")
        silent_s, limit = now - self._output_at, self._idle_s if shown else self._first_s
        if state is not State.STALLED:
            return Event.SILENT if silent_s > limit else None
        if silent_s > 2 * limit and not attended():
            return SourceSilent(f"nothing came for {silent_s:.0f} s and nobody was there to ask")
        return None

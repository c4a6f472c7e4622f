"""
When to rest before reading on, so that several tokens make one read and one record. Pure: time comes in as an argument.

At 100 tokens/s a token that is read, stored and told by itself costs 1 ms of CPU, most of it for waking up. A page is
sent at most eight times a second, so where only pages look, nobody sees that tokens are gathered meanwhile.
"""

from __future__ import annotations

#: The rest between two reads, and how long what they brought waits for more before it is stored, seconds.
REST_S = 0.08
GATHER_S = 0.015
#: A read that took less did not wait: there is more where it came from, in a TLS buffer for instance, which hands out
#: one record a read. To rest before each of those took 20 s for 3 s of text.
WAITED_S = 0.002
#: More pieces or characters between two waits are a flood; a single one is nothing gathered: a slow source, or reads
#: that seem to wait because the machine is busy. In both cases no rest for a while.
FLOOD_PIECES = 64
FLOOD_CHARS = 512
CALM_S = 1.0


class Gathering:
    """Follows the reads of one call."""

    def __init__(self) -> None:
        self._pieces = self._chars = 0
        self._rested = False
        self._restless_until = 0.0

    def rest_s(self, now: float, *, waited_s: float, pieces: int, chars: int) -> float:
        """Return how long to rest behind a read that waited *waited_s* and brought so much; 0 is not at all."""
        self._pieces += pieces
        self._chars += chars
        if waited_s < WAITED_S:
            return 0.0
        flood = self._pieces >= FLOOD_PIECES or self._chars >= FLOOD_CHARS
        if flood or (self._rested and self._pieces <= 1):
            self._restless_until = now + CALM_S
        self._pieces = self._chars = 0
        self._rested = now >= self._restless_until
        return REST_S if self._rested else 0.0

"""
Following a stream of a relay: each record once and in order, over connection after connection.

A record that comes again is dropped, a hole means asking again behind the last one. Where the store has lost what was
read, that is said, and each record comes once more from the beginning.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from nbstream.errors import RelayError
from nbstream.relay.held import Held
from nbstream.relay.link.ways import Ways

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from nbstream.relay.link.feed import Event, Feed
    from nbstream.relay.link.ways import Route, Timing

#: What a proxy on the way says while the relay is out of its reach, and what is over in a moment.
_PASSING: Final = frozenset({429, 502, 503, 504})
#: A connection that stood so long was no failure, even if nothing happened on it.
_STOOD_S: Final = 15.0


class Follower:
    """Reads one stream behind *after*, and closes its connections."""

    def __init__(self, feed: Feed, held: Held, timing: Timing, route: Route) -> None:
        self._line, self._timing = feed.line, timing
        self._ways = Ways(feed, lambda: self._held, timing, route)
        self._begun = held
        self._last = held.after
        self._final: str | None = None  # the record at `_last`
        self._caught_up = False
        self._ended = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """See `RelayClient.follow`."""
        failures = 0
        try:
            while True:
                began, before = time.monotonic(), self._last
                try:
                    async with aclosing(self._ways.batches()) as batches:
                        async for batch in batches:
                            for event in self._in_order(batch):
                                yield event
                            if self._ended:
                                return
                    self._check_end()
                    return
                except RelayError as exc:
                    progress = self._last > before or time.monotonic() - began > _STOOD_S
                    failures = 1 if progress else failures + 1
                    if not self._may_come_back(exc, failures):
                        raise
                    await asyncio.sleep(self._timing.waits_s[failures - 1])
        finally:
            await self._line.close()

    def _in_order(self, batch: list[Event]) -> Iterator[Event]:
        for event in batch:
            if event.kind == "record":
                if event.offset <= self._last:
                    continue  # it came over the other way already
                if event.offset > self._last + 1:
                    raise RelayError(f"records {self._last + 1} to {event.offset - 1} did not come")
                self._last, self._final = event.offset, event.data
            elif event.kind == "lost":
                if event.offset > self._last:
                    continue  # the other way said so already
                self._begun, self._last, self._final, self._caught_up = Held(), -1, None, False
            elif event.kind == "caught_up":
                if self._caught_up:
                    continue
                self._caught_up = True
            self._ended = event.kind in ("complete", "gone")
            if event.kind != "complete":
                yield event

    @property
    def _held(self) -> Held:
        return self._begun if self._final is None else Held(self._last, _time_of(self._final))

    def _check_end(self) -> None:
        """Raise unless the answer ended where the stream does: behind `close(complete)`."""
        last = json.loads(self._final) if self._final is not None else {}
        if (last.get("type"), last.get("how")) != ("close", "complete"):
            raise RelayError(f"the relay at {self._line.address.url} ended its answer before the end of the stream")

    def _may_come_back(self, exc: RelayError, failures: int) -> bool:
        address = self._line.address
        passing = exc.status is None or exc.status in _PASSING
        return passing and failures <= len(self._timing.waits_s) and (address.alive or not address.proves)


def _time_of(record: str) -> float | None:
    """Return the `at` of *record*; None where there is none: whoever reads it judges what it is."""
    try:
        at = json.loads(record).get("at")
    except (ValueError, AttributeError):
        return None
    return at if isinstance(at, (int, float)) else None

"""Which way a stream is read: by server-sent events where they come through, by polls while they are held back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nbstream.errors import RelayError
from nbstream.relay.link.feed import Event
from nbstream.relay.link.steps import Steps, first_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from nbstream.relay.held import Held
    from nbstream.relay.link.feed import Feed

    Way: TypeAlias = Steps[list[Event]]


@dataclass(frozen=True, slots=True)
class Timing:
    """
    Seconds: how long the first byte may take before polls are tried, how often events are tried again then.

    `silent_s`: a relay pings every 15 s, so a connection silent for this long is dead. `poll_s`: how long a poll may
    wait at the relay. `waits_s`: before each new connection, counted from the last progress.
    """

    first_byte_s: float = 2.0
    probe_s: float = 60.0
    silent_s: float = 45.0
    poll_s: float = 20.0
    waits_s: tuple[float, ...] = (0.2, 0.6, 1.6)


class Route:
    """What the followers of one relay have learned about the way to it: until when nobody need try events."""

    def __init__(self) -> None:
        self.polls_until = 0.0


class Ways:
    """The ways to read one stream; *held()* is the place behind which they go on."""

    def __init__(self, feed: Feed, held: Callable[[], Held], timing: Timing, route: Route) -> None:
        self._feed, self._held = feed, held
        self._timing, self._route = timing, route
        #: With both at once the first is on trial, and the second goes on meanwhile.
        self._events: Way | None = None
        self._polls: Way | None = None
        self._greeted: bool | None = None
        self._caught_up = False
        self._silent_s = 0.0

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """Yield what comes, over either, until an answer ends; raises `RelayError` when its connection is lost."""
        try:
            while True:
                await self._wait()
                for way in await self._ready():
                    batch = way.take()
                    if batch is None:
                        return
                    if way is self._events:
                        self._greeted = not batch if self._greeted is None else self._greeted
                        self._caught_up = self._caught_up or any(event.kind == "caught_up" for event in batch)
                    yield batch
        finally:
            await self._close_events()
            await self._close_polls()

    @property
    def _trusted(self) -> bool:
        """
        Whether events are known to come through one by one, so that silence is silence.

        The relay's greeting has come alone, then. With records behind it, it may have waited for them in a proxy, which
        is as quick as it should be in a flood of text and holds the last of it back.
        """
        return self._caught_up and self._greeted is True

    @property
    def _patience_s(self) -> float:
        return self._timing.silent_s if self._trusted else self._timing.first_byte_s

    async def _wait(self) -> None:
        """Open what is to be open, and wait for news."""
        left_s = self._route.polls_until - time.monotonic()
        if self._events is None and left_s <= 0:
            self._greeted, self._caught_up, self._silent_s = None, False, 0.0
            self._events = Steps(self._feed.streamed(self._held()))
        elif self._events is None and self._polls is None:
            self._polls = Steps(self._feed.pages(self._held, self._timing.poll_s))
        look_s = left_s if self._events is None else self._patience_s / 4
        self._silent_s += await first_of([way for way in (self._events, self._polls) if way is not None], look_s)

    async def _ready(self) -> list[Way]:
        """Return the ways that have something, after deciding which of them go on."""
        events, polls = self._events, self._polls
        failed = events is not None and events.has_come and isinstance(events.failure, RelayError)
        if events is not None and events.has_come and (polls is None or not failed):
            await self._close_polls()
            self._silent_s = 0.0
            return [events]
        if events is not None and (failed or self._silent_s >= self._patience_s):
            await self._close_events()
            if self._trusted:
                raise RelayError(
                    f"the relay at {self._feed.line.address.url} was silent for {self._timing.silent_s:g} s"
                )
            self._route.polls_until = time.monotonic() + self._timing.probe_s
        return [polls] if polls is not None and polls.has_come else []

    async def _close_events(self) -> None:
        if self._events is not None:
            await self._events.close()
            self._events = None

    async def _close_polls(self) -> None:
        if self._polls is not None:
            await self._polls.close()
            self._polls = None

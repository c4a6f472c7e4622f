"""The saved form in the notebook file: beside the widget, hidden while that lives, and brought up to date seldom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nbstream import words
from nbstream.clock import Clock
from nbstream.log.bell import bell
from nbstream.view.harmless import plain
from nbstream.view.saved_form import saved_form

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.stream import Stream
    from nbstream.view.publish import Display

#: While the message grows it is refreshed up to this size, each time it has doubled, and after a pause that
#: doubles from the first of these to the second: a file saved after a second holds most of that second, too.
LIVE_LIMIT = 64 * 1024
GROWTH = 2.0
PAUSES_S = (0.5, 2.0)
#: How long a long message that was there already waits for the page to paint it; and how long at most one that has just
#: come to its end: a megabyte that nobody sees would stand before its last words, on the socket and in the page.
LATE_S = 1.0
MOST_LATE_S = 3.0
LOOK_S = 0.25


class SavedOutput:
    """
    Keeps the saved form of one cell's stream in the notebook file.

    `show` makes the output in the cell; `follow` brings it up to date until the stream is at rest. After a resume or a
    regenerate, follow (the new stream) again: it stays the same output.
    """

    def __init__(
        self, display: Display, *, clock: Clock | None = None, painted: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._display = display
        #: Whether whoever looks at a stream has seen all of it.
        self._painted = painted
        self._clock = clock or Clock()
        self._last: str | None = None
        self._late = False
        self._chars, self._at, self._pause = 0, float("-inf"), PAUSES_S[0]

    def show(self, stream: Stream) -> None:
        """
        Make the output with what there is now. To be called in the cell's thread, once.

        Of a long message that is there already only the last line: `follow` brings the rest when the page has painted
        the widget, whose text would else come behind a megabyte that nobody sees.
        """
        if self._display.once:
            return
        facts = stream.facts()
        long = facts.chars > LIVE_LIMIT
        self._last = f"*{plain(words.saved_line(facts))}*\n" if long else saved_form(stream)
        self._display.show({"text/markdown": self._last})
        self._late = long

    async def follow(self, stream: Stream) -> None:
        """Publish what is new, seldom while the message grows and once when it is at rest."""
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        end = stream.subscribe(bell(moved))
        self._chars, self._pause = 0, PAUSES_S[0]
        try:
            if self._late:
                self._late = False
                await self._clock.sleep(LATE_S)
            while not await asyncio.to_thread(lambda: stream.settled):
                moved.clear()
                facts = await asyncio.to_thread(stream.facts)
                if self._due(facts.chars):
                    await asyncio.to_thread(self.update, stream)
                    self._chars, self._at = facts.chars, self._clock.monotonic()
                    self._pause = min(2 * self._pause, PAUSES_S[1])
                # A signal comes with every record; to look four times a second is enough.
                await self._clock.sleep(LOOK_S)
                # No `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the news.
                due = loop.call_later(PAUSES_S[1], moved.set)
                try:
                    await moved.wait()
                finally:
                    due.cancel()
        finally:
            end()
        await self._wait_for_page(stream)
        await asyncio.to_thread(self.update, stream)

    async def _wait_for_page(self, stream: Stream) -> None:
        """Let a long message be seen to its end first."""
        facts = await asyncio.to_thread(stream.facts)
        until = self._clock.monotonic() + (MOST_LATE_S if facts.chars > LIVE_LIMIT else 0)
        while self._clock.monotonic() < until and not self._painted(stream.id):
            await self._clock.sleep(LOOK_S)

    def _due(self, chars: int) -> bool:
        grown = self._chars * GROWTH < chars <= LIVE_LIMIT
        return grown and not self._display.once and self._clock.monotonic() - self._at >= self._pause

    def update(self, stream: Stream) -> None:
        """Publish what there is now, if it is news. Reads the log, so not for the loop's thread."""
        text = saved_form(stream)
        if text != self._last:
            self._last = text
            self._display.update({"text/markdown": text})

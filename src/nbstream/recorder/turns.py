"""When an agent of a team may call: those before it are complete, and there is a place. Who waits says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nbstream.errors import SourceError
from nbstream.recorder.ending import Ended
from nbstream.state import Event, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from typing import Any

    from nbstream.recorder.voice import Voice


class Turns:
    """
    The turns of *voices*, of which *limit* call at a time.

    *after* names whom an agent waits for, *state* says how one stands, *mark* records that one waits; *changed* is
    called when a note has changed.
    """

    def __init__(
        self,
        voices: Mapping[str, Voice],
        limit: int | None,
        after: Mapping[str, Iterable[str]],
        *,
        state: Callable[[str], State],
        mark: Callable[[str, str, Mapping[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        self._voices, self._after = voices, {name: tuple(others) for name, others in after.items()}
        self._places = asyncio.Semaphore(limit) if limit else None
        self._queue: list[Voice] = []
        self._state, self._mark, self._changed = state, mark, changed

    def __contains__(self, name: str) -> bool:
        """Whether somebody put the agent *name* here. From any thread."""
        return name in self._after

    def before(self, name: str) -> tuple[str, ...]:
        """Whom the agent *name* waits for."""
        return self._after.get(name, ())

    def put(self, name: str, after: tuple[str, ...]) -> None:
        """Let the agent *name* wait for those; raises `ValueError` if they wait for it. From any thread."""
        seen, left = set(), list(after)
        while left:
            one = left.pop()
            if one == name:
                raise ValueError(f"wait_for: {name} and {', '.join(after)} would wait for each other for ever")
            if one not in seen:
                seen.add(one)
                left += self._after.get(one, ())
        self._after[name] = after

    @asynccontextmanager
    async def turn(self, voice: Voice) -> AsyncIterator[None]:
        """Wait until *voice* may call. However that ends, it has no note of it any more."""
        try:
            await self._others(voice)
            async with self._place(voice):
                yield
        finally:
            voice.live.note = None

    async def _others(self, voice: Voice) -> None:
        names = self._after.get(voice.name, ())
        waiting = [name for name in names if name in self._voices and not self._voices[name].rested.is_set()]
        if waiting:
            self._mark(voice.name, "waiting", {"on": waiting})
            voice.live.note = f"waiting for {', '.join(waiting)}"
            self._changed()
            await asyncio.gather(*(self._voices[name].rested.wait() for name in waiting))
            voice.live.note = None
        for name in names:
            state = self._state(name)
            if state is not State.COMPLETE:
                raise Ended(Event.CUT, SourceError(f"it waits for {name}, which is {state}"))

    @asynccontextmanager
    async def _place(self, voice: Voice) -> AsyncIterator[None]:
        if self._places is None:
            yield
            return
        if self._places.locked():
            self._mark(voice.name, "waiting", {"on": []})
            self._queue.append(voice)
        self._tell_queue()
        try:
            await self._places.acquire()
        finally:
            if voice in self._queue:
                self._queue.remove(voice)
            self._tell_queue()
        try:
            voice.live.note = None
            yield
        finally:
            self._places.release()

    def _tell_queue(self) -> None:
        for place, voice in enumerate(self._queue):
            before = f", {place} before it" if place else ""
            voice.live.note = f"waiting for a slot{before}"
        self._changed()

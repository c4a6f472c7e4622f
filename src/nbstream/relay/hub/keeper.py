"""
What a relay does by itself beside its calls: reads its files again, and looks after the streams of other relays.

One store, several relays, no word between them. Who reads here holds a stream that is recorded elsewhere by having it
"displayed" in the store; a stream whose relay died goes on here, if `Store.lock` says that nobody else has it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from nbstream.errors import LogError, RelayError, SourceError, StoreFull, StreamError
from nbstream.owner import owner_of
from nbstream.recorder.progress import Progress
from nbstream.records import Open
from nbstream.relay.following import HOLD_S, PING_S
from nbstream.runtime import runtime

if TYPE_CHECKING:
    from nbstream.log.contract import Status
    from nbstream.recorder.progress import Track
    from nbstream.relay.hub.access import SharedAccess
    from nbstream.relay.hub.journal import Journal
    from nbstream.relay.hub.tokens import Tokens
    from nbstream.relay.hub.upstreams import Upstreams
    from nbstream.relay.service import Service

#: How often files are looked at, and streams that somebody may have left.
LOOK_S = 1.0
#: A look at all streams may take so much of the time.
SHARE = 0.05
#: Streams that were looked at and are not ours to go on with.
LEFT = 10_000
#: Relays that may die with a stream before anything came; the next one leaves it to its user.
MOST_IN_VAIN = 5
ELSEWHERE = "another relay"


class Keeper:
    """One for each relay; `run` on the loop, `reload` from any thread."""

    def __init__(
        self, service: Service, access: SharedAccess, tokens: Tokens, upstreams: Upstreams, journal: Journal
    ) -> None:
        self._service, self._access, self._journal = service, access, journal
        self._tokens, self._upstreams = tokens, upstreams
        #: Somebody asked for the files to be read: SIGHUP.
        self.asked = False
        #: No stream is taken over any more: this relay is ending.
        self.leaving = False
        self._left: set[tuple[str, int]] = set()
        self._touched: dict[str, float] = {}

    async def run(self) -> None:
        """Look after everything until it is cancelled."""
        look_at = hold_at = 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            await asyncio.to_thread(self._reload)
            self._access.hang_up_strangers()
            try:
                if now >= hold_at:
                    hold_at = now + PING_S
                    await asyncio.to_thread(self._hold_elsewhere)
                await asyncio.to_thread(self._held_elsewhere)
                if now >= look_at and not self.leaving:
                    began = time.monotonic()
                    await asyncio.to_thread(self.look)
                    look_at = time.monotonic() + (time.monotonic() - began) / SHARE
            except LogError as exc:  # the store is out of reach for now
                self._journal.failed(exc)

    def look(self) -> None:
        """Go on with every stream that its relay left in the middle, where that repeats neither text nor money."""
        for status in self._service.store.left(key=lambda key: owner_of(key) is not None):
            if self.leaving:
                return
            if status.open.writer.startswith("relay ") and (status.stream, status.tail) not in self._left:
                self._take_over(status)

    def _take_over(self, status: Status) -> None:
        stream = status.stream
        try:
            if not _goes_on(self._service, status):
                self._leave(status)
                return
            self._service.resume(stream, {"scope": _scope(status)})
        except StoreFull:
            raise  # out of reach for now: it is looked at again
        except (LogError, SourceError, ValueError, TypeError) as exc:
            self._leave(status)
            self._journal.note(
                "not_taken_over", stream=stream, user=owner_of(status.open.key), error=type(exc).__name__
            )
        except RelayError as exc:
            if exc.status != 429:  # else there will be room
                self._leave(status)
        else:
            if runtime().recorder(stream) is not None:
                self._access.note("took_over", status, user=owner_of(status.open.key))

    def _leave(self, status: Status) -> None:
        if len(self._left) >= LEFT:
            self._left.clear()
        self._left.add((status.stream, status.tail))

    def _hold_elsewhere(self) -> None:
        """Say in the store that somebody here holds a stream that another relay records."""
        for stream in self._service.holders.streams():
            if runtime().recorder(stream) is None:
                try:
                    if self._service.store.status(stream).live:
                        self._service.store.touch(stream)
                except StreamError:
                    continue  # gone, or not to be written now: it is held again in a moment

    def _held_elsewhere(self) -> None:
        """Let the streams that are recorded here be held by those who said so in the store since the last look."""
        seen: dict[str, float] = {}
        for stream in runtime().recorders:
            try:
                seen[stream] = touched = self._service.store.status(stream).touched
            except StreamError:
                continue
            if touched != self._touched.get(stream, touched):
                self._service.holders.hold(stream, ELSEWHERE, HOLD_S)
        self._touched = seen

    def _reload(self) -> None:
        asked, self.asked = self.asked, False
        for name, file in (("tokens", self._tokens), ("upstreams", self._upstreams)):
            try:
                read = file.reload(asked=asked)
            except RelayError as exc:
                self._journal.note("not_reloaded", level="error", file=name, message=str(exc))
            else:
                if read:
                    self._journal.note("reloaded", file=name)
                    self._service.know(self._upstreams.keys)
                    self._left.clear()


def _goes_on(service: Service, status: Status) -> bool:
    """Whether the upstream goes on behind the last record: it gave a place for that. Of a team, each that is called."""
    source = status.open.source
    if any(one.get("kind") != "sse" for one in source.get("agents", {"": source}).values()):
        return False
    log = service.store.log(status.stream)
    if all(isinstance(record, Open) for record in log.read(status.tail - MOST_IN_VAIN)):
        return False  # maybe it is what kills its relays
    progress = Progress.of(log)
    if progress.team:
        return all(map(_may_be_called, progress.voices.values()))
    return progress.begun and progress.cursor is not None and progress.can_resume(replayable=False)


def _may_be_called(agent: Track) -> bool:
    """Whether to go on with all that are unfinished asks no more of this agent than its user wants."""
    ended = agent.ended or {}
    if ended.get("status") in ("complete", "stopped"):
        return True  # nobody calls it
    if ended.get("error") is not None:
        return False  # somebody has to see that
    return not agent.started or (agent.begun and agent.cursor is not None)


def _scope(status: Status) -> str:
    import json

    return str(json.loads(status.open.key)[0])

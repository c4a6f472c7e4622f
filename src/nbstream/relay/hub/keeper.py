"""
What a relay does by itself beside its calls: reads its files again, and looks after the streams of other relays.

One store, several relays, no word between them. Who reads here holds a stream that is recorded elsewhere by having it
"displayed" in the store; a stream whose relay died goes on here, if `Store.lock` says that nobody else has it.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from nbstream.errors import LogError, RelayError, StoreFull, StreamError
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

#: How often files are looked at, streams that somebody may have left, and who holds them elsewhere.
LOOK_S = 0.5
#: So long a look may judge streams that nobody goes on with; the rest is judged in the next one.
LONGEST_S = 0.25
#: Streams that were looked at and are not ours to go on with.
LEFT = 100_000
#: Relays that may die with a stream before anything came; the next one leaves it to its user.
MOST_IN_VAIN = 5
ELSEWHERE = "another relay"
#: A relay hears that a stream is held elsewhere by what has changed since its last look; the first may be too early.
SURELY = 3


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
        #: (stream, tail) of those that only their users go on with, and of those that our files forbid.
        self._users: set[tuple[str, int]] = set()
        self._forbidden: set[tuple[str, int]] = set()
        #: How often it was said of a stream recorded elsewhere that it is held here, and when it is to be said again.
        self._said: dict[str, tuple[int, float]] = {}
        self._touched: dict[str, float] = {}

    async def run(self) -> None:
        """Look after everything until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self._reload)
            self._access.hang_up_strangers()
            try:
                await asyncio.to_thread(self._hold_elsewhere)
                await asyncio.to_thread(self._held_elsewhere)
                await asyncio.to_thread(self.look)
            except LogError as exc:  # the store is out of reach for now
                self._journal.failed(exc)

    def look(self) -> None:
        """Go on with every stream that its relay left in the middle, where that repeats neither text nor money."""
        spent = 0.0
        for status in self._service.store.left(key=_is_shared, known=self._users | self._forbidden):
            if self.leaving or spent > LONGEST_S:
                return
            began = time.monotonic()
            if not self._take_over(status):
                spent += time.monotonic() - began

    def _take_over(self, status: Status) -> bool:
        """Go on with a stream; returns whether somebody does."""
        stream, owner = status.stream, owner_of(status.open.key) or ""
        try:
            if not _goes_on(self._service, status):
                _add(self._users, status)
                return False
            user = self._tokens.may(owner, "start")
            if user is None:
                _add(self._forbidden, status)
                return False
            if not self._access.has_room(user):
                return False  # there will be
            limits = dict(status.open.limits or {})
            auto = bool(limits.pop("auto_continue", False))
            self._service.resume(stream, {"scope": _scope(status), "limits": limits, "auto_continue": auto})
        except StoreFull:
            raise  # out of reach for now: it is looked at again
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is of this stream, and others have relays to lose
            if isinstance(exc, RelayError) and exc.status == 429:
                return False  # there will be room
            _add(self._forbidden, status)
            self._journal.note("not_taken_over", stream=stream, user=owner, error=type(exc).__name__)
            return False
        if runtime().recorder(stream) is not None:
            self._access.note("took_over", status, user=owner)
        return True

    def _hold_elsewhere(self) -> None:
        """Say in the store that somebody here holds a stream that another relay records: at once, and now and then."""
        held = {one for one in self._service.holders.streams() if runtime().recorder(one) is None}
        said, self._said, now = self._said, {}, time.monotonic()
        for stream in held:
            times, due = said.get(stream, (0, now))
            if now >= due:
                try:
                    if self._service.store.status(stream).live:
                        self._service.store.touch(stream)
                except StreamError:
                    continue  # gone, or not to be written now: it is held again in a moment
                times, due = times + 1, now + (LOOK_S if times < SURELY else PING_S)
            self._said[stream] = times, due

    def _held_elsewhere(self) -> None:
        """Let the streams that are recorded here be held by those who said so in the store since the last look."""
        before, self._touched = self._touched, self._service.store.touched(tuple(runtime().recorders))
        for stream, touched in self._touched.items():
            if touched != before.get(stream, touched):
                self._service.holders.hold(stream, ELSEWHERE, HOLD_S)

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
                    self._forbidden.clear()


def _is_shared(key: str) -> bool:
    return owner_of(key) is not None


def _add(streams: set[tuple[str, int]], status: Status) -> None:
    if len(streams) >= LEFT:
        streams.clear()
    streams.add((status.stream, status.tail))


def _goes_on(service: Service, status: Status) -> bool:
    """Whether the upstream goes on behind the last record: it gave a place for that. Of a team, each that is called."""
    source = status.open.source
    if not status.open.writer.startswith("relay "):
        return False  # a kernel's
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
    return str(json.loads(status.open.key)[0])

"""
Replay: a saved stream once more, at the pace at which it was saved, without a call.

Its records are read from their log and appended to one of this process's memory, so that every view shows it as it
shows a live stream, and the store holds nothing new.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from nbstream.clock import Clock
from nbstream.errors import LogDamaged, StreamError
from nbstream.host import Host
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import PAGE
from nbstream.pictures.said import moment
from nbstream.records import Open
from nbstream.stream import Stream

if TYPE_CHECKING:
    from nbstream import words
    from nbstream.recording import Recording
    from nbstream.records import Record
    from nbstream.sources.contract import Source

#: A pause in which nobody was at work (an hour between a cut and its resume) is played as at most this, in seconds.
REST_S = 2.0
#: A replay that nobody looks at ends after this, in seconds.
UNHELD_S = 30.0
LOOK_S = 1.0


class Replay(Stream):
    """Plays *of*, *speed* times as fast as it was saved. Made on any thread; begins at once."""

    def __init__(self, of: Stream, speed: float = 1.0, *, clock: Clock | None = None) -> None:
        if type(speed) not in (int, float) or not (math.isfinite(speed) and speed > 0):
            msg = f"speed={speed!r}: give a number above 0, 1 for the real pace, 4 for four times as fast"
            raise ValueError(msg)
        first = of.log.read(-1, limit=1)
        if not first or not isinstance(first[0], Open):
            raise LogDamaged(f"stream {of.id} does not begin with the record of a call; `%stream show {of.id}`")
        if of.state.live:
            # Its end is not written yet: played, it would seem to be interrupted where only the log ends for now.
            raise StreamError(
                f"stream {of.id} is still being recorded: `%stream show {of.id}` shows it as it comes; play it once it"
                " has ended"
            )
        self._of, self._speed, self._clock = of, speed, clock or Clock()
        self._key = first[0].key
        name = f"{of.id[:96]}-replay-{secrets.token_hex(3)}"
        store = MemoryStore()
        started = store.start(replace(first[0], stream=name, parent=None))
        super().__init__(Host(store, "replay", _nowhere), started.log)
        self._lock = started.lock
        self._over = False
        self._last_at = moment(first[0].at, 0.0)
        pace = "as fast as it came" if speed == 1 else f"{speed:g} times as fast"
        self._said = f"replay of {of.id}, {pace}"
        self._host.runtime.remark(name, self._said)
        self._playing = self._host.runtime.spawn(self._play())

    @property
    def settled(self) -> bool:
        """Played to its end, or ended; a call that was cut and went on is not the end."""
        return self._over

    def facts(self) -> words.Facts:
        """See `Stream.facts`; nothing can be done to a replay but to stop it."""
        return _replayed(super().facts())

    def agent_facts(self) -> dict[str, words.Facts]:
        """See `Stream.agent_facts`."""
        return {name: _replayed(facts) for name, facts in super().agent_facts().items()}

    def stop(self, agent: str | None = None) -> None:
        """End the replay where it is; the stream it plays is left as it is."""
        if agent is not None:
            raise StreamError("a replay stops as a whole")
        if not self._over:
            status = self._status()
            self.store.request_stop(self.id, opened=status.opened).result()
        self._playing.cancel()

    def keep(self, agent: str | None = None) -> None:
        """Do nothing: a replay waits for nobody."""

    def resume(self, agent: str | None = None) -> NoReturn:  # noqa: ARG002 - as in `Stream`
        """Raise: a replay makes no call."""
        raise StreamError(f"a replay makes no call: `%stream resume {self._of.id}` goes on")

    def regenerate(self, agent: str | None = None) -> NoReturn:  # noqa: ARG002 - as in `Stream`
        """Raise: a replay makes no call."""
        raise StreamError(f"a replay makes no call: `%stream regenerate {self._of.id}` asks anew")

    async def _play(self) -> None:
        try:
            await self._play_records()
        except StreamError as exc:  # damaged, or deleted meanwhile
            self._host.runtime.remark(self.id, f"{self._said}; {exc}")
        finally:
            self._over = True
            if self._lock is not None:
                self._lock.release()
            self._host.runtime.signal(self.id)

    async def _play_records(self) -> None:
        clock, after = self._clock, 0
        due = held_at = clock.monotonic()
        while records := await asyncio.to_thread(self._of.log.read, after, limit=PAGE):
            for record in records:
                due += self._pause_s(record)
                while (left := due - clock.monotonic()) > 0:
                    await clock.sleep(min(left, LOOK_S))
                    now = clock.monotonic()
                    if self._host.runtime.held(self.id):
                        held_at = now
                    elif now - held_at > UNHELD_S:
                        return
                after += 1
                if isinstance(record, Open):  # it names the stream it is in
                    record = replace(record, stream=self.id, key=self._key, parent=None)  # noqa: PLW2901
                self._log.append(after, record)

    def _pause_s(self, record: Record) -> float:
        at = moment(record.at, self._last_at)
        pause, self._last_at = max(0.0, at - self._last_at), at
        if isinstance(record, Open):
            pause = min(pause, REST_S)
        return pause / self._speed


def _replayed(facts: words.Facts) -> words.Facts:
    return replace(
        facts, replayed=True, in_memory=False, elsewhere=False, outlives_kernel=False, resumable=False,
        repeatable=False, ways=False,
    )  # fmt: skip


def _nowhere(source: Source) -> Recording:
    raise StreamError(f"a replay makes no call ({type(source).__name__})")

"""The recorder's pen: stores what has arrived, in order, and never drops what it could not store."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from nbstream.errors import StoreFull
from nbstream.log.readback import parts_of
from nbstream.recorder.batch import Batch
from nbstream.recorder.gathering import GATHER_S
from nbstream.recorder.progress import voice_of
from nbstream.records import Close

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.clock import Clock
    from nbstream.log.contract import Log
    from nbstream.recorder.live import Live
    from nbstream.recorder.progress import Progress
    from nbstream.records import Cursor, Delta, Part, Record

Found = TypeVar("Found")
#: How often a store that is full is tried again.
FULL_S = 1.0
#: What happens between two records and is told with the second, at the most; what came after that is left out.
MOST_TOLD = 32


class Writer:
    """
    Appends to *log* and moves *progress* behind every record once it is stored.

    While the store is full the record is kept and tried again every second; `live.saved` is False meanwhile, and
    whoever waits for `room` waits on. Any other error ends the writer, and every call that waits raises it. *changed*
    is called when `live` has changed. While nobody is in a hurry (*unhurried*), what comes waits a moment for more.
    """

    def __init__(
        self,
        log: Log,
        progress: Progress,
        live: Live,
        clock: Clock,
        changed: Callable[[], None],
        *,
        unhurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._log, self._progress, self._live = log, progress, live
        self._clock, self._changed, self._unhurried = clock, changed, unhurried
        self._batch = Batch(progress)
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        #: Entries of the batch that are stored.
        self._stored = 0
        #: Who numbers a record holds it until the record is stored.
        self._pen = asyncio.Lock()
        #: What happened since the last record and is no output.
        self._meanwhile: list[Mapping[str, Any]] = []
        self._error: Exception | None = None
        #: By voice. Of those whose text did not begin under this writer there is none: `sha256` then reads the log.
        self._digests: dict[str, hashlib._Hash] = {}
        shown = ("",) if progress.shown else ()
        self._begun_before = {*shown, *(name for name, track in progress.voices.items() if track.shown)}

    async def run(self) -> None:
        """Store what arrives until cancelled or the log refuses."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                # The first text is never delayed.
                if self._progress.begun and self._unhurried():
                    await self._clock.sleep(GATHER_S)
                while self._batch:
                    async with self._pen:
                        record = replace(self._batch.take(self._clock.time()), meanwhile=self._told())
                        taken = self._batch.taken
                        await self._store(record)
                        self._hash(record)
                        self._stored = taken
                    self._turn()
        except Exception as exc:
            self._error = exc
            self._turn()
            raise

    def add(self, parts: tuple[Part, ...], cursor: Cursor | None, voice: str = "") -> bool:
        """Queue the parts of one event; returns whether to wait for `room` before the next."""
        self._arrived.set()
        return self._batch.add(parts, cursor, voice)

    def tell(self, what: str, **fields: Any) -> None:
        """Let the next record that is no `open` say that *what* happened now; see docs/protocol.md, `meanwhile`."""
        if len(self._meanwhile) < MOST_TOLD:
            self._meanwhile.append({"at": self._clock.time(), "what": what, **fields})

    async def room(self) -> None:
        """Wait until there is room for more."""
        await self._until(lambda: not self._batch.full)

    async def flush(self) -> None:
        """Wait until everything added so far is stored; what others add meanwhile is not waited for."""
        added = self._batch.added
        await self._until(lambda: self._stored >= added)

    async def append(self, record: Record) -> int:
        """Store a record that is no output, behind everything added so far; return its offset."""
        await self.flush()
        async with self._pen:
            await self._store(replace(record, meanwhile=self._told()) if isinstance(record, Close) else record)
            return self._progress.tail

    async def read_back(self, question: Callable[[], Found]) -> Found:
        """Return what *question*, which may block, reads of the log; asked again while that is out of reach."""
        away = False
        while True:
            try:
                found = await asyncio.to_thread(question)
            except StoreFull as exc:
                away = True
                self._saved(saved=False, note=f"not saved: {exc}")
                await self._clock.sleep(FULL_S)
            else:
                if away and not self._pen.locked():  # else a record is being stored, which says how that goes
                    self._saved(saved=True, note=None)
                return found

    async def sha256(self, voice: str = "") -> str:
        """Return the hash of all text of *voice* (hex, over UTF-8)."""
        await self.flush()
        digest = self._digests.get(voice)
        if digest is None:
            digest = await self.read_back(partial(self._hash_log, voice))
        return digest.hexdigest()

    def _told(self) -> list[Mapping[str, Any]] | None:
        told, self._meanwhile = self._meanwhile, []
        return told or None

    async def _store(self, record: Record) -> None:
        while True:
            try:
                await asyncio.wrap_future(self._log.submit(self._progress.tail + 1, record))
            except StoreFull as exc:
                self._saved(saved=False, note=f"not saved: {exc}")
                await self._clock.sleep(FULL_S)
            else:
                self._progress.add(record)
                self._saved(saved=True, note=None)
                return

    def _saved(self, *, saved: bool, note: str | None) -> None:
        if self._live.saved is not saved:
            self._live.saved, self._live.note = saved, note
            self._changed()

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._error is not None:
                raise self._error
            await self._moved.wait()

    def _turn(self) -> None:
        """Wake whoever waits, once."""
        self._moved.set()
        self._moved.clear()

    def _hash(self, record: Delta) -> None:
        for part in record.parts:
            voice = voice_of(part.agent) if self._progress.team else ""
            if part.kind == "text" and voice not in self._begun_before:
                digest = self._digests.get(voice)
                if digest is None:
                    digest = self._digests[voice] = hashlib.sha256()
                digest.update(part.text.encode())

    def _hash_log(self, voice: str) -> hashlib._Hash:
        digest = hashlib.sha256()
        for part in parts_of(self._log):
            if part.kind == "text" and (not voice or voice_of(part.agent) == voice):
                digest.update(part.text.encode())
        return digest

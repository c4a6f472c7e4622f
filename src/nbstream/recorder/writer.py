"""The recorder's pen: stores what has arrived, in order, batching by being busy, and never drops what it could not store."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from nbstream.errors import LogError, StoreFull
from nbstream.recorder.batch import Batch
from nbstream.log.readback import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.clock import Clock
    from nbstream.log.contract import Log
    from nbstream.recorder.live import Live
    from nbstream.recorder.progress import Progress
    from nbstream.records import Cursor, Delta, Part, Record

#: How often a store that is full is tried again.
FULL_S = 1.0


class Writer:
    """
    Appends to *log* behind *progress*.

    While the store is full the batch is kept and tried again every second; `live.saved` is False meanwhile and the
    upstream pauses by itself, because `add` waits for room. Any other `LogError` ends the writer: every waiting call
    raises it.
    """

    def __init__(self, log: Log, progress: Progress, live: Live, clock: Clock, changed: Callable[[], None]) -> None:
        self.error: LogError | None = None
        self._log, self._progress, self._live = log, progress, live
        self._clock, self._changed = clock, changed
        self._batch = Batch(progress)
        self._moved = asyncio.Condition()
        self._idle = True
        #: None when the text did not begin under this writer; `sha256` then reads the log.
        self._digest = None if progress.shown else hashlib.sha256()

    async def run(self) -> None:
        """Store what arrives until cancelled or the log refuses."""
        try:
            while True:
                async with self._moved:
                    await self._moved.wait_for(lambda: bool(self._batch))
                    self._idle = False
                while self._batch:
                    record = self._batch.take(self._clock.time())
                    self._hash(record)
                    await self._store(self._progress.tail, record)
                    await self._notify()
                self._idle = True
                await self._notify()
        except LogError as exc:
            self.error = exc
            await self._notify()

    async def add(self, parts: tuple[Part, ...], cursor: Cursor | None) -> None:
        """Queue the parts of one event; waits while too much is waiting already."""
        was_empty = not self._batch
        self._batch.add(parts, cursor)
        if was_empty and self._idle:
            await self._notify()
        if self._batch.full:
            async with self._moved:
                await self._moved.wait_for(lambda: self.error is not None or not self._batch.full)
            self._check()

    async def flush(self, *, unless_full: bool = False) -> None:
        """Wait until everything added is stored; with *unless_full* not beyond the moment the store is full."""
        if self._batch or not self._idle:
            async with self._moved:
                await self._moved.wait_for(
                    lambda: (
                        self.error is not None
                        or (not self._batch and self._idle)
                        or (unless_full and not self._live.saved)
                    )
                )
        self._check()

    async def close(self, record: Record) -> None:
        """Store the last record of this writer."""
        await self.flush()
        await self._store(self._progress.tail + 1, record)
        self._progress.tail += 1

    async def sha256(self) -> str:
        """Return the hash of all recorded text (hex, over UTF-8)."""
        await self.flush()
        if self._digest is None:
            self._digest = await asyncio.to_thread(self._hash_log)
        return self._digest.hexdigest()

    async def _store(self, offset: int, record: Record) -> None:
        while True:
            try:
                await asyncio.wrap_future(self._log.submit(offset, record))
            except StoreFull as exc:
                if self._live.saved:
                    self._live.saved, self._live.note = False, f"not saved: {exc}"
                    await self._notify()
                    self._changed()
                await self._clock.sleep(FULL_S)
            else:
                if not self._live.saved:
                    self._live.saved, self._live.note = True, None
                    self._changed()
                return

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _hash(self, record: Delta) -> None:
        if self._digest is not None:
            for part in record.parts:
                if part.kind == "text":
                    self._digest.update(part.text.encode())

    def _hash_log(self) -> hashlib._Hash:
        digest = hashlib.sha256()
        for part in parts_of(self._log):
            if part.kind == "text":
                digest.update(part.text.encode())
        return digest

"""The log of one stream on disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from nbstream.errors import LogDamaged
from nbstream.log import changes, rows
from nbstream.records import Close, Open, Record, encode

if TYPE_CHECKING:
    from nbstream.log.attached import Attached


class DiskLog:
    """A `Log`; *here* returns what this process holds of the store, *noted* is when the stream was last touched."""

    def __init__(self, stream: str, here: Callable[[], Attached], clock: Callable[[], float], *, noted: float) -> None:
        self._stream = stream
        self._here = here
        self._clock = clock
        self._noted = noted

    @property
    def stream(self) -> str:
        """See `Log.stream`."""
        return self._stream

    def submit(self, offset: int, record: Record) -> Future[None]:
        """See `Log.submit`."""
        row = encode(record)
        now = self._clock()
        touches = isinstance(record, (Open, Close)) or now - self._noted > rows.NOTE_EVERY_S
        if touches:
            self._noted = now
        return self._here().writer.submit(
            lambda cache: changes.append(cache, self._stream, offset, record, row, touched=now if touches else None),
            stream=self._stream,
        )

    def append(self, offset: int, record: Record) -> None:
        """See `Log.append`."""
        self.submit(offset, record).result()

    def read(self, after: int = -1, *, limit: int = 1000) -> list[Record]:
        """See `Log.read`."""
        after = max(after, -1)
        with self._here().table.snapshot() as seen:
            if not seen.has(self._stream):
                raise rows.gone(self._stream)
            page = seen.page(self._stream, after, limit)
        # Decoded outside the snapshot: other readers do not wait for it.
        records: list[Record] = []
        for offset, row in enumerate(page, after + 1):
            try:
                records.append(row.record(self._stream, offset))
            except LogDamaged:
                if not records:
                    raise
                break  # the next read begins here and raises
        return records

    def tail(self) -> int:
        """See `Log.tail`."""
        with self._here().table.snapshot() as seen:
            if not seen.has(self._stream):
                raise rows.gone(self._stream)
            return seen.tail(self._stream)

    def wait(self, after: int, timeout_s: float) -> bool:
        """See `Log.wait`."""
        return self._here().hub.wait(self._stream, lambda: self.tail() > after, timeout_s)

    def subscribe(self, look: Callable[[], None]) -> Callable[[], None]:
        """See `Log.subscribe`."""
        return self._here().hub.subscribe(self._stream, look)

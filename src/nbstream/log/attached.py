"""What one process holds of a store on disk: the writing thread, the reading connection, the locks, the listeners."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbstream.errors import LogDamaged, StoreFull
from nbstream.log import changes
from nbstream.log.cache import FAILURES, FILE, Durability, open_cache, refusal
from nbstream.log.home import private
from nbstream.log.hub import Hub
from nbstream.log.lock import HeldLock, LockFiles
from nbstream.log.table import Table
from nbstream.log.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Collection


class Attached:
    """
    A store, opened: for one process, since threads and SQLite connections do not survive a fork.

    Opening raises `StoreFull` when the directory cannot be written, `LogDamaged` when its file is no store.
    """

    def __init__(self, directory: Path, durability: Durability, now: float) -> None:
        self._directory = directory
        self._locks = LockFiles(directory / "locks")
        self.hub = Hub(self._changed)

        def open_here() -> Any:
            private(directory)
            return open_cache(directory, durability)

        self.writer = Writer(directory, open_cache=open_here, signal=self.hub.signal)
        try:
            self.table = self._open(now)
        except BaseException:
            self.writer.close()
            raise

    def hold(self, stream: str) -> HeldLock | None:
        """Become the writer of *stream*, or None while somebody else is; raises `StoreFull`."""
        try:
            return self._locks.acquire(stream)
        except OSError as exc:
            raise refusal(exc, self._directory) from exc

    def live(self, stream: str) -> bool:
        """Say whether *stream* has a writer, here or in another process."""
        try:
            return self._locks.held(stream)
        except OSError as exc:
            raise refusal(exc, self._directory) from exc

    def size(self) -> int:
        """Return the bytes of the store's files, the write-ahead log among them."""
        sizes = 0
        for path in self._directory.glob(f"{FILE}*"):
            with suppress(FileNotFoundError):  # the last process that closes the store takes the log away
                sizes += path.stat().st_size
        return sizes

    def close(self) -> None:
        """Write what is waiting, then release everything."""
        self.writer.close()
        self._locks.release_all()
        self.hub.close()
        self.table.close()

    def _changed(self, streams: Collection[str]) -> Collection[str]:
        return self.table.changed(streams)

    def _open(self, now: float) -> Table:
        full: StoreFull | None = None
        try:
            self.writer.submit(lambda cache: changes.first_stamp(cache, now)).result()
        except StoreFull as exc:
            # What is saved can be read on a full disk, too; the next write says again that it is full.
            full = exc
        try:
            return Table(self._directory)
        except LogDamaged:
            if full is not None:
                raise full from None
            raise
        except FAILURES as exc:
            raise full or refusal(exc, self._directory) from exc

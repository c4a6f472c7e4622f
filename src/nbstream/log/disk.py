"""
The store on disk: one diskcache file, shared by every process of this user.

Writes go through one thread (`writer`), reads through one connection (`table`), the right to write a stream is a file
lock (`lock`). Nothing is kept in memory that a SIGKILL could take away.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nbstream.errors import Fenced, LogDamaged, LogError, StoreFull, StreamGone
from nbstream.log import changes, rows
from nbstream.log.contract import Lock, Started, Status, Want
from nbstream.log.disk_log import DiskLog
from nbstream.log.home import local, store_directory
from nbstream.log.per_process import PerProcess
from nbstream.log.readback import one_by_one
from nbstream.log.retention import clock_is_sane, expired
from nbstream.records import Open, Record, encode

if TYPE_CHECKING:
    from nbstream.log.attached import Attached
    from nbstream.log.table import Snapshot

#: Rows removed in one transaction: other writers wait for some 30 ms, not for a whole stream.
CHUNK = 1000


def open_disk_store(
    path: Path | None = None,
    *,
    durability: Literal["process", "power"] = "process",
    clock: Callable[[], float] = time.time,
) -> DiskStore:
    """
    Open the store in *path* (default: `NBSTREAM_HOME`, else the user's cache directory), making it if need be.

    `durability="power"` survives the loss of power too, at one fsync a commit. Raises `StoreFull` when the directory
    cannot be written, `LogDamaged` when the file in it is no store.
    """
    directory = path or store_directory()
    try:
        directory = local(directory)
    except OSError as exc:
        raise StoreFull(f"no place for the store ({exc}); set NBSTREAM_HOME to a directory of this machine") from exc
    return DiskStore(directory, durability=durability, clock=clock)


class DiskStore:
    """A `Store` in a directory; made by `open_disk_store`."""

    def __init__(self, directory: Path, *, durability: Literal["process", "power"], clock: Callable[[], float]) -> None:
        self.directory = directory
        self._durability = durability
        self._clock = clock
        self._own = PerProcess(self._attach)

    def start(self, first: Open, *, replaces: str | None = None) -> Started:
        """See `Store.start`."""
        stream, row = rows.stream_id(first.stream), encode(first)
        # Held before the transaction: nobody may find the stream without its writer.
        lock = None if self._has(stream) else self._here.hold(stream)
        if lock is None:
            raise rows.taken(stream)
        now = self._clock()
        try:
            theirs = self._here.writer.submit(
                lambda cache: changes.claim(cache, first, row, replaces=replaces, now=now), stream=stream
            ).result()
        except BaseException:
            lock.remove()
            raise
        if theirs is not None:
            lock.remove()
            return Started(self._log(theirs), None)
        return Started(self._log(stream, noted=now), lock)

    def find(self, key: str) -> str | None:
        """See `Store.find`."""
        with self._here.table.snapshot() as seen:
            named = seen.value(rows.key_row(key))
            return named.decode() if named is not None and seen.has(named.decode()) else None

    def log(self, stream: str) -> DiskLog:
        """See `Store.log`."""
        self._require(stream)
        return self._log(stream)

    def read(self, wants: Sequence[Want]) -> builtins.list[builtins.list[Record] | LogError]:
        """See `Store.read`."""
        return one_by_one(wants)

    def lock(self, stream: str) -> Lock | None:
        """See `Store.lock`."""
        self._require(stream)
        lock = self._here.hold(stream)
        if lock is not None and not self._has(stream):  # deleted while we waited
            lock.remove()
            raise rows.gone(stream)
        return lock

    def status(self, stream: str) -> Status:
        """See `Store.status`."""
        self._require(stream)
        # Asked before reading: a writer that closes and lets go in between is seen as closed, not as dead.
        live = self._here.live(stream)
        with self._here.table.snapshot() as seen:
            meta = seen.meta(stream)
            status = rows.describe(
                stream,
                meta,
                tail=seen.tail(stream),
                record=lambda offset: seen.record(stream, offset),
                live=live,
                stop_requested=seen.value(rows.stop_row(stream, meta.opened, None)) is not None,
            )
        if live or status.close is not None:
            return status
        # Asked again: a writer that took over in between is seen as live.
        return replace(status, live=self._here.live(stream))

    def list(self, *, key: Callable[[str], bool] | None = None) -> builtins.list[Status]:
        """See `Store.list`."""
        with self._here.table.snapshot() as seen:
            streams = seen.streams()
            if key is not None:
                streams = [stream for stream in streams if _has_key(seen, stream, key)]
        found = []
        for stream in streams:
            with suppress(StreamGone, LogDamaged):  # deleted meanwhile; not to be shown
                found.append(self.status(stream))
        return sorted(found, key=lambda status: status.created, reverse=True)

    def left(
        self, *, key: Callable[[str], bool] | None = None, known: Container[tuple[str, int]] = ()
    ) -> builtins.list[Status]:
        """See `Store.left`."""
        return [one for one in self.list(key=key) if one.left and (one.stream, one.tail) not in known]

    def request_stop(self, stream: str, *, opened: int, agent: str | None = None) -> Future[None]:
        """See `Store.request_stop`."""
        return self._here.writer.submit(lambda cache: changes.request_stop(cache, stream, opened, agent), stream=stream)

    def stop_requested(self, stream: str, *, opened: int, agent: str | None = None) -> bool:
        """See `Store.stop_requested`."""
        with self._here.table.snapshot() as seen:
            if not seen.has(stream):
                raise rows.gone(stream)
            wanted = {rows.stop_row(stream, opened, None), rows.stop_row(stream, opened, agent)}
            return any(seen.value(row) is not None for row in wanted)

    def touch(self, stream: str) -> None:
        """See `Store.touch`."""
        now = self._clock()
        self._here.writer.submit(lambda cache: changes.touch(cache, stream, now)).result()

    def touched(self, streams: Sequence[str]) -> dict[str, float]:
        """See `Store.touched`."""
        found = {}
        with self._here.table.snapshot() as seen:
            for stream in streams:
                with suppress(StreamGone, LogDamaged):
                    found[stream] = seen.meta(stream).touched
        return found

    def delete(self, stream: str) -> None:
        """See `Store.delete`."""
        if self._has(stream):
            self._remove(stream)

    def sweep(self, *, days: float = 30, now: float | None = None, asked: bool = False) -> builtins.list[str]:
        """See `Store.sweep`."""
        when = self._clock() if now is None else now
        last = self._here.writer.submit(lambda cache: changes.stamp(cache, when)).result()
        if not asked and (last is None or not clock_is_sane(when, last)):
            return []
        with self._here.table.snapshot() as seen:
            streams, orphans = seen.streams(), seen.orphans()
        for stream in orphans:
            self._remove_rows(stream)

        def old(meta: rows.Meta) -> bool:
            return expired(meta.touched, now=when, days=days)

        swept = []
        for stream in streams:
            with suppress(StreamGone, LogDamaged, Fenced):  # deleted meanwhile; of unknown age; live
                with self._here.table.snapshot() as seen:
                    due = old(seen.meta(stream))
                # And asked again in the transaction: somebody may display it just now.
                if due and self._remove(stream, only_if=old):
                    swept.append(stream)
        return swept

    def size(self) -> int:
        """See `Store.size`."""
        return self._here.size()

    @property
    def closed(self) -> bool:
        """See `Store.closed`."""
        return self._own.closed

    def close(self) -> None:
        """See `Store.close`."""
        self._own.close()

    @property
    def _here(self) -> Attached:
        """What this process holds of the store."""
        return self._own.here

    def _attach(self) -> Attached:
        # diskcache and filelock cost 40 ms to import.
        from nbstream.log.attached import Attached

        return Attached(self.directory, self._durability, self._clock())

    def _log(self, stream: str, *, noted: float = 0.0) -> DiskLog:
        return DiskLog(stream, lambda: self._here, self._clock, noted=noted)

    def _has(self, stream: str) -> bool:
        with self._here.table.snapshot() as seen:
            return seen.has(stream)

    def _require(self, stream: str) -> None:
        if not self._has(stream):
            raise rows.gone(stream)

    def _remove(self, stream: str, only_if: Callable[[rows.Meta], bool] | None = None) -> bool:
        lock = self._here.hold(stream)
        if lock is None:
            raise rows.writer_lives(stream)
        try:
            forgotten = self._here.writer.submit(
                lambda cache: changes.forget(cache, stream, only_if), stream=stream
            ).result()
            if forgotten:
                self._remove_rows(stream)
        except BaseException:
            lock.release()
            raise
        if forgotten:
            lock.remove()
        else:
            lock.release()
        return forgotten

    def _remove_rows(self, stream: str) -> None:
        for prefix in (rows.stop_rows(stream), f"{stream}/"):
            while True:
                with self._here.table.snapshot() as seen:
                    keys = seen.keys(prefix, CHUNK)
                if not keys:
                    break
                self._here.writer.submit(partial(changes.remove, keys=keys)).result()


def _has_key(seen: Snapshot, stream: str, key: Callable[[str], bool]) -> bool:
    try:
        return key(seen.meta(stream).key)
    except LogDamaged:
        return False

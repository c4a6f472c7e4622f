"""The store that forgets: for tests, and for streams that must not reach a disk."""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from nbstream.errors import LogError
from nbstream.log import rows
from nbstream.log.contract import Started, Status, Want
from nbstream.log.hub import Hub
from nbstream.log.readback import one_by_one
from nbstream.log.retention import clock_is_sane, expired
from nbstream.records import Close, Open, Record, decode, encode


class MemoryStore:
    """A `Store` in this process's memory; it ends with `close` or with the process."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._shelf = _Shelf(clock)
        self._swept = clock()

    def start(self, first: Open, *, replaces: str | None = None) -> Started:
        """See `Store.start`."""
        stream, shelf = rows.stream_id(first.stream), self._shelf
        with shelf.lock:
            named = self.find(first.key)
            if named is not None and named != replaces:
                return Started(_MemoryLog(shelf, named), None)
            if stream in shelf.streams:
                raise rows.taken(stream)
            now = shelf.clock()
            shelf.streams[stream] = _Kept(rows.Meta(first.key, 0, now, now), [encode(first)])
            shelf.keys[first.key] = stream
            return Started(_MemoryLog(shelf, stream), self.lock(stream))

    def find(self, key: str) -> str | None:
        """See `Store.find`."""
        self._shelf.check_open()
        return self._shelf.keys.get(key)

    def log(self, stream: str) -> _MemoryLog:
        """See `Store.log`."""
        self._shelf.kept(stream)
        return _MemoryLog(self._shelf, stream)

    def read(self, wants: Sequence[Want]) -> builtins.list[builtins.list[Record] | LogError]:
        """See `Store.read`."""
        return one_by_one(wants)

    def lock(self, stream: str) -> _MemoryLock | None:
        """See `Store.lock`."""
        shelf = self._shelf
        with shelf.lock:
            shelf.kept(stream)
            if stream in shelf.held:
                return None
            lock = shelf.held[stream] = _MemoryLock(shelf, stream)
            return lock

    def status(self, stream: str) -> Status:
        """See `Store.status`."""
        with self._shelf.lock:
            kept = self._shelf.kept(stream)
            return rows.describe(
                stream,
                kept.meta,
                tail=len(kept.records) - 1,
                record=lambda offset: decode(kept.records[offset], stream=stream, offset=offset),
                live=stream in self._shelf.held,
                stop_requested=(kept.meta.opened, None) in kept.stops,
            )

    def list(self, *, key: Callable[[str], bool] | None = None) -> builtins.list[Status]:
        """See `Store.list`."""
        with self._shelf.lock:
            self._shelf.check_open()
            kept = self._shelf.streams.items()
            found = [self.status(stream) for stream, one in kept if key is None or key(one.meta.key)]
        return sorted(found, key=lambda status: status.created, reverse=True)

    def left(
        self, *, key: Callable[[str], bool] | None = None, known: Container[tuple[str, int]] = ()
    ) -> builtins.list[Status]:
        """See `Store.left`."""
        return [one for one in self.list(key=key) if one.left and (one.stream, one.tail) not in known]

    def request_stop(self, stream: str, *, opened: int, agent: str | None = None) -> Future[None]:
        """See `Store.request_stop`."""
        return self._shelf.change(stream, lambda kept: kept.stops.add((opened, agent)))

    def stop_requested(self, stream: str, *, opened: int, agent: str | None = None) -> bool:
        """See `Store.stop_requested`."""
        stops = self._shelf.kept(stream).stops
        return (opened, None) in stops or (opened, agent) in stops

    def touch(self, stream: str) -> None:
        """See `Store.touch`."""
        with self._shelf.lock:
            kept = self._shelf.kept(stream)
            kept.meta = kept.meta._replace(touched=self._shelf.clock())

    def touched(self, streams: Sequence[str]) -> dict[str, float]:
        """See `Store.touched`."""
        with self._shelf.lock:
            self._shelf.check_open()
            kept = self._shelf.streams
            return {stream: kept[stream].meta.touched for stream in streams if stream in kept}

    def delete(self, stream: str) -> None:
        """See `Store.delete`."""
        shelf = self._shelf
        with shelf.lock:
            shelf.check_open()
            if stream in shelf.held:
                raise rows.writer_lives(stream)
            kept = shelf.streams.pop(stream, None)
            if kept is not None and shelf.keys.get(kept.meta.key) == stream:
                del shelf.keys[kept.meta.key]
        shelf.hub.signal(stream)

    def sweep(self, *, days: float = 30, now: float | None = None, asked: bool = False) -> builtins.list[str]:
        """See `Store.sweep`."""
        shelf = self._shelf
        with shelf.lock:
            shelf.check_open()
            now = shelf.clock() if now is None else now
            last, self._swept = self._swept, now
            if not asked and not clock_is_sane(now, last):
                return []
            old = [
                stream
                for stream, kept in shelf.streams.items()
                if stream not in shelf.held and expired(kept.meta.touched, now=now, days=days)
            ]
            for stream in old:
                self.delete(stream)
            return old

    def size(self) -> int:
        """See `Store.size`."""
        with self._shelf.lock:
            self._shelf.check_open()
            return sum(len(record) for kept in self._shelf.streams.values() for record in kept.records)

    @property
    def closed(self) -> bool:
        """See `Store.closed`."""
        return self._shelf.closed

    def close(self) -> None:
        """See `Store.close`."""
        with self._shelf.lock:
            self._shelf.closed = True
            self._shelf.held.clear()
        self._shelf.hub.close()


@dataclass(slots=True)
class _Kept:
    """One stream. Records are kept as bytes, so that no reader can change what another one reads."""

    meta: rows.Meta
    records: builtins.list[bytes]
    stops: set[tuple[int, str | None]] = field(default_factory=set)


class _Shelf:
    """What the store, its logs and its locks share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        # Reentrant: the calls of the store are built from each other.
        self.lock = threading.RLock()
        self.streams: dict[str, _Kept] = {}
        self.keys: dict[str, str] = {}
        self.held: dict[str, _MemoryLock] = {}
        self.hub = Hub()
        self.closed = False

    def check_open(self) -> None:
        if self.closed:
            raise rows.closed()

    def kept(self, stream: str) -> _Kept:
        self.check_open()
        try:
            return self.streams[stream]
        except KeyError:
            raise rows.gone(stream) from None

    def change(self, stream: str, make: Callable[[_Kept], None]) -> Future[None]:
        """Make a change now, and say how it went as the other stores do: by a future."""
        self.check_open()
        future: Future[None] = Future()
        try:
            with self.lock:
                make(self.kept(stream))
        except LogError as exc:
            future.set_exception(exc)
        else:
            future.set_result(None)
            self.hub.signal(stream)
        return future


class _MemoryLog:
    def __init__(self, shelf: _Shelf, stream: str) -> None:
        self._shelf = shelf
        self._stream = stream

    @property
    def stream(self) -> str:
        """See `Log.stream`."""
        return self._stream

    def submit(self, offset: int, record: Record) -> Future[None]:
        """See `Log.submit`."""
        data = encode(record)

        def add(kept: _Kept) -> None:
            if offset != len(kept.records):
                raise rows.not_behind_tail(self._stream, offset)
            kept.records.append(data)
            if isinstance(record, Open):
                kept.meta = kept.meta._replace(opened=offset, key=self._rename(kept.meta.key, record.key))
            if isinstance(record, (Open, Close)):
                kept.meta = kept.meta._replace(touched=self._shelf.clock())

        return self._shelf.change(self._stream, add)

    def _rename(self, old: str, new: str) -> str:
        keys = self._shelf.keys
        if keys.setdefault(new, self._stream) != self._stream:
            return old
        if new != old and keys.get(old) == self._stream:
            del keys[old]
        return new

    def append(self, offset: int, record: Record) -> None:
        """See `Log.append`."""
        self.submit(offset, record).result()

    def read(self, after: int = -1, *, limit: int = 1000) -> list[Record]:
        """See `Log.read`."""
        begin = max(after, -1) + 1
        page = self._shelf.kept(self._stream).records[begin : begin + limit]
        return [decode(data, stream=self._stream, offset=offset) for offset, data in enumerate(page, begin)]

    def tail(self) -> int:
        """See `Log.tail`."""
        return len(self._shelf.kept(self._stream).records) - 1

    def wait(self, after: int, timeout_s: float) -> bool:
        """See `Log.wait`."""
        return self._shelf.hub.wait(self._stream, lambda: self.tail() > after, timeout_s)

    def subscribe(self, look: Callable[[], None]) -> Callable[[], None]:
        """See `Log.subscribe`."""
        return self._shelf.hub.subscribe(self._stream, look)


class _MemoryLock:
    def __init__(self, shelf: _Shelf, stream: str) -> None:
        self._shelf = shelf
        self._stream = stream

    def release(self) -> None:
        """See `Lock.release`."""
        with self._shelf.lock:
            if self._shelf.held.get(self._stream) is self:
                del self._shelf.held[self._stream]

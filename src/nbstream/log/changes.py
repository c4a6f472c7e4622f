"""
Every change of the store, as what is done to the diskcache inside the writer's transaction.

Each checks before it writes, so that a refusal (a `LogError`) leaves nothing behind in the shared transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nbstream.errors import LogDamaged
from nbstream.log import rows
from nbstream.records import Open, Record


def claim(cache: Any, first: Open, row: bytes, *, replaces: str | None, now: float) -> str | None:
    """Make the stream of *first* and let its key name it; or return the stream that the key names already."""
    named = cache.get(rows.key_row(first.key))
    if named is not None and rows.meta_row(named.decode()) in cache and named.decode() != replaces:
        return str(named.decode())
    if rows.meta_row(first.stream) in cache:
        raise rows.taken(first.stream)
    cache.set(rows.meta_row(first.stream), rows.Meta(first.key, 0, now, now).to_bytes())
    cache.set(rows.key_row(first.key), first.stream.encode())
    cache.set(rows.record_row(first.stream, 0), row)
    return None


def append(cache: Any, stream: str, offset: int, record: Record, row: bytes, *, touched: float | None) -> None:
    """Add a record right behind the tail; *touched* (seconds since the epoch) is noted if it is given."""
    if touched is None:
        meta = None
        _require(cache, stream)
    else:
        meta = _meta(cache, stream)._replace(touched=touched)
    here = rows.record_row(stream, offset)
    if here in cache or (offset != 0 and rows.record_row(stream, offset - 1) not in cache):
        raise rows.not_behind_tail(stream, offset)
    cache.add(here, row)
    if meta is not None:
        if isinstance(record, Open):
            meta = meta._replace(opened=offset, key=_rename(cache, stream, meta.key, record.key))
        cache.set(rows.meta_row(stream), meta.to_bytes())


def _rename(cache: Any, stream: str, old: str, new: str) -> str:
    """Let *new* name the stream instead of *old*, unless it names another one; return the key that does."""
    named = cache.get(rows.key_row(new))
    if named is not None and named.decode() != stream and rows.meta_row(named.decode()) in cache:
        return old
    if new != old:
        cache.set(rows.key_row(new), stream.encode())
        if cache.get(rows.key_row(old)) == stream.encode():
            cache.delete(rows.key_row(old))
    return new


def request_stop(cache: Any, stream: str, opened: int, agent: str | None) -> None:
    """Set a stop row."""
    _require(cache, stream)
    cache.set(rows.stop_row(stream, opened, agent), b'{"v":1}')


def touch(cache: Any, stream: str, now: float) -> None:
    """Note that the stream is displayed."""
    cache.set(rows.meta_row(stream), _meta(cache, stream)._replace(touched=now).to_bytes())


def forget(cache: Any, stream: str, only_if: Callable[[rows.Meta], bool] | None = None) -> bool:
    """Remove the stream's entry and key, so that readers find it gone; its records go in later transactions."""
    row = rows.meta_row(stream)
    if only_if is not None and not (row in cache and only_if(_meta(cache, stream))):
        return False
    try:
        key = rows.key_row(_meta(cache, stream).key)
    except LogDamaged:
        # Its key is unknown; a key row that names no stream is as good as none.
        cache.delete(row)
        return True
    if cache.get(key) == stream.encode():
        cache.delete(key)
    cache.delete(row)
    return True


def remove(cache: Any, keys: Iterable[str]) -> None:
    """Remove rows."""
    for key in keys:
        cache.delete(key)


def stamp(cache: Any, now: float) -> float | None:
    """Set the time of this sweep and return that of the last one; None if that cannot be read."""
    try:
        before = float(cache.get(rows.SWEEP, b""))
    except (ValueError, LogDamaged):
        before = None
    cache.set(rows.SWEEP, repr(now).encode())
    return before


def first_stamp(cache: Any, now: float) -> None:
    """Let a new store count as just swept."""
    cache.add(rows.SWEEP, repr(now).encode())


def _require(cache: Any, stream: str) -> None:
    if rows.meta_row(stream) not in cache:
        raise rows.gone(stream)


def _meta(cache: Any, stream: str) -> rows.Meta:
    data = cache.get(rows.meta_row(stream))
    if data is None:
        raise rows.gone(stream)
    return rows.Meta.from_bytes(data, stream)

"""
What a store keeps beside the records: one meta row a stream, the row that a key names, stop rows.

"!" sorts before every character of a stream id, so a scan of the metas never meets a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from nbstream.errors import Fenced, LogDamaged, StreamGone
from nbstream.log.contract import Status
from nbstream.records import Close, Open, Record

#: Stamp of the last sweep, seconds since the epoch.
SWEEP = "!sweep"
METAS = "!m:"
#: A long answer is seen while it streams: that it was touched is noted this often, and not with every record.
NOTE_EVERY_S = 3600.0

#: What to do about a stream that cannot be read at all.
ANEW = "`%%stream --fresh` in its cell asks anew"

_STREAM_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def stream_id(text: str) -> str:
    """Return *text* if it can name a stream (url-safe: it becomes part of a file name), else raise `ValueError`."""
    if not _STREAM_ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no stream id: 1 to 128 letters, digits, '-' and '_'")
    return text


def record_row(stream: str, offset: int) -> str:
    """Key of the record at *offset*; ten digits, so that text order is offset order."""
    return f"{stream}/{offset:010d}"


def meta_row(stream: str) -> str:
    """Key of the stream's meta row."""
    return METAS + stream


def key_row(key: str) -> str:
    """Key of the row that holds the id of the stream *key* names."""
    return f"!k:{key}"


def stop_rows(stream: str) -> str:
    """Begin of the keys of all stop rows of *stream*."""
    return f"!s:{stream}:"


def stop_row(stream: str, opened: int, agent: str | None) -> str:
    """Key of one stop row; `*` is all agents, and an agent that is called "*" is only itself."""
    return f"{stop_rows(stream)}{opened}" + ("*" if agent is None else f":{agent}")


class Meta(NamedTuple):
    """What is known about a stream without reading its log."""

    key: str
    #: Offset of the last `open`.
    opened: int
    created: float
    touched: float

    def to_bytes(self) -> bytes:
        """Return the row as it is stored."""
        return json.dumps({"v": 1, **self._asdict()}, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, stream: str) -> Meta:
        """Read a stored row; anything else raises `LogDamaged` naming *stream*."""
        try:
            body = json.loads(data)
            if body.pop("v") != 1:
                raise ValueError("another version")  # noqa: TRY301 - one place turns every damage into one error
            return cls(str(body["key"]), int(body["opened"]), float(body["created"]), float(body["touched"]))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise LogDamaged(
                f"the entry of stream {stream} is damaged or foreign ({type(exc).__name__}: {exc}); {ANEW}"
            ) from exc


def describe(
    stream: str, meta: Meta, *, tail: int, record: Callable[[int], Record], live: bool, stop_requested: bool
) -> Status:
    """Put together what `Store.status` returns; *record* reads one record by its offset."""
    try:
        last = record(tail) if tail > meta.opened else None
    except LogDamaged:
        last = None  # nobody knows how it ended; whoever reads the log meets the damage
    return Status(
        stream=stream,
        open=_opening(stream, meta, record),
        opened=meta.opened,
        tail=tail,
        close=last if isinstance(last, Close) else None,
        live=live,
        stop_requested=stop_requested,
        created=meta.created,
        touched=meta.touched,
    )


def _opening(stream: str, meta: Meta, record: Callable[[int], Record]) -> Open:
    """Return the last `open`; the first one if that of a resume is damaged: the question is the same."""
    damage: LogDamaged | None = None
    for offset in (meta.opened, 0):
        try:
            found = record(offset)
        except LogDamaged as exc:
            damage = exc
            continue
        if isinstance(found, Open):
            return found
    msg = f"the beginning of stream {stream} (record {meta.opened}, an `open`) is damaged or foreign; {ANEW}"
    raise LogDamaged(msg) from damage


def gone(stream: str) -> StreamGone:
    """Return the error for a stream that is not (or no longer) there."""
    return StreamGone(f"stream {stream[:80]} is not in this store: it has expired, was deleted, or never was here")


def taken(stream: str) -> Fenced:
    """Return the error for a new stream whose id is in use."""
    return Fenced(f"stream {stream} exists already; a new stream needs a new id")


def not_behind_tail(stream: str, offset: int) -> Fenced:
    """Return the error for an append that is not right behind the tail."""
    return Fenced(
        f"record {offset} of stream {stream} was refused: it is not right behind the last one, so another writer has"
        " the stream; read on as a reader"
    )


def writer_lives(stream: str) -> Fenced:
    """Return the error for the deletion of a live stream."""
    return Fenced(f"stream {stream} is live; `%stream stop {stream}` first, then delete it")


def closed() -> RuntimeError:
    """Return the error for a call to a store after its `close`."""
    return RuntimeError("the store is closed; open it again")


def missing(stream: str, offset: int) -> LogDamaged:
    """Return the error for a hole in a log."""
    return LogDamaged(
        f"record {offset} of stream {stream} is missing; what is before it is intact: `%stream show {stream}`, or"
        " `%%stream --fresh` for a new answer"
    )


def foreign(stream: str, offset: int) -> LogDamaged:
    """Return the error for what is no record of ours where one should be."""
    return LogDamaged(
        f"record {offset} of stream {stream} was written by another program and was not loaded; what is before it is"
        f" intact: `%stream show {stream}`, or `%%stream --fresh` for a new answer"
    )

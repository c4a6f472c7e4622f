"""What is behind an offset, by the batch: as much as one write, or one page, may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from nbstream.errors import LogDamaged
from nbstream.log.contract import Want
from nbstream.records import Close

if TYPE_CHECKING:
    from collections.abc import Generator

    from nbstream.log.contract import Log
    from nbstream.records import Record

#: Records a first read takes: at 16 KiB each they make one batch.
FIRST = 16


class Encoder(Protocol):
    """Turns records into the bytes of an answer."""

    def record(self, offset: int, record: Record) -> bytes:
        """Return the bytes of one record; none, if this form does not show it."""


class Batch(NamedTuple):
    """What was behind an offset."""

    items: list[bytes]
    #: Offset of the last record in it, or the one it was asked behind.
    upto: int
    #: Nothing will ever follow: it ends with `close(complete)`.
    last: bool
    #: There may be more by now: this is all that was to fit.
    full: bool


def read(
    log: Log, after: int, encoder: Encoder, *, most_bytes: int, most: int = 2**63
) -> Generator[Want, list[Record], Batch]:
    """
    Read what is behind *after*, up to about *most_bytes* bytes or *most* records (and at least one record).

    Yields what it wants of the log and is sent the records, so that several are read at once. Raises `StreamGone`, and
    `LogDamaged` when the first record wanted is damaged.
    """
    items: list[bytes] = []
    size, limit = 0, FIRST
    while size < most_bytes and len(items) < most:
        wanted = min(limit, most - len(items))
        try:
            records = yield Want(log, after, wanted)
        except LogDamaged:
            if not items:
                raise
            records = []  # the next read begins here, and raises
        for record in records:
            after += 1
            items.append(encoder.record(after, record))
            size += len(items[-1])
            if is_complete(record):
                return Batch(items, after, last=True, full=False)
            if size >= most_bytes:
                break
        else:
            if len(records) < wanted:
                return Batch(items, after, last=False, full=False)
            # Short records are fetched by the hundred, but hardly more than fit.
            limit = 2 * limit if size < most_bytes // 4 else limit
    return Batch(items, after, last=False, full=True)


def is_complete(record: Record) -> bool:
    """Whether nothing will ever follow *record*."""
    return isinstance(record, Close) and record.how == "complete"


def ended(log: Log, after: int) -> bool:
    """Whether *after* is behind `close(complete)` already. Raises `ValueError` if it is behind the end of the log."""
    tail = log.tail()
    if after > tail:
        raise ValueError(f"offset {after} is behind the end of the log ({tail})")
    if not after == tail >= 0:
        return False
    try:
        return any(map(is_complete, log.read(tail - 1, limit=1)))
    except LogDamaged:
        return False  # nobody knows how it ended, and who asks behind it does not want to

"""Reading text back out of a log: by range, or whole."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nbstream.errors import LogDamaged, LogError
from nbstream.records import Delta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbstream.log.contract import Log, Want
    from nbstream.records import Part, Record

#: Records a read takes at a time: 1 MiB at the most, whatever the stream's length. Its bytes, its records and those of
#: the page before are held at once, in each thread that reads, and a thread's heap stays as large as it once was: 256
#: took a kernel 25 MB behind a flood of any size. From 32 on a larger page reads no faster.
PAGE = 64


def records_of(log: Log, after: int = -1) -> Iterator[Record]:
    """Yield the records behind *after*, in pages, until the tail of this moment."""
    while records := log.read(after, limit=PAGE):
        yield from records
        after += len(records)


def one_by_one(wants: Sequence[Want]) -> list[list[Record] | LogError]:
    """Read several logs one after the other, for a store that is no journey away; see `Store.read`."""
    found: list[list[Record] | LogError] = []
    for want in wants:
        try:
            found.append(want.log.read(want.after, limit=want.limit))
        except LogError as exc:
            found.append(exc)
    return found


def intact(records: Iterator[Record]) -> Iterator[Record]:
    """Yield *records* up to the first damaged one; who shows them says so (`Stream.damage`)."""
    with suppress(LogDamaged):
        yield from records


def parts_of(log: Log, after: int = -1) -> Iterator[Part]:
    """Yield every part behind record *after*."""
    for record in records_of(log, after):
        if isinstance(record, Delta):
            yield from record.parts


def spoken_range(log: Log, agent: str, kind: str, start: int, end: int) -> str:
    """
    Return what *agent* has said of *kind* from code point *start* to *end*, counting what was taken back.

    An upstream that repeats itself says that again, too. Reads the whole log: offsets do not lead to it.
    """
    out: list[str] = []
    at = 0
    for part in parts_of(log):
        if part.agent == agent and part.kind == kind and at < end:
            out.append(part.text[max(0, start - at) : end - at])
            at += len(part.text)
    return "".join(out)


def text_range(log: Log, agent: str, kind: str, start: int, end: int) -> str:
    """
    Return the recorded text of *agent* and *kind* from code point *start* to *end*.

    The record in which the range begins is found by bisection over the parts' `off`, so that the last few characters
    of a 100 MB stream cost a few reads.
    """
    if start >= end:
        return ""
    out: list[str] = []
    for part in parts_of(log, _record_before(log, agent, kind, start)):
        if part.agent != agent or part.kind != kind:
            continue
        if part.off >= end:
            break
        if part.off + len(part.text) > start:
            out.append(part.text[max(0, start - part.off) : end - part.off])
    return "".join(out)


def _record_before(log: Log, agent: str, kind: str, start: int) -> int:
    """Return an offset behind which the range that begins at *start* lies entirely."""
    low, high = -1, log.tail()
    while high - low > PAGE:
        middle = (low + high) // 2
        off = next(
            (part.off for part in parts_of_page(log, middle) if part.agent == agent and part.kind == kind),
            None,
        )
        if off is not None and off <= start:
            low = middle
        else:
            high = middle
    return low


def parts_of_page(log: Log, after: int) -> Iterator[Part]:
    """Yield the parts of the few records right behind *after*."""
    for record in log.read(after, limit=16):
        if isinstance(record, Delta):
            yield from record.parts

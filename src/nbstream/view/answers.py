"""All answers to one question: Regenerate keeps the old one, and a page turns from one to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import LogDamaged, StreamGone
from nbstream.records import Open

if TYPE_CHECKING:
    from nbstream.log.contract import Store
    from nbstream.stream import Stream

#: So far back one can turn; each step is a read when the view is made.
MOST = 50


class Answers:
    """The stream that is shown and the others that answer the same question, the oldest first."""

    def __init__(self) -> None:
        self._ids: tuple[str, ...] = ()

    def place(self, stream: Stream) -> tuple[int, int]:
        """
        Return which of how many answers *stream* is, from 1 (blocking).

        To what is not the newest nothing can be done but turn on: going on or asking anew behind it would leave the
        newer ones out of the row.
        """
        if stream.id not in self._ids:
            self._ids = _before(stream.store, stream.id)
        return self._ids.index(stream.id) + 1, len(self._ids)

    def turn(self, stream: Stream, at: int) -> Stream:
        """Return the answer number *at*, from 1, as it is saved; *stream* itself when there is none."""
        if not 1 <= at <= len(self._ids) or self._ids[at - 1] == stream.id:
            return stream
        return stream.other(self._ids[at - 1])


def _before(store: Store, stream: str) -> tuple[str, ...]:
    """Return *stream* and those it was regenerated from, as far as they are kept."""
    ids = [stream]
    while len(ids) < MOST:
        try:
            first = store.log(ids[0]).read(-1, limit=1)
        except (StreamGone, LogDamaged):
            return tuple(ids[1:] or ids)
        opened = first[0] if first else None
        if not isinstance(opened, Open) or opened.intent != "regenerate" or opened.parent is None:
            break
        ids.insert(0, opened.parent)
    return tuple(ids)

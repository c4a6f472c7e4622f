"""What a reader holds of a stream: how far, and which record was the last."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from nbstream.errors import LogDamaged

if TYPE_CHECKING:
    from nbstream.log.contract import Log

_TEXT: Final = re.compile(r"(-1|[0-9]{1,10})(?:@(-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,3})?))?")


class Held(NamedTuple):
    """
    Everything up to record *after*, and the time of that record (its `at`), where the reader says it.

    A store may lose its last records (`appendfsync everysec`), and others then write further ones at their offsets. An
    offset alone names either. The time tells them apart: what is written behind a loss was written later.
    """

    after: int = -1
    at: float | None = None

    @classmethod
    def parse(cls, text: str) -> Held:
        """Read `N` or `N@AT`; raises `ValueError`."""
        found = _TEXT.fullmatch(text)
        at = float(found[2]) if found and found[2] else None
        if found is None or (at is not None and not math.isfinite(at)):
            raise ValueError("an offset is a whole number from -1 on, `N@AT` with the `at` of that record behind it")
        return cls(int(found[1]), at)

    @property
    def text(self) -> str:
        """`N`, or `N@AT`: as `after`, as `Last-Event-ID`, as the id of an event."""
        return str(self.after) if self.at is None else f"{self.after}@{json.dumps(self.at)}"

    def lost_of(self, stream: str) -> str:
        """Return what is said where *stream* no longer has that record."""
        return (
            f"stream {stream} is not what was shown of it: the store has lost records up to {self.after} (appendfsync);"
            " what is left, and what was written since, follows from the beginning"
        )

    def stands(self, log: Log) -> bool:
        """
        Whether *log* still has that record.

        True also where the reader does not say which it was, and of a record that cannot be read: nobody knows.
        """
        if self.after < 0 or self.at is None:
            return True
        try:
            found = log.read(self.after - 1, limit=1)
        except LogDamaged:
            return True
        return bool(found) and found[0].at == self.at


def id_line(offset: int, at: float, *, marked: bool) -> bytes:
    """Return the line of an event that names the record at *offset*; *marked*: and says which one."""
    return b"id: %b\n" % Held(offset, at if marked else None).text.encode()

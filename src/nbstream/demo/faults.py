"""
What the demo server does wrong on request, and how often.

`fault` is a comma-separated list of `name` or `name:argument`:

    cut:800 reset:800 stall:800   clean EOF / RST / silence behind the first frame that reaches 800 code points;
                                  `cut:800:3` does it three times, at 800, 1600 and 2400
    429 429:2   503 503:2         refuse once (with `Retry-After: 2`) / refuse once, twice
    401   html                    refuse always / answer 502 with a page of HTML
    slow:3000                     3000 bytes a second, one byte a write
    split                         writes end inside characters and inside JSON; a cut, reset or stall falls inside one
    noend                         all of the text, no end mark, clean EOF
    duplicate   gap               a resumed request gets the last frame again / misses some text
    noresume                      no ids, no offsets; a request to resume starts over
    10mb                          at least 10 MiB of text, at full speed
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Final, NamedTuple

from nbstream.demo.connection import BadRequest

_BREAKS: Final = ("cut", "reset", "stall")
_FLAGS: Final = ("split", "noend", "duplicate", "gap", "noresume", "10mb", "401", "html")
_NAMES: Final = (*_BREAKS, "429", "503", "slow", *_FLAGS)
_RUNS_KEPT: Final = 4096


class Break(NamedTuple):
    """A stream that ends early: *how* is cut, reset or stall."""

    how: str
    chars: int
    times: int


class Refusal(NamedTuple):
    """An HTTP status instead of a stream. *times* 0 means always."""

    status: int
    times: int
    retry_after_s: int | None = None


@dataclasses.dataclass(frozen=True)
class Faults:
    """The faults of one request, parsed."""

    flags: frozenset[str] = frozenset()
    breaks: Break | None = None
    refusal: Refusal | None = None
    bytes_per_s: int | None = None

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read a `fault` parameter; raises `BadRequest` with one clear line."""
        faults = cls()
        for item in filter(None, (item.strip() for item in text.split(","))):
            name, *arguments = item.split(":")
            if name not in _NAMES:
                raise BadRequest(f"unknown fault {name!r}: use {', '.join(_NAMES)}")
            numbers = [_number(item, argument) for argument in arguments]
            if name in _BREAKS and 1 <= len(numbers) <= 2:
                faults = dataclasses.replace(faults, breaks=Break(name, numbers[0], *(numbers[1:] or [1])))
            elif name == "429" and len(numbers) <= 1:
                faults = dataclasses.replace(faults, refusal=Refusal(429, 1, *numbers))
            elif name == "503" and len(numbers) <= 1 and 0 not in numbers:
                faults = dataclasses.replace(faults, refusal=Refusal(503, *(numbers or [1])))
            elif name == "slow" and len(numbers) == 1 and numbers[0]:
                faults = dataclasses.replace(faults, bytes_per_s=numbers[0])
            elif name in _FLAGS and not numbers:
                refusal = {"401": Refusal(401, 0), "html": Refusal(502, 0)}.get(name, faults.refusal)
                faults = dataclasses.replace(faults, flags=faults.flags | {name}, refusal=refusal)
            else:
                raise BadRequest(
                    f"bad argument in fault {item!r}: use e.g. cut:800, cut:800:3, slow:3000, 429:2, 503:2"
                )
        return faults

    def __contains__(self, flag: str) -> bool:
        return flag in self.flags

    @property
    def need_a_stream(self) -> bool:
        """Whether a single JSON answer cannot show these faults."""
        return bool(self.breaks or self.flags & {"noend", "duplicate", "gap", "noresume"})


@dataclasses.dataclass
class _Run:
    refused: int = 0
    broken: int = 0
    gave_cursor: bool = False


class Runs:
    """
    How often each fault has struck, by fingerprint: equal requests, whatever they resume from.

    A refusal strikes the first *times* requests without a cursor, then lets one through and counts anew. A break
    strikes the first *times* requests of a run. A request without a cursor begins a new run, unless the client could
    not know better: when the run gave it no cursor, the request counts as another try. So `cut:800` strikes again when
    the cell is run afresh, and `cut:800,noresume` lets the second try through. A run of one's own: any value of `run`.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def refusal(self, fingerprint: str, faults: Faults, *, resumed: bool) -> Refusal | None:
        """Say whether to refuse this request, and count it."""
        run, refusal = self._run(fingerprint), faults.refusal
        if refusal is None or (resumed and refusal.times):
            return None
        if refusal.times and run.refused >= refusal.times:
            run.refused = 0
            return None
        run.refused += 1
        return refusal

    def break_at(self, fingerprint: str, faults: Faults, *, resumed: bool) -> int | None:
        """Return the code point behind which this request is to break, if it is."""
        run, breaks = self._run(fingerprint), faults.breaks
        if breaks is None:
            return None
        if not resumed and run.gave_cursor:
            run.broken, run.gave_cursor = 0, False
        if run.broken < breaks.times:
            return breaks.chars * (run.broken + 1)
        if not resumed:
            run.broken = 0
        return None

    def broke(self, fingerprint: str, *, gave_cursor: bool) -> None:
        """Count a break."""
        run = self._run(fingerprint)
        run.broken += 1
        run.gave_cursor = run.gave_cursor or gave_cursor

    def _run(self, fingerprint: str) -> _Run:
        run = self._runs.setdefault(fingerprint, _Run())
        self._runs.move_to_end(fingerprint)
        if len(self._runs) > _RUNS_KEPT:
            self._runs.popitem(last=False)
        return run


def _number(item: str, argument: str) -> int:
    if not (argument.isascii() and argument.isdigit() and len(argument) <= 9):
        raise BadRequest(f"bad argument {argument!r} in fault {item!r}: use a whole number")
    return int(argument)

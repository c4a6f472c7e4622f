"""Time on a picture: seconds become a place; the time in which nobody was at work is cut out, and marked as a break."""

from __future__ import annotations

import math
from typing import NamedTuple

#: Width of a break, in pixels, and how many there are at the most.
BREAK = 34.0
MOST_BREAKS = 8
#: A rest is cut out when it is longer than this, in seconds, and than this share of the time at work.
SHORTEST_REST_S = 1.0
SHARE = 0.1
#: Labels along the axis, about.
LABELS = 6


class Break(NamedTuple):
    """A rest that was cut out: its place, and its seconds."""

    x: float
    width: float
    seconds: float


class Axis:
    """Places from *left* to *right* (pixels) for the moments from *began* to *ended* (seconds), without *rests*."""

    def __init__(
        self, began: float, ended: float, rests: list[tuple[float, float]], *, left: float, right: float
    ) -> None:
        self.began, self.ended = began, max(ended, began)
        rested = sum(end - begin for begin, end in rests)
        long = max(SHORTEST_REST_S, SHARE * (self.ended - began - rested))
        longest = sorted((rest for rest in rests if rest[1] - rest[0] > long), key=lambda rest: rest[0] - rest[1])
        cuts = sorted(longest[:MOST_BREAKS])
        #: Seconds shown.
        self.shown = self.ended - began - sum(end - begin for begin, end in cuts)
        scale = (right - left - BREAK * len(cuts)) / self.shown if self.shown > 0 else 0.0
        #: (moment, place) where the scale begins and where it is broken.
        self._knots: list[tuple[float, float]] = [(began, left)]
        self.breaks: list[Break] = []
        self._rests = cuts
        at, x = began, left
        for begin, end in cuts:
            x += (begin - at) * scale
            self._knots.append((begin, x))
            self.breaks.append(Break(x, BREAK, end - begin))
            x += BREAK
            self._knots.append((end, x))
            at = end
        self._knots.append((self.ended, x + (self.ended - at) * scale))

    def x(self, at: float) -> float:
        """Return the place of a moment."""
        for (begin, x), (end, to) in zip(self._knots, self._knots[1:], strict=False):
            if at <= end:
                share = (at - begin) / (end - begin) if end > begin else 0.0
                return x + max(0.0, share) * (to - x)
        return self._knots[-1][1]

    def passed(self, at: float) -> float:
        """Return the seconds shown up to a moment: those that were cut out do not count."""
        cut = sum(max(0.0, min(at, end) - begin) for begin, end in self._rests)
        return max(0.0, min(at, self.ended) - self.began - cut)

    @property
    def labels(self) -> list[tuple[float, float]]:
        """Places and round seconds to write along the axis."""
        if self.shown <= 0:
            return [(self.x(self.began), 0.0)]
        rough = self.shown / LABELS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        return [(self.x(self._moment(n * step)), n * step) for n in range(int(self.shown / step) + 1)]

    def _moment(self, passed: float) -> float:
        """Return the moment at which so many of the shown seconds have passed."""
        at = self.began + passed
        for begin, end in self._rests:
            if at > begin:
                at += end - begin
        return at

"""The views that look at one session: who is there, what they have painted, and how much they can take."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from nbstream import pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Pages whose acks are awaited, at most: one that never acknowledges gets one page a second.
UNACKED = 64
#: A view that says nothing for this long behind a page it was sent is gone without a word, until it is heard again. (At
#: rest it is sent nothing and says nothing, and is there all the same.)
GONE_S = 120.0
#: Somebody counts as there for this long. A page says `here` every 30 s; browsers wake a hidden one once a minute.
HEARD_S = 75.0
#: A view that said goodbye may be another one in a moment: JupyterLab moves a cell, a notebook is shown in two places.
MOVED_S = 2.0
#: A page that is still to load (a cold one takes 0.7 s) says nothing for at most this long.
FIRST_S = 20.0


class View:
    """One rendered view, as far as we have heard of it."""

    def __init__(self, now: float) -> None:
        self.heard_at = now
        #: When the first page was sent behind its last word.
        self.unanswered_at: float | None = None
        self.acked = -1
        self.viewer = pace.Viewer()
        self.heap_bytes: int | None = None


class Audience:
    """All views of one session. Changed on the loop only; its properties may be read from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._views: dict[str, View] = {}
        self._unacked: deque[tuple[int, int]] = deque(maxlen=UNACKED)
        #: Until then it holds its stream without any view.
        self._expected_until = clock() + FIRST_S

    def __contains__(self, name: str) -> bool:
        return name in self._views

    def __bool__(self) -> bool:
        return bool(self._there())

    def _there(self) -> list[View]:
        old = self._clock() - GONE_S
        views = tuple(self._views.values())
        return [view for view in views if view.unanswered_at is None or view.unanswered_at >= old]

    # -- what is heard --------------------------------------------------------------------------------------------

    def hear(self, name: str, message: Mapping[str, Any]) -> View:
        """Note that a view is there, and what it says of itself."""
        self._expected_until = 0.0
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = View(self._clock())
        view.heard_at, view.unanswered_at = self._clock(), None
        if "heap" in message:
            view.heap_bytes = int(message["heap"])
        if message.get("type") in ("ask", "ack", "here"):
            view.viewer = view.viewer.told(message)
        return view

    def leave(self, name: str) -> None:
        """Forget a view that said goodbye."""
        if self._views.pop(name, None) is not None:
            self._expected_until = self._clock() + MOVED_S

    def paint(self, view: View, offset: int, ms: float) -> None:
        """Note that *view* has painted up to record *offset*, the last paint in *ms* milliseconds."""
        view.acked = max(view.acked, offset)
        view.viewer = view.viewer.painted(ms)
        while self._unacked and self._unacked[0][0] <= self.painted:
            self._unacked.popleft()

    # -- what is sent ---------------------------------------------------------------------------------------------

    def sent(self, upto: int, size: int) -> None:
        """Note a live page of *size* bytes that ends at record *upto*."""
        self._unacked.append((upto, size))
        now = self._clock()
        for view in self._views.values():
            if view.unanswered_at is None:
                view.unanswered_at = now

    def begin_again(self) -> None:
        """Forget what was sent and painted: another stream is shown, whose records have the same numbers."""
        self._unacked.clear()
        for view in self._views.values():
            view.acked = -1

    # -- what follows ---------------------------------------------------------------------------------------------

    @property
    def painted(self) -> int:
        """The last record that a view has painted; -1 if none has."""
        return max((view.acked for view in tuple(self._views.values())), default=-1)

    @property
    def heard(self) -> int:
        """How many views were heard lately. A crashed tab says no `bye`, so silence counts as one."""
        since = self._clock() - HEARD_S
        return sum(view.heard_at >= since for view in tuple(self._views.values()))

    @property
    def holds(self) -> bool:
        """Whether the stream is to go on for a view: one that was heard lately, or one that may come in a moment."""
        return self.heard > 0 or self._clock() < self._expected_until

    @property
    def heap_bytes(self) -> int | None:
        """Memory of the page's scripts, where its browser tells (Chromium does)."""
        return max((view.heap_bytes for view in self._there() if view.heap_bytes is not None), default=None)

    def fastest(self, *, chars: int, flood: bool) -> tuple[pace.Viewer, tuple[float, str]]:
        """
        Return the view that can take most, with its interval: the others fill their holes by asking.

        *chars* and *flood* are those of `pace.interval`.
        """
        viewers = [view.viewer for view in self._there()] or [pace.Viewer()]
        paces = [(viewer, pace.interval(viewer, chars=chars, flood=flood)) for viewer in viewers]
        return min(paces, key=lambda one: one[1][0])

    def behind(self, viewer: pace.Viewer) -> bool:
        """Whether *viewer*, the fastest, is still to paint as much as it should have before it."""
        return pace.behind(sum(size for _, size in tuple(self._unacked)), pace.live_bytes(viewer))

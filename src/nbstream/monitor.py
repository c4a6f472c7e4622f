"""What this process uses for its streams, and a warning when that is more than it should be."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nbstream.clock import Clock
from nbstream.sources.http.connections import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbstream.log.contract import Store
    from nbstream.runtime import Runtime

EVERY_S = 5.0
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at this process. Totals count since it began."""

    #: Recorders at work.
    live: int
    #: Open upstream connections; a call that a Python object makes counts as one.
    upstream: int
    #: Memory of the whole process: in a kernel, with everything the user's code holds.
    resident_bytes: int
    #: What all streams of the store take, those of other processes too; None if no store was asked.
    log_bytes: int | None
    retries: int
    stalls: int
    leaks_closed: int


def usage(runtime: Runtime, store: Store | None = None) -> Usage:
    """Look at this process, and at how large *store* is; that blocks for a moment."""
    recorders, totals = runtime.recorders, runtime.totals
    standing = connections()
    registered = {connection.owner for connection in standing}
    callings = (calling for recorder in recorders.values() for calling in recorder.callings.items())
    others = sum(calls for owner, calls in callings if owner not in registered)
    return Usage(
        live=len(recorders),
        upstream=len(standing) + others,
        resident_bytes=resident_bytes(),
        log_bytes=None if store is None else store.size(),
        retries=totals.retries,
        stalls=totals.stalls,
        leaks_closed=totals.leaks_closed,
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    Above these a process warns; None: never.

    A kernel's memory is mostly the user's own data, so by default only what is ours counts.
    """

    resident_mb: float | None = None
    upstream: int | None = 64
    live: int | None = 64

    def exceeded(self, used: Usage) -> dict[str, str]:
        """Return what is above its bound, by name, in words."""
        return dict(self._exceeded(used))

    def _exceeded(self, used: Usage) -> Iterator[tuple[str, str]]:
        resident_mb = used.resident_bytes / MB
        if self.resident_mb is not None and resident_mb > self.resident_mb:
            yield "resident_mb", f"{resident_mb:,.0f} MB of memory in use (limit {self.resident_mb:,.0f})"
        if self.upstream is not None and used.upstream > self.upstream:
            yield "upstream", f"{used.upstream:,} upstream connections open (limit {self.upstream:,})"
        if self.live is not None and used.live > self.live:
            yield "live", f"{used.live:,} streams live (limit {self.live:,})"


class Monitor:
    """
    Looks at a process every few seconds; *measure* is asked on the loop and must not block.

    `warning` is one line while anything is above its bound, else None, from any thread; *warn* is told it at each look.
    """

    def __init__(
        self,
        measure: Callable[[], Usage],
        bounds: Bounds | None = None,
        *,
        every_s: float = EVERY_S,
        clock: Clock | None = None,
        warn: Callable[[str | None], object] = lambda _: None,
    ) -> None:
        self.warning: str | None = None
        self._warn = warn
        self._measure, self.bounds = measure, bounds or Bounds()
        self._every_s, self._clock = every_s, clock or Clock()
        #: Each with what it was told of.
        self._callbacks: dict[Callable[[Usage], object], frozenset[str]] = {}

    def on_excess(self, callback: Callable[[Usage], object]) -> Callable[[], None]:
        """
        Call *callback* (on the loop, must not block) whenever something crosses its bound; returns the end of it.

        What is above its bound by now is told at the next look.
        """
        self._callbacks[callback] = frozenset()

        def end() -> None:
            self._callbacks.pop(callback, None)

        return end

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(self._every_s)

    def look(self) -> None:
        """Look once."""
        used = self._measure()
        exceeded = self.bounds.exceeded(used)
        self.warning = "; ".join(exceeded.values()) or None
        self._warn(self.warning)
        for callback, told in tuple(self._callbacks.items()):
            if callback in self._callbacks:  # not ended just now
                self._callbacks[callback] = frozenset(exceeded)
            if not exceeded.keys() - told:
                continue
            try:
                callback(used)
            except Exception as exc:  # noqa: BLE001 - the user's code; told as asyncio tells errors of callbacks
                message = "a callback for a process above its bounds failed"
                asyncio.get_running_loop().call_exception_handler({"message": message, "exception": exc})


_monitors: WeakKeyDictionary[Runtime, Monitor] = WeakKeyDictionary()


def watch(runtime: Runtime, bounds: Bounds | None = None) -> Monitor:
    """Return the monitor of *runtime*, started on first use, with *bounds* from now on. Its warning is in all lines."""
    monitor = _monitors.get(runtime)
    if monitor is None:

        def warn(text: str | None) -> None:
            runtime.warning = text

        monitor = _monitors[runtime] = Monitor(lambda: usage(runtime), bounds, warn=warn)
        runtime.spawn(monitor.run())
    elif bounds is not None:
        monitor.bounds = bounds
    return monitor


def resident_bytes() -> int:
    """Return the memory of this process that lies in RAM; where the system does not say, the most it ever was."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        # macOS counts bytes, other systems kilobytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return pages * resource.getpagesize()

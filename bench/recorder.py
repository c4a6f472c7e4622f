"""
What recording costs per arrival: one million tokens of 8 characters, from a source that never waits, into each store.

    python bench/recorder.py [--events 1000000] [--profile]

`bare` is the same loop with nothing behind it. `numbered` frames carry their own sequence, `ids` a cursor each.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nbstream.log.disk import open_disk_store
from nbstream.log.memory import MemoryStore
from nbstream.recorder import Recorder
from nbstream.recorder.progress import Progress
from nbstream.records import Open, Part
from nbstream.sources.contract import Arrival, End
from nbstream.testing import ScriptedSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from nbstream.log.contract import Store
    from nbstream.sources.contract import Pulse

#: The machine may be shared: the best of so many rounds counts.
ROUNDS = 3
PARTS = [(Part("text", f"{number:7d} "),) for number in range(1000)]


class Plain(ScriptedSource):
    """A plain loop, without the bookkeeping of a script."""

    def __init__(self, arrivals: Callable[[], Iterable[Arrival]]) -> None:
        super().__init__()
        self._arrivals = arrivals

    async def connect(self, cursor: object, pulse: Pulse) -> AsyncIterator[Arrival]:  # noqa: ARG002
        """Yield them all."""
        for arrival in self._arrivals():
            yield arrival
        yield Arrival(end=End())


def kinds(events: int) -> dict[str, Callable[[], Iterable[Arrival]]]:
    """Return the sources, by name; their arrivals are made while they are pulled."""
    same = [Arrival(parts) for parts in PARTS]
    return {
        "text": lambda: (same[number % 1000] for number in range(events)),
        "ids": lambda: (Arrival(PARTS[n % 1000], {"id": str(n), "first": "0"}, event_id=str(n)) for n in range(events)),
        "numbered": lambda: (Arrival(PARTS[n % 1000], number=n) for n in range(events)),
        "offsets": lambda: (Arrival(PARTS[n % 1000], start=8 * n) for n in range(events)),
    }


async def bare(source: Plain) -> float:
    """Time the loop alone."""
    started = time.perf_counter()
    async for _ in source.connect(None, None):
        pass
    return time.perf_counter() - started


async def record(store: Store, source: Plain, name: str) -> float:
    """Time one recording."""
    opened = Open(name, name, "new", source.spec, name, "bench", "here", "now", time.time())
    started = store.start(opened)
    recorder = Recorder(store, started.log, source, started.lock, Progress(tail=0, opens=1))
    begun = time.perf_counter()
    await recorder.run()
    elapsed = time.perf_counter() - begun
    if recorder.live.state != "complete":
        raise SystemExit(f"{name}: {recorder.live}")
    return elapsed


def main() -> None:
    """Print one line for each store and source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        stores = {"memory": MemoryStore(), "disk": open_disk_store(Path(home))}
        for kind, arrivals in kinds(options.events).items():
            alone = min(asyncio.run(bare(Plain(arrivals))) for _ in range(ROUNDS))
            print(f"{'bare':<8}{kind:<10}{alone / options.events * 1e6:6.2f} us an arrival")
            for name, store in stores.items():
                with cProfile.Profile() if options.profile else tempfile.SpooledTemporaryFile() as profile:
                    took = min(
                        asyncio.run(record(store, Plain(arrivals), f"{name}-{kind}-{n}"))
                        for n in range(1 if options.profile else ROUNDS)
                    )
                print(
                    f"{name:<8}{kind:<10}{took / options.events * 1e6:6.2f} us an arrival"
                    f"{options.events / took:>12,.0f} arrivals/s"
                )
                if options.profile:
                    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(12)
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()

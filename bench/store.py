"""
What the store on disk costs.

    python bench/store.py

Prints appends a second (waiting for each, and submitted as they come), the time of one commit, reading speed, bytes on
disk for a megabyte of text, and the time to remove it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from nbstream.log.disk import DiskStore, open_disk_store
from nbstream.log.memory import MemoryStore
from nbstream.records import Delta, Open, Part

TEXT = "The quick brown fox jumps over the lazy dog; "


def delta(number: int, length: int) -> Delta:
    """One record of *length* characters."""
    text = (TEXT * (length // len(TEXT) + 1))[:length]
    return Delta((Part("text", text, sequence=number, off=number * length),), at=1_700_000_000.123)


def begin(store, stream):
    """Start a stream and return its log."""
    return store.start(Open(stream, stream, "new", {}, "f", "w", "h", "b", 1.0)).log


def one_by_one(store, count: int) -> None:
    """Append and wait, as a stream at reading speed does."""
    log = begin(store, "single")
    took = []
    for number in range(1, count + 1):
        began = time.perf_counter()
        log.append(number, delta(number, 8))
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    print(
        f"  append and wait    {count / sum(took) * 1e3:8.0f} records/s, one commit {statistics.median(took):.2f} ms,"
        f" p99 {took[int(count * 0.99)]:.2f} ms, worst {took[-1]:.1f} ms"
    )


def at_once(store, count: int, length: int) -> None:
    """Submit without waiting, as eight streams in a flood do; then read one of them."""
    logs = [begin(store, f"flood{length}-{n}") for n in range(8)]
    began = time.perf_counter()
    futures = [log.submit(number, delta(number, length)) for number in range(1, count // 8 + 1) for log in logs]
    for future in futures:
        future.result()
    took = time.perf_counter() - began
    print(f"  8 streams, {length:5} B {count / took:8.0f} records/s, {count * length / took / 1e6:.1f} MB of text/s")


def reading(store, count: int) -> None:
    """Read a stream of many small records in one call and in pages."""
    log = begin(store, "long")
    log.submit(1, delta(1, 8))
    futures = [log.submit(number, delta(number, 8)) for number in range(2, count + 1)]
    futures[-1].result()
    began = time.perf_counter()
    assert len(log.read(limit=count + 1)) == count + 1
    whole = time.perf_counter() - began
    began = time.perf_counter()
    after = -1
    while page := log.read(after, limit=256):
        after += len(page)
    paged = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(1000):
        log.tail()
    print(
        f"  reading {count} records {whole * 1e3:.0f} ms at once, {paged * 1e3:.0f} ms in pages of 256;"
        f" tail {time.perf_counter() - began:.3f} ms; status {timed(lambda: store.status('long')) * 1e3:.2f} ms"
    )


def timed(call) -> float:
    """Return the seconds *call* takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def on_disk(directory: Path, length: int) -> None:
    """Store 10 MB of text in records of one length; the bytes on disk after closing, and the time of removal."""
    store = open_disk_store(directory)
    log, lock = store.start(Open("big", "big", "new", {}, "f", "w", "h", "b", 1.0))
    count = 10_000_000 // length
    for number in range(1, count + 1):
        future = log.submit(number, delta(number, length))
    future.result()
    lock.release()
    store.close()
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    store = open_disk_store(directory)
    took = timed(lambda: store.delete("big"))
    store.close()
    print(f"  records of {length:5} B   {size / count / length:8.2f} MB on disk a MB; 10 MB removed in {took:.2f} s")


def main() -> None:
    """Measure all of it in a temporary directory of this disk (`NBSTREAM_BENCH_DIR` names another one)."""
    root = Path(tempfile.mkdtemp(dir=os.environ.get("NBSTREAM_BENCH_DIR")))
    try:
        opened = time.perf_counter()
        process: DiskStore = open_disk_store(root / "process")
        print(f"open: {(time.perf_counter() - opened) * 1e3:.0f} ms (first in this process, imports included)")
        for name, store in (
            ("memory", MemoryStore()),
            ("disk", process),
            ('disk, durability="power"', open_disk_store(root / "power", durability="power")),
        ):
            print(name)
            one_by_one(store, 2000)
            at_once(store, 20_000, 8)
            at_once(store, 4_000, 8192)
            reading(store, 10_000)
            store.close()
        print("size")
        for length in (8, 400, 8192, 16384):
            on_disk(root / f"size{length}", length)
    finally:
        shutil.rmtree(root)


main()

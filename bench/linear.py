"""
Cost of long messages: time, disk and memory of a process that records 1, 10 and 100 MB, each in a fresh process.

    python bench/linear.py [--sizes 1,10,100]

The demo model streams from a process of its own. A reader follows the log as a page would (joined pages of 64 KiB), so
that the figures hold for a stream that is shown. Promise: 10 x the text costs 8 to 12 x; memory grows by less than
64 MB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def serve(pipe) -> None:
    """Run the demo server until the parent ends."""
    from nbstream.demo import DemoServer

    with DemoServer() as server:
        pipe.send(server.url)
        pipe.recv()


def record(url: str) -> None:
    """Record one stream, follow it, print the figures as JSON."""
    import psutil

    import nbstream
    from nbstream import pace
    from nbstream.view.pages import page

    me = psutil.Process()
    warm = nbstream.start(nbstream.sse(f"{url}/stream?max_tokens=50&tokens_per_s=0&prompt=warm"), fresh=True)
    warm.wait()
    store = Path(os.environ["NBSTREAM_HOME"])
    before, disk, cpu = me.memory_info().rss, _size(store), sum(me.cpu_times()[:2])
    began = time.perf_counter()
    stream = nbstream.start(nbstream.sse(f"{url}/stream?{os.environ['BENCH_QUERY']}"), fresh=True)
    after, pages, most = -1, 0, 0
    while True:
        settled = stream.settled
        while (found := page(stream.log, after, max_bytes=pace.LIVE_BYTES)).upto > after:
            after, pages = found.upto, pages + 1
            most = max(most, me.memory_info().rss)
        if settled:
            break
        stream.log.wait(after, 1)
    took = time.perf_counter() - began
    facts = stream.facts()
    assert facts.state == "complete", facts
    print(
        json.dumps(
            {
                "chars": facts.chars,
                "s": round(took, 2),
                "cpu_s": round(sum(me.cpu_times()[:2]) - cpu, 2),
                "disk_mb": round((_size(store) - disk) / 1e6, 1),
                "records": facts.tail,
                "pages": pages,
                "memory_mb": round((most - before) / 1e6, 1),
            }
        )
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Print a line a size, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1,10,100")
    parser.add_argument("--record", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.record:
        record(args.record)
        return
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    last = None
    for size in (float(size) for size in args.sizes.split(",")):
        tokens = int(size * 1e6 / 4.9)
        env = {
            **os.environ,
            "NBSTREAM_HOME": tempfile.mkdtemp(prefix="nbstream-bench-"),
            "BENCH_QUERY": f"prompt=rivers&tokens_per_s=0&tokens_per_frame=16&max_tokens={tokens}",
        }
        told = subprocess.run(
            [sys.executable, __file__, "--record", url], env=env, check=True, capture_output=True, text=True
        ).stdout
        figures = json.loads(told.splitlines()[-1])
        print(f"{size:>5g} MB: " + ", ".join(f"{name} {value:,}" for name, value in figures.items()), flush=True)
        if last:
            print("     x  : " + ", ".join(f"{name} {figures[name] / max(last[name], 0.01):.1f}" for name in figures))
        last = figures
    ours.send("end")
    server.join(10)


if __name__ == "__main__":
    main()

"""
What the store in Redis costs, beside the one on disk.

    python bench/redis_store.py

Starts a redis-server on a port and in a directory of its own. Prints appends a second (waiting for each, and submitted
as they come), bytes a token, the cost of an append among 10 and 1,000 streams, the list among 10,000, and for how long
at the most others wait for Redis while somebody asks about all of those.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from redis_process import RedisProcess

from nbstream.log.disk import open_disk_store
from nbstream.log.redis import open_redis_store
from nbstream.records import Delta, Open, Part

#: As tokens of a model are long.
TOKEN = 4


def delta(number: int, length: int = TOKEN) -> Delta:
    """One record of *length* characters."""
    part = Part("text", "word "[:TOKEN] * (length // TOKEN), sequence=number, off=number * length)
    return Delta((part,), at=1_700_000_000.123)


def begin(store, stream: str):
    """Start a stream and return its log and lock."""
    return store.start(Open(stream, f'["notebook {stream[-2:]}","{stream}",1]', "new", {}, "f", "w", "h", "b", 1.0))


def timed(call) -> float:
    """Return the milliseconds *call* takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def appends(name: str, store) -> None:
    """One stream that waits for each record, then 50 that do not."""
    log = begin(store, "single").log
    took = sorted(timed(lambda n=n: log.append(n, delta(n))) for n in range(1, 2001))
    rate = len(took) / sum(took) * 1e3
    logs = [begin(store, f"many-{n}").log for n in range(50)]
    flood = timed(lambda: [f.result() for f in [log.submit(n, delta(n)) for n in range(1, 401) for log in logs]])
    print(
        f"  {name:24} append and wait {statistics.median(took):5.2f} ms, p99 {took[-20]:5.2f} ms, {rate:6.0f}/s;"
        f" 50 streams at once {20_000 / flood * 1e3:6.0f}/s"
    )


def bytes_a_token(name: str, store) -> None:
    """A record a token, as at reading speed, and a record of 100 tokens, as in a flood."""
    for tokens in (1, 100):
        before = store.size()
        log = begin(store, f"bytes-{tokens}").log
        for future in [log.submit(n, delta(n, TOKEN * tokens)) for n in range(1, 10_001)]:
            future.result()
        print(
            f"  {name:24} {tokens:3} tokens a record: {(store.size() - before) / 10_000 / tokens:6.1f} bytes a token"
            f" ({TOKEN} of them text)"
        )


def among(name: str, store, count: int, have: int) -> None:
    """The cost of one append while *count* streams are stored."""
    for n in range(have, count):
        begin(store, f"n{n}").lock.release()
    log = begin(store, f"among-{count}").log
    took = statistics.median(timed(lambda n=n: log.append(n, delta(n))) for n in range(1, 1001))
    key = timed(lambda: store.list(key=lambda key: key.startswith('["notebook 07"')))
    print(
        f"  {name:24} among {count:6,}: append {took:5.2f} ms, list of one notebook in a hundred {key:6.1f} ms", end=""
    )
    print(f", of all {timed(store.list):7.0f} ms")


def others_wait(server: RedisProcess, store) -> None:
    """How long the longest command takes of each question about all streams."""
    uses = {
        "list": lambda: store.list(key=lambda key: key.startswith('["notebook 07"')),
        "left": lambda: store.left(key=lambda key: key.startswith('["notebook 07"')),
        "size": store.size,
        "sweep": lambda: store.sweep(asked=True),
    }
    with server.client() as client:
        client.config_set("slowlog-max-len", 10_000)
        client.config_set("slowlog-log-slower-than", 0)
        for name, use in uses.items():
            client.slowlog_reset()
            took = timed(use)
            longest = max(one["duration"] for one in client.slowlog_get(10_000)) / 1e3
            print(f"  {name:24} {took:6.1f} ms, others wait {longest:5.1f} ms at the most")


def main() -> None:
    """Measure both in this run; only their ratios mean something on another machine."""
    root = Path(tempfile.mkdtemp())
    settings = {
        "redis, nothing kept": {},
        "redis, everysec": {"appendonly": "yes", "appendfsync": "everysec"},
        "redis, always": {"appendonly": "yes", "appendfsync": "always"},
    }
    try:
        for name, setting in settings.items():
            with RedisProcess(**setting) as server:
                appends(name, store := open_redis_store(server.url()))
                store.close()
        for name, durability in (("disk", "process"), ('disk, "power"', "power")):
            appends(name, store := open_disk_store(root / durability, durability=durability))
            store.close()
        with RedisProcess() as server:
            for name, store in (("redis", open_redis_store(server.url())), ("disk", open_disk_store(root / "size"))):
                bytes_a_token(name, store)
                store.close()
            for name, store in (("redis", open_redis_store(server.url())), ("disk", open_disk_store(root / "list"))):
                for have, count in ((0, 10), (10, 1000), (1000, 10_000)):
                    among(name, store, count, have)
                if name == "redis":
                    others_wait(server, store)
                store.close()
    finally:
        shutil.rmtree(root)


main()

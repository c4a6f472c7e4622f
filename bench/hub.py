"""
What a hub carries: two relays of one Redis, each a process of its own as deployed, with appendfsync always.

    python bench/hub.py [many append list takeover]

`many`: 200 readers on 50 streams x 50 tokens/s for 20 s. `append`: its cost among 10 and 1,000 stored streams. `list`:
the streams of one of 100 users, and all, among 10,000. `takeover`: a relay dies among 5,000 interrupted streams.
Source, relays, Redis and readers are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
from _tokens import source
from relay import MB, in_ms, read, tell

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from redis_process import RedisProcess
from services import ServiceRelay, lines_of_token, upstream

from nbstream.log.redis import open_redis_store
from nbstream.owner import key_of
from nbstream.records import Close, Delta, Open, Part
from nbstream.testing import Answer, FaultServer, Pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbstream.log.redis import RedisStore
    from nbstream.testing import Request

STREAMS, READERS, RATE, SECONDS = 50, 200, 50, 20
STORED, USERS = 10_000, 100
ALWAYS = {"appendonly": "yes", "appendfsync": "always"}


class Hub(NamedTuple):
    """What runs."""

    relays: list[ServiceRelay]
    redis: RedisProcess
    store: RedisStore
    token: str


@contextmanager
def hub(url: str) -> Iterator[Hub]:
    """Run two relays of a new store that may call *url*."""
    token, lines = lines_of_token("user7", live=1000, readers=1000, starts_a_minute=10_000)
    with tempfile.TemporaryDirectory(prefix="nbstream-bench-") as place, RedisProcess(**ALWAYS) as redis:
        address = redis.url()
        store = open_redis_store(address)
        files = lines, upstream(f"{url}/")
        with (
            ServiceRelay(Path(place) / "a", files, store=address) as first,
            ServiceRelay(Path(place) / "b", files, store=address) as second,
        ):
            yield Hub([first, second], redis, store, token)
        store.close()


def many() -> None:
    """200 readers on 50 streams x 50 tokens/s, half of both at each relay, every stream read at both."""
    with source() as url, hub(url) as at:
        relays = [psutil.Process(one.process.pid) for one in at.relays]
        processes = [*relays, psutil.Process(at.redis.process.pid)]
        for one in at.relays:  # what the first call alone needs is no stream's
            one.start(f"{url}/paced?rate={RATE}&s=1", token=at.token)
        time.sleep(2)
        empty, size = [one.memory_info().rss for one in relays], at.store.size()
        streams = []
        for n in range(STREAMS):
            where = f"{url}/paced?rate={RATE}&s={SECONDS}&n={n}"
            # A scope each, as of a notebook: the calls of one share eight slots.
            streams.append(at.relays[n % 2].start(where, token=at.token, scope=f"notebook{n}").json["id"])
        asked = [(at.relays[n // STREAMS % 2].url, at.token, streams[n % STREAMS]) for n in range(READERS)]
        readers = subprocess.Popen(
            [sys.executable, __file__, "--readers"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert readers.stdin is not None
        assert readers.stdout is not None
        readers.stdin.write(json.dumps(asked))
        readers.stdin.close()
        time.sleep(SECONDS / 4)
        before, began = [sum(one.cpu_times()[:2]) for one in processes], time.monotonic()
        time.sleep(SECONDS / 2)
        took = time.monotonic() - began
        cpu = [(sum(one.cpu_times()[:2]) - had) / took for one, had in zip(processes, before, strict=True)]
        resident = [one.memory_info().rss for one in processes]
        came: list[list[float]] = json.loads(readers.stdout.read())
        readers.wait()
        size = at.store.size() - size
    tokens = STREAMS * RATE * SECONDS
    assert len(came) == tokens * READERS // STREAMS, f"{len(came)} tokens came"
    first, last = min(sent for sent, _ in came), max(sent for sent, _ in came)
    what = f"{READERS} readers, {STREAMS} streams x {RATE} tokens/s"
    waiting = []
    for name, when in (("middle", (first + last) / 2), ("end", last - 1.5)):
        ages = [arrived - sent for sent, arrived in came if abs(sent - when) < 1]
        waiting.append(statistics.mean(
            sum(sent <= when + tick < arrived for sent, arrived in came) for tick in (n / 10 for n in range(-5, 5))
        ))  # fmt: skip
        tell(f"{what}: token to reader at the {name}, median / p99", in_ms(ages))
    tell(
        f"{what}: once all are connected",
        in_ms([arrived - sent for sent, arrived in came if sent > began]),
        "p99 < 250 ms",
    )
    tell(f"{what}: under way, middle / end", f"{waiting[0]:.0f} / {waiting[1]:.0f}", "does not grow")
    tell(
        f"{what}: CPU of relay a, b, Redis",
        " / ".join(f"{one:.2f}" for one in cpu) + " cores",
        "of 2, with source and readers",
    )
    # By what came: on a machine that others use, less than was meant to.
    done = sum(began <= arrived < began + took for _, arrived in came) / (READERS / STREAMS) / took
    tell(f"{what}: tokens/s in that time", f"{done:.0f}", f"{STREAMS * RATE}")
    tell("live streams a core of relays, with four readers each", f"{done / RATE / (cpu[0] + cpu[1]):.0f}")
    tell(f"{what}: memory of relay a, b, Redis", " / ".join(f"{one / MB:.0f}" for one in resident) + " MB")
    grown = sum(resident[:2]) - sum(empty)
    tell("memory of a live stream with four readers, in the relays", f"{grown / STREAMS / 1e3:.0f} KB")
    tell(f"a token of {len('t000000000.000000 ')} bytes in Redis", f"{size / tokens:.0f} bytes")


def append() -> None:
    """One append, waited for, while so many streams are stored."""
    with RedisProcess(**ALWAYS) as redis:
        store = open_redis_store(redis.url())
        for have, count in ((0, 10), (10, 1000)):
            for n in range(have, count):
                _stored(store, f"n{n}", "u")
            log, took = store.start(_opening("s", f"among{count}", "u")).log, []
            for n in range(1, 1001):
                began = time.monotonic()
                log.append(n, Delta((Part("text", "word", sequence=n, off=4 * (n - 1)),), at=1.0))
                took.append(time.monotonic() - began)
            tell(f"append among {count:,} stored streams, median / p99", in_ms(took), "flat")
        store.close()


def list_() -> None:
    """What a user gets of 10,000 streams of 100 users, and the list of all."""
    with hub("http://127.0.0.1:9") as at:
        for n in range(STORED):
            _stored(at.store, f"n{n}", f"user{n % USERS}")
        took = []
        for n in range(11):
            began = time.monotonic()
            answer = at.relays[n % 2].ask("GET", "/v1/streams", token=at.token)
            took.append(time.monotonic() - began)
            assert len(answer.json["streams"]) == STORED // USERS, answer.body[:300]
        tell(f"GET /v1/streams of one of {USERS} users, {STORED:,} stored, median / worst",
             f"{1000 * statistics.median(took):.0f} / {1000 * max(took):.0f} ms", "< 100 ms")  # fmt: skip
        took = []
        for _ in range(3):
            began = time.monotonic()
            assert len(at.store.list()) == STORED
            took.append(time.monotonic() - began)
        tell(f"Store.list() of all {STORED:,}, median", f"{statistics.median(took):.2f} s")
        for n in range(STORED):
            at.store.log(f"sn{n}").append(1, Close("complete", 1.0))
        took = []
        for _ in range(5):
            began = time.monotonic()
            assert not at.store.left()
            took.append(time.monotonic() - began)
        tell(f"streams whose relay died, asked for among {STORED:,} that ended, median", in_ms(took))


def takeover() -> None:
    """A relay is SIGKILLed: how long until its stream goes on at the other, among so many that are left to users."""

    def answer(request: Request) -> Answer:
        said = int(request.last_event_id or -1) + 1
        frames = (f'id: {n}\ndata: {{"type":"delta","text":"w{n} "}}\n\n' for n in range(said, 100_000))
        return Answer.sse(*(step for frame in islice(frames, 5000) for step in (frame, Pause(0.02))))

    for left in (0, 5000):
        with FaultServer() as server, hub(server.url) as at:
            server.script([], otherwise=answer)
            for n in range(left):
                _stored(at.store, f"n{n}", f"user{n % USERS}")
                at.store.log(f"sn{n}").append(1, Delta((Part("text", "word", sequence=1),), at=1.0))
            stream = at.relays[0].start(f"{server.url}/x", token=at.token).json["id"]
            log = at.store.log(stream)
            time.sleep(5)  # the other relay has looked at all that is left
            at.relays[0].process.kill()
            at.relays[0].process.wait()
            began, had = time.monotonic(), log.tail()
            while log.tail() <= had + 1:  # more than the `open` of who goes on
                time.sleep(0.01)
            tell(f"a relay is SIGKILLED among {left:,} interrupted streams: its own goes on",
                 f"{time.monotonic() - began:.1f} s", "8 s")  # fmt: skip


def _opening(stream: str, key: str, user: str) -> Open:
    return Open(f"{stream}{key}", key_of(user, json.dumps(["relay", key, 0])), "new", {}, "f", "relay 1", "h", "b", 1.0)


def _stored(store: RedisStore, key: str, user: str) -> None:
    started = store.start(_opening("s", key, user))
    assert started.lock is not None
    started.lock.release()


async def _read_all() -> None:
    """Read many streams cheaply, and print when each token was sent and came."""
    came: list[tuple[float, float]] = []
    await asyncio.gather(*(read(*one, came) for one in json.load(sys.stdin)))
    print(json.dumps(came))


def main() -> None:
    """Print the benches named on the command line, or all."""
    benches = {"many": many, "append": append, "list": list_, "takeover": takeover}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="bench", help=" ".join(benches))
    parser.add_argument("--readers", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.readers:
        asyncio.run(_read_all())
        return
    for name in args.names or benches:
        benches[name]()


if __name__ == "__main__":
    main()

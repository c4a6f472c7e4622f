"""
What the relay costs: start, latency, many streams, idle readers, the first page of long streams, memory.

    python bench/relay.py [start kernel latency many idle pages]

Each figure stands beside its promise. Source, relay, kernel and the readers of many streams are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
from _tokens import TOKEN, source

from nbstream.relay.link.client import RelayClient
from nbstream.relay.process import end, ensure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from nbstream.relay.address import Address

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

RATE, STREAMS, SECONDS = 100, 50, 20
MB = 1e6


def tell(what: str, figure: str, promise: str = "") -> None:
    """Print one line of the table."""
    print(f"{what:66} {figure:>20}  {promise}", flush=True)


@contextmanager
def home() -> Iterator[Path]:
    """Give a new home, in the environment of every process from now on; its relay ends with the block."""
    with tempfile.TemporaryDirectory(prefix="nbstream-bench-") as place:
        os.environ["NBSTREAM_HOME"] = place
        os.environ["JUPYTER_RUNTIME_DIR"] = f"{place}/runtime"
        try:
            yield Path(place)
        finally:
            end(Path(place) / "store")


@contextmanager
def running() -> Iterator[tuple[Address, psutil.Process]]:
    """Run a relay of a new store."""
    with home() as place:
        address = asyncio.run(ensure(place / "store"))
        yield address, psutil.Process(address.pid)


async def begin(client: RelayClient, url: str) -> str:
    """Start the stream of *url*; each has a notebook of its own, since one has eight calls at a time."""
    ask = {"source": {"url": url, "format": "nbstream"}, "scope": secrets.token_hex(4), "holder": "bench"}
    return (await client.start(ask))[1]["id"]


def in_ms(times: list[float]) -> str:
    """Return median and 99th percentile in words."""
    return f"{1000 * statistics.median(times):.1f} / {1000 * p99(times):.1f} ms"


def p99(times: list[float]) -> float:
    """Return what 99 of 100 do not exceed."""
    return sorted(times)[math.ceil(0.99 * len(times)) - 1]


# -- start -----------------------------------------------------------------------------------------------------


def start() -> None:
    """Spawn to the first byte served, and what `%load_ext` takes with the relay and without."""
    took = []
    for _ in range(5):
        with home() as place:
            began = time.monotonic()
            asyncio.run(_healthy(place / "store"))
            took.append(time.monotonic() - began)
    tell("relay: spawn to first byte served, median / worst of 5",
         f"{1000 * statistics.median(took):.0f} / {1000 * max(took):.0f} ms", "< 1,500 ms")  # fmt: skip
    loads: dict[str, list[float]] = {"kernel": [], "relay": []}
    with running():
        for _ in range(7):
            for host, times in loads.items():
                told = subprocess.run(
                    [sys.executable, "-c", LOAD], env={**os.environ, "NBSTREAM_HOST": host}, check=True,
                    capture_output=True, text=True,
                ).stdout  # fmt: skip
                times.append(float(told))
    kernel, relay = (1000 * statistics.median(times) for times in loads.values())
    tell(
        "%load_ext with host=relay / host=kernel, median of 7", f"{relay:.0f} / {kernel:.0f} ms", "< 150 ms, no slower"
    )


LOAD = """\
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
began = time.perf_counter()
shell.run_line_magic("load_ext", "nbstream")
print(time.perf_counter() - began)
"""


async def _healthy(directory: Path) -> None:
    client = RelayClient(await ensure(directory))
    await client.health()
    await client.close()


def kernel() -> None:
    """Cell to first text in a real kernel: the relay is not there yet, then it is; the kernel as a host beside it."""
    from kernels import Kernels

    cell = "%%stream -p tokens_per_s=50 -p max_tokens=60\nrivers"
    took: dict[str, list[float]] = {"relay": [], "relay runs already": [], "kernel": []}
    for _ in range(3):
        for host in ("relay", "kernel"):
            with (
                tempfile.TemporaryDirectory(prefix="nbstream-bench-") as place,
                Kernels(Path(place), host=host) as all_,
            ):
                for name in (host, f"{host} runs already"):
                    one = all_.start(f"{len(name)}.ipynb").load()
                    began = time.monotonic()
                    one.execute(cell, "cell").page.wait_text(1)
                    if name in took:
                        took[name].append(time.monotonic() - began)
    for name, times in took.items():
        promise = "< 2,500 ms" if name == "relay" else "beside it"
        tell(f"cold %%stream to first text, {name}, best / worst of 3",
             f"{1000 * min(times):.0f} / {1000 * max(times):.0f} ms", promise)  # fmt: skip


# -- latency ---------------------------------------------------------------------------------------------------


def latency(seconds: float = 10) -> None:
    """Source byte to reader byte at 100 tokens/s: directly, through the relay, and in a kernel that follows it."""
    with source() as url, running() as (address, _):
        paced = f"{url}/paced?rate={RATE}&s={seconds:g}"
        times = {
            "directly": asyncio.run(_directly(paced)),
            "through the relay": asyncio.run(_followed(address, paced)),
            "relay, signal, store (a kernel)": _child("--kernel", f"{paced}&kernel=1"),
        }
    direct = times["directly"]
    for name, found in times.items():
        assert len(found) > 0.9 * RATE * seconds, (name, len(found))
        added = [f"{1000 * (of(found) - of(direct)):.1f}" for of in (statistics.median, p99)]
        extra = "" if found is direct else f"added {' / '.join(added)} ms (< 15 / 60 ms)"
        tell(f"token to reader, {name}, median / p99", in_ms(found), extra)


async def _directly(url: str) -> list[float]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    found: list[float] = []
    while data := await reader.read(65536):
        found += _ages(data)
    writer.close()
    return found


async def _followed(address: Address, url: str) -> list[float]:
    client = RelayClient(address)
    stream = await begin(client, url)
    found: list[float] = []
    async with aclosing(client.follow(stream)) as events:
        async for event in events:
            if event.kind == "record":
                found += _ages(event.data.encode())
    await client.close()
    return found


def _ages(data: bytes) -> list[float]:
    now = time.monotonic()
    return [now - float(sent) for sent in TOKEN.findall(data)]


def _child(option: str, *given: str) -> list[float]:
    told = subprocess.run([sys.executable, __file__, option, *given], check=True, capture_output=True, text=True).stdout
    return json.loads(told)


async def _in_kernel(url: str) -> None:
    """Be a process that reads as views do: signals from the relay, records from the store."""
    import nbstream

    found: list[float] = []
    async for part in nbstream.start(nbstream.sse(url, format="nbstream"), host="relay", fresh=True):
        found += _ages(part.text.encode())
    print(json.dumps(found))


# -- many ------------------------------------------------------------------------------------------------------


def many() -> None:
    """50 streams of 100 tokens/s with a reader each, for 20 s."""
    with source() as url, running() as (address, relay):
        streams = asyncio.run(_begin_all(address, f"{url}/paced?rate={RATE}&s={SECONDS}", STREAMS))
        readers = subprocess.Popen(
            [sys.executable, __file__, "--readers", *streams], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert readers.stdin is not None
        assert readers.stdout is not None
        readers.stdin.write(json.dumps([address.url, address.token]))
        readers.stdin.close()
        time.sleep(SECONDS / 4)
        before, began = sum(relay.cpu_times()[:2]), time.monotonic()
        time.sleep(SECONDS / 2)
        cpu = (sum(relay.cpu_times()[:2]) - before) / (time.monotonic() - began)
        resident = relay.memory_info().rss
        came: list[list[float]] = json.loads(readers.stdout.read())
        readers.wait()
    assert len(came) == STREAMS * RATE * SECONDS, f"{len(came)} tokens came"
    first = min(sent for sent, _ in came)
    what = f"{STREAMS} streams x {RATE} tokens/s"
    halves = {}
    for name, at in (("middle", first + SECONDS / 2), ("end", first + SECONDS - 1)):
        under_way = [
            sum(sent <= at + tick < arrived for sent, arrived in came) for tick in (n / 50 for n in range(-25, 25))
        ]
        ages = [arrived - sent for sent, arrived in came if abs(sent - at) < 1]
        halves[name] = statistics.mean(under_way)
        tell(f"{what}: token to reader at the {name}, median / p99", in_ms(ages))
    tell(f"{what}: tokens under way, middle / end", f"{halves['middle']:.0f} / {halves['end']:.0f}", "does not grow")
    tell(f"{what}: relay's CPU", f"{cpu:.2f} cores", "of 2, with source and readers")
    tell(f"{what}: relay's memory", f"{resident / MB:.0f} MB", "< 120 MB")


async def _begin_all(address: Address, url: str, count: int) -> list[str]:
    client = RelayClient(address)
    try:
        return await asyncio.gather(*(begin(client, f"{url}&n={n}") for n in range(count)))
    finally:
        await client.close()


async def _read_all(streams: list[str]) -> None:
    """Read many streams cheaply, and print when each token was sent and came."""
    url, token = json.load(sys.stdin)
    came: list[tuple[float, float]] = []
    await asyncio.gather(*(read(url, token, stream, came) for stream in streams))
    print(json.dumps(came))


async def read(url: str, token: str, stream: str, came: list[tuple[float, float]]) -> None:
    reader, writer = await _ask(url, token, f"/v1/streams/{stream}/records?after=-1", "text/event-stream")
    rest = b""
    while data := await reader.read(65536):
        now, rest = time.monotonic(), rest + data
        last = 0
        for found in TOKEN.finditer(rest):
            came.append((float(found[1]), now))
            last = found.end()
        rest = rest[last:][-64:]
    writer.close()


async def _ask(url: str, token: str, path: str, accept: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**22)
    lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", f"Authorization: Bearer {token}", f"Accept: {accept}"]
    writer.write("\r\n".join([*lines, "Connection: close", "\r\n"]).encode())
    return reader, writer


# -- idle ------------------------------------------------------------------------------------------------------


def idle(count: int = 200, streams: int = 4) -> None:
    """200 readers of streams on which nothing happens."""
    with source() as url, running() as (address, relay):
        names = asyncio.run(_begin_all(address, f"{url}/quiet?", streams))
        before = relay.memory_info().rss
        asyncio.run(_idle(address, relay, [names[n % streams] for n in range(count)], before))


async def _idle(address: Address, relay: psutil.Process, streams: list[str], before: int) -> None:
    open_ = [
        await _ask(address.url, address.token, f"/v1/streams/{one}/records", "text/event-stream") for one in streams
    ]
    for reader, _ in open_:
        await reader.readuntil(b"caught_up")
    await asyncio.sleep(1)
    cpu = sum(relay.cpu_times()[:2])
    await asyncio.sleep(20)  # a ping each, at least
    cpu = (sum(relay.cpu_times()[:2]) - cpu) / 20
    resident = relay.memory_info().rss
    figure = f"{resident / MB:.0f} MB, +{(resident - before) / MB:.0f} MB"
    tell(f"{len(streams)} idle readers: relay's memory, and by how much more", figure, "< 120 MB")
    tell(f"{len(streams)} idle readers: relay's CPU", f"{100 * cpu:.1f} % of a core")
    for _, writer in open_:
        writer.close()


# -- pages -----------------------------------------------------------------------------------------------------


def pages() -> None:
    """First page of 10 and 100 MB, all of them, and what recording and reading adds to the relay's memory."""
    for megabytes, promise in ((10, "< 300 ms"), (100, "< 1,500 ms")):
        with source() as url, home() as place:
            address = asyncio.run(ensure(place / "store"))
            asyncio.run(_recorded(address, f"{url}/bulk?mb=0.1"))  # warm
            with Peak(psutil.Process(address.pid)) as peak:
                began = time.monotonic()
                stream = asyncio.run(_recorded(address, f"{url}/bulk?mb={megabytes}"))
                tell(f"{megabytes} MB: recorded", f"{time.monotonic() - began:.2f} s")
                began = time.monotonic()
                asyncio.run(_everything(address, stream))
                tell(f"{megabytes} MB: read to its end as events", f"{time.monotonic() - began:.2f} s")
            tell(f"{megabytes} MB: the relay's memory grew by", f"{peak.growth / MB:.0f} MB", "< 64 MB")
            end(place / "store")
            address = asyncio.run(ensure(place / "store"))
            for relay in ("a new relay", "again"):
                for accept in ("application/json", "text/event-stream"):
                    took, size = asyncio.run(_first_page(address, stream, accept))
                    figure = f"{1000 * took:.0f} ms, {size / 1024:.0f} KiB"
                    tell(f"{megabytes} MB: first page as {accept}, {relay}", figure, promise)


class Peak:
    """The most memory a process takes during a block, over what it had before."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._over = process, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._before = self._most = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """Bytes."""
        return self._most - self._before

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, self._process.memory_info().rss)


async def _recorded(address: Address, url: str) -> str:
    client = RelayClient(address)
    stream = await begin(client, url)
    while (await client.describe(stream))["state"] != "complete":
        await client.hold(stream, "bench", 10)
        await asyncio.sleep(0.05)
    await client.close()
    return stream


async def _first_page(address: Address, stream: str, accept: str) -> tuple[float, int]:
    """Return how long the first page takes (of events: the first 256 KiB), and its bytes."""
    began = time.monotonic()
    reader, writer = await _ask(address.url, address.token, f"/v1/streams/{stream}/records", accept)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: ([0-9]+)", head)
    page = await reader.readexactly(int(length[1]) if length else 256 * 1024)
    took = time.monotonic() - began
    assert b'"open"' in page, page[:300]
    writer.close()
    return took, len(page)


async def _everything(address: Address, stream: str) -> None:
    reader, writer = await _ask(address.url, address.token, f"/v1/streams/{stream}/records", "text/event-stream")
    last = b""
    while data := await reader.read(2**20):
        last = last[-1000:] + data
    writer.close()
    assert b'"complete"' in last, last[-300:]


def main() -> None:
    """Print the benches named on the command line, or all."""
    benches = {"start": start, "kernel": kernel, "latency": latency, "many": many, "idle": idle, "pages": pages}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="bench", help=" ".join(benches))
    parser.add_argument("--kernel", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--readers", nargs="+", metavar="STREAM", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.kernel:
        asyncio.run(_in_kernel(args.kernel))
    elif args.readers:
        asyncio.run(_read_all(args.readers))
    else:
        for name in args.names or benches:
            benches[name]()


if __name__ == "__main__":
    main()

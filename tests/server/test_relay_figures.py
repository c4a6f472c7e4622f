"""
What the relay costs, with bounds ten times the promise: bench/relay.py prints the figures themselves.

The source is a process of its own, and so is the relay: neither waits for the readers' interpreter.
"""

import asyncio
import json
import multiprocessing
import secrets
import statistics
import threading
import time
from contextlib import aclosing
from urllib.parse import urlencode, urlsplit

import psutil
import pytest
import relays

from nbstream.demo import DemoModel, DemoServer
from nbstream.relay.link.client import RelayClient
from nbstream.relay.process import ensure
from nbstream.wire.sse import SSEParser

MB = 1_000_000
#: Of the promises (issue "relay"); a machine in the middle of a test run is not one that measures.
SLACK = 10
#: Characters of a token of the demo model, on average.
TOKEN_CHARS = 4.9


def _serve(pipe):
    with DemoServer() as server:
        pipe.send(server.url)
        pipe.recv()


@pytest.fixture(scope="module")
def url():
    """Return the address of a demo server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    yield ours.recv()
    ours.send("end")
    server.join(10)


@pytest.fixture
def relay(tmp_path, monkeypatch):
    """Return the address of a relay that has done nothing yet."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    yield asyncio.run(ensure(tmp_path / "store"))
    relays.end_all(tmp_path / "runtime")


async def begin(relay, url, **query):
    """Start a stream of the demo server; each has a notebook of its own, since one has eight calls at a time."""
    ask = {
        "source": {"url": f"{url}/stream?{urlencode(query)}", "format": "nbstream"},
        "scope": secrets.token_hex(4), "holder": "test",
    }  # fmt: skip
    with_relay = RelayClient(relay)
    try:
        return (await with_relay.start(ask))[1]["id"]
    finally:
        await with_relay.close()


async def recorded(relay, url, megabytes):
    """Record so much text to its end."""
    tokens = int(megabytes * MB / TOKEN_CHARS)
    stream = await begin(relay, url, tokens_per_s=0, tokens_per_frame=16, max_tokens=tokens)
    async with aclosing(RelayClient(relay).follow(stream)) as events:
        async for _ in events:
            pass
    return stream


async def ask(relay, stream, accept):
    """Ask for the records of a stream on a connection of its own; return it behind the answer's head, and the head."""
    parts = urlsplit(relay.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    lines = [
        f"GET /v1/streams/{stream}/records HTTP/1.1", f"Host: {parts.netloc}", f"Authorization: Bearer {relay.token}",
        f"Accept: {accept}", "Connection: close", "\r\n",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return reader, writer, head.decode().lower()


async def first_page(relay, stream, accept):
    """Return how long the first page takes; of events, the first 256 KiB."""
    began = time.monotonic()
    reader, writer, head = await ask(relay, stream, accept)
    _, _, length = head.partition("content-length: ")
    page = await reader.readexactly(int(length.split()[0]) if length else 256 * 1024)
    took = time.monotonic() - began
    assert b'"open"' in page
    writer.close()
    return took


class Peak:
    """The most memory that a process takes during a block."""

    def __init__(self, pid):
        self._process, self._over = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = self.most = self.now

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    @property
    def now(self):
        return self._process.memory_info().rss / MB

    def _watch(self):
        while not self._over.wait(0.02):
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_the_first_page_does_not_wait_for_the_others(relay, url, soak, accept):
    """The first page of 10 MB (soak: 100 MB) is there as soon as that of 2 MB, give or take."""
    megabytes, promise_s = (100, 1.5) if soak else (10, 0.3)
    short, long = (asyncio.run(recorded(relay, url, size)) for size in (2, megabytes))
    took = {name: min(asyncio.run(first_page(relay, name, accept)) for _ in range(3)) for name in (short, long)}
    print(f"first page: of 2 MB {1000 * took[short]:.0f} ms, of {megabytes} MB {1000 * took[long]:.0f} ms")
    assert took[long] < SLACK * max(took[short], 0.01)
    assert took[long] < SLACK * promise_s


def test_a_long_stream_does_not_stay_in_memory(relay, url, soak):
    """Recording and reading 10 MB (soak: 100 MB) adds less than 64 MB to the relay."""
    megabytes = 100 if soak else 10
    asyncio.run(recorded(relay, url, 0.1))
    with Peak(relay.pid) as peak:
        stream = asyncio.run(recorded(relay, url, megabytes))
        read = asyncio.run(everything(relay, stream))
    print(f"{peak.before:.0f} MB, at most {peak.most:.0f} MB, for {read / MB:.1f} MB of events")
    assert read > 0.95 * megabytes * MB
    assert peak.most - peak.before < 64


async def everything(relay, stream):
    """Read a stream to its end as events; return the bytes."""
    reader, writer, _ = await ask(relay, stream, "text/event-stream")
    size, last = 0, b""
    while data := await reader.read(2**18):
        size, last = size + len(data), last[-1000:] + data
    writer.close()
    assert b'"how":"complete"' in last
    return size


def test_fifty_streams_end_when_their_sources_do(relay, url, soak):
    """
    50 streams of 20 tokens/s for 4 s (soak: 100 tokens/s for 20 s) with a reader each leave nobody behind.

    Each reader has every record once, in order, hardly later than its source has sent the last; all that stays under
    120 MB.
    """
    rate, seconds = (100, 20) if soak else (20, 4)

    async def one(number):
        prompt, tokens = f"river {number}", rate * seconds
        stream = await begin(relay, url, prompt=prompt, tokens_per_s=rate, max_tokens=tokens)
        began = time.monotonic()
        reader, writer, _ = await ask(relay, stream, "text/event-stream")
        chunks = [data async for data in _chunks(reader)]
        late = time.monotonic() - began - seconds
        writer.close()
        return late, chunks, DemoModel(0).text(prompt, max_tokens=tokens)

    async def all_of_them():
        return await asyncio.gather(*map(one, range(50)))

    with Peak(relay.pid) as peak:
        outcomes = asyncio.run(all_of_them())
    late = [late for late, _, _ in outcomes]
    print(f"behind the source: {statistics.median(late):.2f} s, at most {max(late):.2f} s; memory {peak.most:.0f} MB")
    assert max(late) < 2
    assert peak.most < 120
    for _, chunks, text in outcomes:
        ids, found = _read(chunks)
        assert ids == list(range(len(ids)))
        assert found == text


async def _chunks(reader):
    while data := await reader.read(2**16):
        yield data


def _read(chunks):
    """Return the ids of the records and their text, from the bytes of an event stream."""
    parser = SSEParser()
    events = [event for chunk in chunks for event in parser.feed(chunk) if event.event in ("", "message")]
    parts = [part for event in events for part in json.loads(event.data).get("parts", ())]
    return [int(event.id) for event in events], "".join(part["text"] for part in parts)


def test_two_hundred_idle_readers_cost_little(relay, url):
    """200 readers of four silent streams: the relay stays under 120 MB and at rest, and a fifth stream is as quick."""

    async def run():
        silent = [await begin(relay, url, prompt=str(n), fault="stall:10") for n in range(4)]
        readers = [await ask(relay, silent[n % 4], "text/event-stream") for n in range(200)]
        for reader, _, _ in readers:
            await reader.readuntil(b"caught_up")
        ages = await ages_of(relay, url, tokens=200)
        for _, writer, _ in readers:
            writer.close()
        return ages

    with Peak(relay.pid) as peak:
        ages = asyncio.run(run())
    print(f"{peak.most:.0f} MB; a token is {1000 * statistics.median(ages):.1f} ms old")
    assert peak.most < 120
    assert statistics.median(ages) < SLACK * 0.015


def test_a_crowd_of_readers_is_sent_several_tokens_at_a_time(relay, url):
    """Where many read at once, tokens are gathered before they are stored: fewer records, each with all of its text."""
    tokens = 500

    async def run():
        stream = await begin(relay, url, prompt="crowd", tokens_per_s=100, max_tokens=tokens)
        readers = [await ask(relay, stream, "text/event-stream") for _ in range(30)]
        found = await asyncio.gather(*(_all_of(reader) for reader, _, _ in readers))
        for _, writer, _ in readers:
            writer.close()
        return found

    first, *others = asyncio.run(run())
    assert all(one == first for one in others)
    ids, text = first
    assert text == DemoModel(0).text("crowd", max_tokens=tokens)
    print(f"{len(ids)} records for {tokens} tokens")
    assert len(ids) < tokens / 2


async def _all_of(reader):
    return _read([data async for data in _chunks(reader)])


def test_a_token_reaches_its_reader_soon(relay, url):
    """At 100 tokens/s each record is with its reader long before a person would see it."""
    ages = asyncio.run(ages_of(relay, url, tokens=300))
    print(f"{1000 * statistics.median(ages):.1f} ms, at most {1000 * max(ages):.1f} ms")
    assert statistics.median(ages) < SLACK * 0.015


async def ages_of(relay, url, tokens):
    """Follow a stream of 100 tokens/s; return how old each record was when it came, since the recorder made it."""
    stream = await begin(relay, url, prompt="latency", tokens_per_s=100, max_tokens=tokens)
    ages = []
    async with aclosing(RelayClient(relay).follow(stream)) as events:
        async for event in events:
            record = json.loads(event.data) if event.kind == "record" else {}
            if record.get("type") == "delta":
                ages.append(time.time() - record["at"])
    assert len(ages) > tokens / 2, "records of a token or two"
    return ages

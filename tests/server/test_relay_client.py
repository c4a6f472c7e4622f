"""A client of a real relay: what it follows comes once and in order, whatever happens on the way to it."""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import aclosing, suppress
from dataclasses import replace

import psutil
import pytest
import relays
from listening import listening

from nbstream.errors import Fenced, LogDamaged, RelayError, SourceRefused, StreamGone
from nbstream.log.disk import open_disk_store
from nbstream.records import Close, Delta, Open, Part, encode
from nbstream.relay.address import our_address
from nbstream.relay.link.client import RelayClient
from nbstream.relay.link.ways import Timing
from nbstream.relay.process import ensure
from nbstream.testing import Answer, FaultServer, Pause

KEY = "sk-proj-notforanybodyelse0123456789"
#: A machine under test is busy: what takes milliseconds may take this long.
WAIT_S = 20.0
QUICK = Timing(first_byte_s=0.4, probe_s=0.6, silent_s=10.0, poll_s=5.0, waits_s=(0.02,) * 12)


class Writer:
    """Writes a stream of small records into the store, as the recorder of another process would."""

    def __init__(self, store, stream, count, *, rng, pause_s, most):
        self.log = store.start(Open(stream, stream, "new", {"title": "t"}, "f", "pid 1", "host", "boot", 1.0)).log
        self.records = [store.log(stream).read()[0]]
        off = 0
        for number in range(count):
            text = rng.choice(("Aä€😀 ", "ordinary words ", "\r\n\u2028 lines\n", '{"json": "in it"} ')) * rng.randint(
                1, 9
            )
            self.records.append(Delta((Part("text", text, sequence=number + 1, off=off),), at=float(number)))
            off += len(text)
        self.records.append(Close("complete", at=float(count)))
        self.pause_s, self.rng = pause_s, rng
        self.written = []
        self._thread = threading.Thread(target=self._write)
        self._stopped = threading.Event()

    @property
    def data(self):
        """What a follower from the beginning is to be told."""
        return [(offset, encode(record).decode()) for offset, record in enumerate(self.records)]

    def start(self):
        self._thread.start()
        return self

    def _write(self):
        for offset, record in enumerate(self.records[1:], 1):
            self.log.append(offset, record)
            self.written.append(time.monotonic())
            if self._stopped.wait(self.pause_s * self.rng.uniform(0, 2)):
                return

    def stop(self):
        """Write no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def whole(self):
        """Write everything, now."""
        for offset, record in enumerate(self.records[1:], 1):
            self.log.append(offset, record)
        return self


@pytest.fixture
def address(home):
    """Return the address of a relay of its own process."""
    return asyncio.run(ensure(home / "store"))


@pytest.fixture
def store(home):
    """Return the store of that relay, as another process has it."""
    made = open_disk_store(home / "store")
    yield made
    made.close()


@pytest.fixture
def write(store, seed):
    """Return a function that makes a stream and its writer."""
    rng, made = random.Random(seed), []

    def begin(stream, count, *, pause_s=0.01, most=9):
        made.append(Writer(store, stream, count, rng=rng, pause_s=pause_s, most=most))
        return made[-1]

    yield begin
    for writer in made:
        writer.stop()


async def follow(address, stream, after=-1, *, timing=None, client=None, came=None):
    """Follow to the end; return the records, and the kinds of everything else."""
    client = client or RelayClient(address, timing=timing)
    records, kinds = [], []
    async with aclosing(client.follow(stream, after)) as events:
        async for event in events:
            if event.kind == "record":
                records.append((event.offset, event.data))
                if came is not None:
                    came.append(time.monotonic())
            else:
                kinds.append(event.kind)
    await client.close()
    return records, kinds


def run(work):
    """Run *work*, which must not take for ever."""
    return asyncio.run(asyncio.wait_for(work, WAIT_S))


def connections_to(port):
    """Return the connections of this process to *port*, as the operating system counts them."""
    mine = psutil.Process().net_connections("tcp4")
    return [one for one in mine if one.raddr and one.raddr.port == port and one.status != psutil.CONN_TIME_WAIT]


# -- following ---------------------------------------------------------------------------------------------------------


def test_a_live_stream_is_followed_to_its_end(address, write):
    """Every record comes once, in order, byte for byte as it is stored; "caught up" comes once; then it ends."""
    writer = write("s1", 60).start()
    records, kinds = run(follow(address, "s1"))
    assert records == writer.data
    assert kinds.count("caught_up") == 1
    assert not connections_to(address.port)


def test_only_what_is_missing_comes(address, write):
    """A follower behind record N gets what follows N; one behind the end of a complete stream ends at once."""
    writer = write("s1", 30).whole()
    for after in (0, 17, len(writer.records) - 2):
        assert run(follow(address, "s1", after))[0] == writer.data[after + 1 :]
    assert run(follow(address, "s1", len(writer.records) - 1)) == ([], [])
    polling = Timing(first_byte_s=0.0)
    assert run(follow(address, "s1", 17, timing=polling))[0] == writer.data[18:]
    assert run(follow(address, "s1", len(writer.records) - 1, timing=polling))[0] == []


def test_polls_carry_the_same(address, write):
    """Where no event comes through, long polls bring the same records, byte for byte, as they are written."""
    writer = write("s1", 60).start()

    async def polled():
        client = RelayClient(address)
        client._route.polls_until = float("inf")
        return await follow(address, "s1", client=client)

    records, kinds = run(polled())
    assert records == writer.data
    assert kinds.count("caught_up") == 1


def test_a_deleted_stream_is_gone(address, store):
    """Deleting a stream ends its followers with "gone"; there is nothing to follow in one that never was."""
    log = store.start(Open("s1", "k", "new", {}, "f", "pid 1", "host", "boot", 1.0))

    async def main():
        kinds = []
        async with aclosing(RelayClient(address).follow("s1")) as events:
            async for event in events:
                kinds.append(event.kind)
                if event.kind == "caught_up":
                    log.log.append(1, Close("interrupted", at=2.0))
                    log.lock.release()
                    await asyncio.to_thread(store.delete, "s1")
        with pytest.raises(StreamGone):
            await follow(address, "never")
        return kinds

    assert run(main())[-1] == "gone"
    assert not connections_to(address.port)


def test_whoever_leaves_leaves_nothing_behind(address, write):
    """A follower that is left early, cancelled, or cancelled twice has closed its connections when it returns."""
    write("s1", 5000, pause_s=0.002).start()

    async def main():
        client = RelayClient(address)
        async with aclosing(client.follow("s1")) as events:
            async for event in events:
                if event.offset == 3:
                    break
        assert not connections_to(address.port)
        for times in (1, 2):
            task = asyncio.ensure_future(follow(address, "s1"))
            await until(lambda: connections_to(address.port))
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(task, return_exceptions=True)
            assert not connections_to(address.port)

    run(main())


async def until(true):
    """Wait until something is so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < WAIT_S
        await asyncio.sleep(0.005)


# -- a proxy that holds events back ------------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {place}/access.log;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{relay}; proxy_set_header Host 127.0.0.1:{relay};
            proxy_buffering {buffering}; {more}
        }}
    }}
}}
"""


class Nginx:
    """
    A real nginx in front of the relay, with its own configuration.

    It asks in HTTP/1.0, as it does by default: with 1.1 it passes each chunk on at once, however it is told to buffer.
    """

    def __init__(self, place, relay):
        self.place, self.relay = place, relay
        self.port = free_port()
        self.process = None
        place.mkdir()

    def start(self, *, buffers):
        """Start it; with *buffers* it collects answers, whatever these ask for."""
        more = "proxy_ignore_headers X-Accel-Buffering;" if buffers else ""
        config = NGINX.format(
            place=self.place, port=self.port, relay=self.relay, buffering="on" if buffers else "off", more=more
        )
        (self.place / "nginx.conf").write_text(config)
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "nginx is missing: apt-get install nginx-light"
        self.process = subprocess.Popen(
            [program, "-p", str(self.place), "-c", str(self.place / "nginx.conf"), "-e", str(self.place / "error.log")]
        )
        began = time.monotonic()
        while not listens(self.port):
            assert self.process.poll() is None, (self.place / "error.log").read_text()
            assert time.monotonic() - began < WAIT_S
            time.sleep(0.01)

    def stop(self):
        """End it, by its id."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def asked(self):
        """Return how often it was asked for records, and the paths."""
        return re.findall(r'"GET (\S+/records\S+)', (self.place / "access.log").read_text())


@pytest.fixture
def nginx(address, tmp_path):
    """Return an nginx that is to be started."""
    made = Nginx(tmp_path / "nginx", address.port)
    yield made
    made.stop()


def free_port():
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def listens(port):
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_buffering_proxy_delays_nothing_for_long(address, nginx, write):
    """Through an nginx that buffers, the text comes by polls: in order, once, and soon after it was written."""
    nginx.start(buffers=True)
    through = replace(address, url=f"http://127.0.0.1:{nginx.port}", proves=False)
    writer = write("s1", 60, pause_s=0.05, most=1).start()
    came = []
    records, kinds = run(follow(through, "s1", timing=QUICK, came=came))
    assert records == writer.data
    assert kinds.count("caught_up") == 1
    late = sorted(seen - wrote for seen, wrote in zip(came[1:], writer.written, strict=True))
    print(f"behind nginx: median {1000 * late[len(late) // 2]:.0f} ms, worst {1000 * late[-1]:.0f} ms behind the write")
    print(f"{len(nginx.asked())} requests for records")
    assert late[len(late) // 2] < 0.35, "a relay sees what another process writes within 250 ms"
    assert late[-1] < QUICK.first_byte_s + 1.0
    # Tried, given up, tried again in between: one stream of events each time, polls all along.
    assert len(nginx.asked()) > 10


def test_events_come_back_when_the_proxy_lets_them_through(address, nginx, write):
    """When the proxy stops buffering, the next probe gets through and the polls end; nothing is lost or doubled."""
    nginx.start(buffers=True)
    through = replace(address, url=f"http://127.0.0.1:{nginx.port}", proves=False)
    writer = write("s1", 80, pause_s=0.05, most=1).start()

    async def main():
        following = asyncio.ensure_future(follow(through, "s1", timing=replace(QUICK, waits_s=(0.1,) * 50)))
        await asyncio.sleep(1.0)  # some polls
        nginx.stop()
        nginx.start(buffers=False)
        polled = len(nginx.asked())
        records, _ = await following
        return records, polled

    records, polled = run(main())
    assert records == writer.data
    after = len(nginx.asked()) - polled
    print(f"{polled} requests while it buffered, {after} after that")
    assert after < polled, "one request that stays open replaces the polls"


def test_a_silent_connection_is_replaced_by_polls_at_once_and_probed_again():
    """No byte in time: polls in the same breath; a probe that gets through takes over behind the last record."""
    records = [json.dumps({"n": number}) for number in range(6)]

    def page(request):
        after, upto = int(request.query["after"]), 3
        told = records[after + 1 : upto + 1]
        body = {
            "after": after, "upto": max(after, upto), "records": [json.loads(one) for one in told],
            "state": "streaming", "live": {"n": 1}, "complete": False,
        }  # fmt: skip
        pauses = () if told or request.query["wait"] == "0" else (Pause(0.3),)
        return Answer([json.dumps(body)], framing="length", end="keep", before=pauses)

    events = iter((
        Answer.sse(end="stall"),  # a head, and not a byte of the body
        # From the record before the last that came: what comes twice is told once.
        Answer.sse(*(frame(n, records[n]) for n in (2, 3, 4)), end="stall"),
        Answer(status=204),
    ))  # fmt: skip
    asked = []

    def answer(request):
        kind = request.headers["accept"]
        asked.append((kind, request.query["after"]))
        return page(request) if kind == "application/json" else next(events)

    with FaultServer() as server:
        server.script([], otherwise=answer)
        timing = Timing(first_byte_s=0.3, probe_s=0.5, silent_s=30, poll_s=1, waits_s=(0.01, 0.01))
        address = replace(our_address(server.url), proves=False)
        began = time.monotonic()
        came = []
        found, kinds = run(follow(address, "s", timing=timing, came=came))
        server.wait_closed(1.0)
    assert found == [(n, f'{{"n":{n}}}' if n < 4 else records[n]) for n in range(5)]
    assert came[0] - began < 2.0, "the first record did not wait for the events"
    streams = [after for kind, after in asked if kind == "text/event-stream"]
    assert streams[:2] == ["-1", "3"]
    assert kinds[:2] == ["caught_up", "live"] or kinds[:2] == ["live", "caught_up"]


def frame(offset, data):
    """Return one record as a relay sends it."""
    return f"id: {offset}\ndata: {data}\n\n"


#: A relay greets at once, and only then reads.
HELLO = (": hello\n\n", Pause(0.05))
CAUGHT_UP = 'event: caught_up\ndata: {"offset": 1}\n\n'

# -- connections that break --------------------------------------------------------------------------------------------


class Cutter:
    """A hop that passes bytes on and breaks each connection somewhere, by FIN or RST."""

    def __init__(self, port, rng, most):
        self.to, self.rng, self.most = port, rng, most
        self.cuts = 0
        self.port = 0

    async def __aenter__(self):
        self._listening = listening(self._serve)
        self.port = await self._listening.__aenter__()
        return self

    async def __aexit__(self, *exc_info):
        await self._listening.__aexit__(*exc_info)

    async def _serve(self, reader, writer):
        far, out = await asyncio.open_connection("127.0.0.1", self.to)
        budget = self.rng.randint(1, self.most)
        there = asyncio.ensure_future(self._pump(reader, out))
        try:
            while budget and (data := await far.read(min(budget, 4096))):
                budget -= len(data)
                writer.write(data)
                await writer.drain()
            self.cuts += not budget
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            there.cancel()
            if self.rng.random() < 0.5:
                writer.transport.abort()
            for one in (writer, out):
                one.close()

    async def _pump(self, reader, writer):
        while data := await reader.read(4096):
            # The relay wants to be asked by its own name.
            writer.write(data.replace(b"127.0.0.1:%d" % self.port, b"127.0.0.1:%d" % self.to))


@pytest.mark.parametrize("way", ["events", "polls"])
def test_cuts_at_random_places_lose_and_double_nothing(address, write, seed, soak, way):
    """However often and wherever a connection breaks, each record comes once and in order."""
    rng, total = random.Random(f"{seed} {way}"), 0
    for number in range(20 if soak else 3):
        stream = f"s{number}"
        writer = write(stream, 150, pause_s=0.004).start()

        async def main(stream=stream):
            async with Cutter(
                address.port, rng, 30_000 if way == "polls" else rng.choice((1500, 6000, 20000))
            ) as cutter:
                through = replace(address, url=f"http://127.0.0.1:{cutter.port}", proves=False)
                client = RelayClient(through, timing=replace(QUICK, waits_s=(0.005,) * 200))
                if way == "polls":
                    client._route.polls_until = float("inf")
                records, _ = await follow(through, stream, client=client)
                return records, cutter.cuts

        records, cuts = run(main())
        assert records == writer.data
        print(f"{way} {number + 1}: {cuts} cuts in {len(records)} records")
        total += cuts
    assert total


def test_a_hole_is_asked_for_and_a_repeated_record_is_told_once():
    """A record that comes twice counts once; behind a hole the follower asks again from its last record."""
    told = iter((
        Answer.sse(*(frame(n, f"r{n}") for n in (0, 1, 1, 0, 2, 5)), end="stall"),
        Answer.sse(*(frame(n, f"r{n}") for n in (3, 4, 5)), frame(6, '{"type":"close","how":"complete"}')),
    ))  # fmt: skip
    with FaultServer() as server:
        server.script([], otherwise=lambda _: next(told))
        address = replace(our_address(server.url), proves=False)
        records, _ = run(follow(address, "s", timing=QUICK))
        assert [(offset, data) for offset, data in records[:6]] == [(n, f"r{n}") for n in range(6)]
        assert [request.query["after"] for request in server.requests] == ["-1", "2"]
        server.wait_closed(1.0)


def test_a_silent_relay_is_asked_again_and_a_sleeping_client_is_not_fooled():
    """No byte for long, not even a ping: a new connection. Time in which this process slept is no silence."""
    quick = replace(QUICK, silent_s=1.2)
    end_mark = frame(2, '{"type":"close","how":"complete"}')
    with FaultServer() as server:
        server.script([Answer.sse(*HELLO, frame(0, "a"), CAUGHT_UP, end="stall"), Answer.sse(frame(1, "b"), end_mark)])
        address = replace(our_address(server.url), proves=False)
        began = time.monotonic()
        assert len(run(follow(address, "s", timing=quick))[0]) == 3
        assert 1.1 < time.monotonic() - began < 5
        assert [request.query["after"] for request in server.requests] == ["-1", "0"]

        async def asleep():
            following = asyncio.ensure_future(follow(address, "s", timing=quick))
            await asyncio.sleep(0.3)
            time.sleep(3 * quick.silent_s)  # noqa: ASYNC251 - as if the machine had been asleep: nobody on this loop runs
            return await following

        server.script([Answer.sse(*HELLO, frame(0, "a"), CAUGHT_UP, Pause(4.2), frame(1, "b"), end_mark)])
        before = len(server.requests)
        assert len(run(asleep())[0]) == 3
        assert len(server.requests) == before + 1, "one connection, and no second one"


def test_a_relay_that_fails_three_times_in_a_row_is_given_up(address):
    """Three waits, then one clear line; a relay whose process is gone is given up at once."""
    with FaultServer() as server:
        server.script([], otherwise=Answer.sse(end="reset"))
        broken = replace(our_address(server.url), proves=False)
        began = time.monotonic()
        with pytest.raises(RelayError, match="cannot be reached"):
            run(follow(broken, "s"))
        assert [request.query["after"] for request in server.requests] == ["-1"] * 4
        assert 2.3 < time.monotonic() - began < 6
        server.script([], otherwise=Answer(status=401, framing="length"))
        with pytest.raises(RelayError, match="401") as refused:
            run(follow(broken, "s"))
        assert refused.value.status == 401
        assert len(server.requests) == 5, "a refusal is no reason to ask again"
    relays.kill(address.pid)
    began = time.monotonic()
    with pytest.raises(RelayError) as gone:
        run(follow(address, "s"))
    assert gone.value.status is None
    assert time.monotonic() - began < 0.5


# -- the other questions -----------------------------------------------------------------------------------------------


def test_a_stream_is_started_stopped_and_described(address, store):
    """Start says whether a call began; the same key again attaches; stop is for good; errors are what they are."""
    ask = {
        "source": {"prompt": "Tell me", "model": "demo:", "params": {"max_tokens": 5000, "tokens_per_s": 50}},
        "key": "mine", "holder": "me",
    }  # fmt: skip

    async def main():
        client = RelayClient(address)
        began, answer = await client.start(ask)
        again, same = await client.start(ask)
        assert (began, again) == (True, False)
        assert same["id"] == answer["id"]
        await client.hold(answer["id"], "me", 10)
        assert "me" in (await client.describe(answer["id"]))["holders"]
        assert (await client.keep(answer["id"]))["id"] == answer["id"]
        assert (await client.health())["live"] == 1
        assert (await client.stop(answer["id"]))["state"] == "stopped"
        assert store.status(answer["id"]).close.how == "stopped"
        url = await client.ticket(answer["id"])
        assert url.startswith(f"{address.url}/v1/streams/{answer['id']}/watch?ticket=")
        resumed = await client.resume(answer["id"], {})
        assert resumed["offset"] >= answer["offset"]
        await client.stop(answer["id"])
        with pytest.raises(StreamGone):
            await client.describe("nothing-of-that-name")
        with pytest.raises(RelayError) as refused:
            await client.start({"source": {"unheard": "of"}})
        assert refused.value.status == 400
        stranger = RelayClient(replace(address, token="wrong", proves=False))
        with pytest.raises(RelayError, match="token") as refused:
            await stranger.describe(answer["id"])
        assert refused.value.status == 401
        await stranger.close()
        await client.close()
        assert not connections_to(address.port)

    run(main())


@pytest.mark.parametrize("error", [StreamGone, Fenced, LogDamaged, SourceRefused])
def test_an_error_of_the_relay_is_the_same_error_here(error):
    """What the relay met is raised as if it had been met here, with the relay's words."""
    body = json.dumps({"error": {"type": error.__name__, "message": "what happened, and what to do"}})
    with FaultServer() as server:
        server.script([], otherwise=Answer([body], 400, framing="length"))
        client = RelayClient(replace(our_address(server.url), proves=False))
        with pytest.raises(error, match=r"^what happened, and what to do$"):
            run(client.keep("s"))
        with pytest.raises(error, match=r"^what happened, and what to do$"):
            run(follow(client.address, "s"))


# -- another program on the relay's old port ---------------------------------------------------------------------------


class Stranger:
    """Listens where the relay was, writes down every byte, and answers as it likes."""

    def __init__(self, port, answer):
        self.heard = bytearray()
        self.port, self.answer = port, answer

    async def __aenter__(self):
        began = time.monotonic()
        while True:
            try:
                self._listening = listening(self._serve, self.port)
                await self._listening.__aenter__()
            except OSError:  # a process that was killed closes its sockets with its last thread
                assert time.monotonic() - began < WAIT_S
                await asyncio.sleep(0.01)
            else:
                return self

    async def __aexit__(self, *exc_info):
        await self._listening.__aexit__(*exc_info)

    async def _serve(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.heard += data
                said = await self.answer(data)
                if said is None:
                    break
                writer.write(said)
        writer.close()


async def ask(address, request):
    """Send a request to the relay at *address* and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    said = head + await reader.readexactly(int(length[1]))
    writer.close()
    return said


def http(body, status="200 OK"):
    """Return a small answer."""
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


ANSWERS = {
    "no proof": http('{"ok": true}'),
    "a wrong proof": http(json.dumps({"ok": True, "proof": "0" * 64})),
    "an odd proof": http(json.dumps({"ok": True, "proof": ["ä"]})),
    "a list": http("[]"),
    "no JSON": http("<html>hello</html>"),
    "a long answer": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000,
    "a redirect": http("", "302 Found\r\nLocation: /healthz"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": None,
}


@pytest.mark.parametrize("what", [*ANSWERS, "the proof of the next relay"])
def test_a_stranger_on_the_old_port_gets_neither_token_nor_key(address, home, what, monkeypatch):
    """The relay died and another program has its port: it hears a question after a proof, and nothing more."""
    monkeypatch.setattr("nbstream.relay.link.proving.PROOF_S", 1.0)

    async def main():
        client = RelayClient(address)
        await client.health()  # a connection that is kept, and proved
        relays.kill(address.pid)
        following = await ensure(home / "store") if what == "the proof of the next relay" else None

        async def answer(data):
            if following is None:
                return ANSWERS[what]
            # It passes the question on to the relay that followed, as if it were the same.
            return await ask(following, data.replace(b":%d" % address.port, b":%d" % following.port))

        async with Stranger(address.port, answer) as stranger:
            asked = {
                "source": {"url": "http://127.0.0.1:9/x", "headers": {"Authorization": f"Bearer {KEY}"}, "key": KEY}
            }
            for question in (client.start(asked), client.stop("s1"), client.health(), follow(address, "s1")):
                with pytest.raises(RelayError) as refused:
                    await question
                assert refused.value.status is None
                assert address.token not in str(refused.value)
            await client.close()
            assert not connections_to(address.port)
            return bytes(stranger.heard)

    heard = run(main())
    questions = heard.split(b"\r\n\r\n")
    assert len(questions) >= 5, "each question made a connection, and each of those asked for a proof"
    for question in questions[:-1]:
        assert re.match(rb"GET /healthz\?nonce=[0-9a-f]{64} HTTP/1.1\r\n", question)
    assert address.token.encode() not in heard
    assert KEY.encode() not in heard
    assert b"uthorization" not in heard


def test_the_same_token_on_another_port_is_no_proof(address):
    """A relay that holds the token but listens elsewhere cannot be asked to prove the port it left."""
    port = free_port()

    async def main():
        async with Stranger(
            port, lambda data: ask(address, data.replace(b":%d" % port, b":%d" % address.port))
        ) as stranger:
            with pytest.raises(RelayError, match="another program"):
                await RelayClient(replace(address, url=f"http://127.0.0.1:{port}")).health()
            return bytes(stranger.heard)

    assert address.token.encode() not in run(main())


def test_a_relay_that_does_not_answer_is_not_waited_for(address, monkeypatch):
    """A relay that hangs is given up after a time, in one line."""
    monkeypatch.setattr("nbstream.relay.link.proving.PROOF_S", 0.3)
    os.kill(address.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RelayError, match="no answer"):
            run(RelayClient(address).health())
        assert not connections_to(address.port)
    finally:
        os.kill(address.pid, signal.SIGCONT)

"""Clients that misbehave: nobody else notices, and nothing of them is left after 5 s, as the system counts it."""

import http.client
import random
import socket
import struct
import threading
import time
from contextlib import contextmanager

import pytest
from relay_server import TOKEN, Relay, Writer, until

from nbstream.log.disk import open_disk_store

EVENTS = "/v1/streams/s1/records"
#: SO_LINGER on, 0 s: closing sends RST.
RESET = struct.pack("ii", 1, 0)
#: A reader beside the abuse waits no longer than this for any record. A busy machine has its pauses; a reader that
#: waits for somebody else's timeout waits for seconds.
LATE_S = 2.5


@pytest.fixture
def store(tmp_path):
    """Return a store on disk."""
    store = open_disk_store(tmp_path / "store")
    yield store
    store.close()


@contextmanager
def beside(relay):
    """
    Let a well-behaved reader follow a stream of 100 records a second while the block runs.

    It gets every record in time, and at the end nothing of the block is left: sockets and tasks are as before.
    """
    writer, written, came, ended = Writer(relay.store, "beside"), {}, {}, threading.Event()

    def write():
        while not ended.wait(0.01):
            written[writer.next] = time.monotonic()
            writer.write(f"{writer.next} ")
        writer.close()

    def read():
        with relay.events("/v1/streams/beside/records") as reader:
            while reader.step():
                for offset in reader.ids[len(came) :]:
                    came[offset] = time.monotonic()

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    until(lambda: len(came) > 2)
    before = relay.sockets(), relay.tasks()
    try:
        yield
        until(lambda: (relay.sockets(), relay.tasks()) == before, within_s=5)
    finally:
        ended.set()
        for thread in threads:
            thread.join(10)
    assert sorted(came) == list(range(writer.next))
    waits = sorted(came[offset] - written[offset] for offset in written)
    print(f"{len(waits)} records beside: median {waits[len(waits) // 2] * 1e3:.1f} ms, last {waits[-1] * 1e3:.0f} ms")
    assert waits[-1] < LATE_S


def test_a_client_that_stops_reading_is_cut_off(store):
    """Who takes nothing for `send_s` is closed, whatever is being sent; memory does not grow by what he is owed."""
    with Relay(store, send_s=2 * LATE_S, batch_bytes=64 * 1024) as relay:
        writer = Writer(store)
        futures = [writer.submit("x" * 16_000) for _ in range(1500)]
        futures[-1].result(60)
        with beside(relay):
            stalled = []
            # Two event streams, and two clients that ask for page after page and read none.
            for head in [relay.head("GET", EVENTS, "Accept: text/event-stream")] * 2 + [
                relay.head("GET", EVENTS) * 40
            ] * 2:
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", relay.port))
                client.sendall(head)
                stalled.append(client)
            until(lambda: relay.activity.readers == 3)
            began = time.monotonic()
            until(lambda: relay.activity.readers == 1, within_s=4 * LATE_S)
            assert time.monotonic() - began > LATE_S
            until(lambda: relay.sockets() == 1, within_s=5)  # theirs are still open at their end
            for client in stalled:
                client.close()


def test_a_client_that_reads_slowly_is_not_cut_off(store):
    """A little now and then is a sign of life: a slow reader gets everything, and holds nobody up."""
    with Relay(store, send_s=0.6) as relay:
        writer = Writer(store)
        for _ in range(60):
            writer.submit("x" * 16_000)
        writer.close()
        with beside(relay), socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", relay.port))
            client.sendall(relay.head("GET", EVENTS, "Accept: text/event-stream", "Connection: close"))
            got, began = b"", time.monotonic()
            while time.monotonic() - began < 2:
                got += client.recv(2048)
                time.sleep(0.05)  # slower than it is sent
            while data := client.recv(65536):
                got += data
            assert got.count(b"\nid: ") == 62
            assert got.endswith(b"0\r\n\r\n")


def greetings(chance):
    """Return what is no request of HTTP/1.1, or one that changes its mind."""
    return [
        bytes(chance.randrange(256) for _ in range(300)) + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET  /two  spaces HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"\r\n" * 1000,
    ]


def test_garbage_is_answered_and_closed(store, seed, caplog):
    """What is not HTTP gets a 400 at most, its connection is closed, and the relay's log stays free of tracebacks."""
    with Relay(store, head_s=1.0, body_s=1.0, keep_alive_s=1.0) as relay:
        Writer(store)
        chance = random.Random(seed)
        bad = greetings(chance)
        # After a head that was fine: a body that is none, and another request where there is no place for one.
        chunked = relay.head("POST", "/v1/streams/s1/stop", "Transfer-Encoding: chunked")
        bad += [chunked + b"5\r\nhello", chunked + b"nonsense\r\n\r\n"]
        bad += [
            relay.head("GET", EVENTS, "Accept: text/event-stream", "Transfer-Encoding: chunked") + b"nonsense\r\n\r\n"
        ]
        bad += [relay.head("GET", EVENTS, "Accept: text/event-stream") + bad[0]]
        bad += [relay.head("GET", "/v1/streams", "Upgrade: websocket", "Connection: Upgrade") + b"\x81\x05hello"]
        with beside(relay):
            clients = [relay.connect(greeting) for greeting in bad]
            for client, greeting in zip(clients, bad, strict=True):
                answer = read_some(client)
                assert not answer or answer.startswith(b"HTTP/1.1 "), (greeting[:80], answer[:80])
                client.close()
    assert "Traceback" not in caplog.text


def send_on(client, data, *, every_s, for_s=5.0):
    """Send *data* again and again."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        client.sendall(data)
        time.sleep(every_s)  # the pace of a bad client


def status(client):
    """Read one answer whole, and return its status."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status


def read_some(client):
    """Return the first bytes of the answer; none if the connection was closed without one."""
    try:
        return client.recv(65536)
    except ConnectionError:
        return b""


def test_connections_opened_and_dropped_leave_nothing(store, soak, seed):
    """Hundreds of clients that leave at any point of any request, politely or not: nothing is left of them."""
    chance = random.Random(seed)
    with Relay(store) as relay:
        Writer(store).write("text" * 1000)
        requests = [
            b"",
            relay.head("GET", EVENTS, "Accept: text/event-stream"),
            relay.head("GET", f"{EVENTS}?after=1", "Accept: text/event-stream"),
            relay.head("GET", f"{EVENTS}?after=1&wait=30"),
            relay.head("GET", EVENTS) * 3,
            relay.head("POST", "/v1/streams/s1/stop", "Content-Length: 5000") + b"{" * 2500,
            relay.head("POST", "/v1/streams", "Transfer-Encoding: chunked") + b'5\r\n{"a":',
        ]
        with beside(relay):
            left = 1000 if soak else 140
            while left:
                clients = []
                for _ in range(min(left, 20)):
                    request = chance.choice(requests)
                    cut = chance.choice([len(request), chance.randint(0, len(request))])
                    clients.append(relay.connect(request[:cut]))
                left -= len(clients)
                if chance.random() < 0.7:
                    chance.choice(clients).settimeout(0.02)
                    time.sleep(chance.random() * 0.03)  # some get further than others
                for client in clients:
                    if chance.random() < 0.5:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    client.close()
        until(lambda: relay.activity.readers == 0)
        assert relay.service.looks["s1"] == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_while_it_comes(store, chunked):
    """More than 16 MiB are 413, by their announced length or as they come, and the client gets to read that."""
    with Relay(store) as relay:
        Writer(store)
        block = b"x" * 2**18
        with beside(relay):
            path = "/v1/streams/s1/stop"
            if chunked:
                client = relay.connect(relay.head("POST", path, "Transfer-Encoding: chunked"))
                piece = b"%x\r\n%b\r\n" % (len(block), block)
            else:
                client = relay.connect(relay.head("POST", path, f"Content-Length: {80 * len(block)}"))
                piece = block
            for _ in range(80):
                client.sendall(piece)
            if chunked:
                client.sendall(b"0\r\n\r\n")
            assert status(client) == 413
            # It was read to its end, so the connection serves on.
            client.sendall(relay.head("GET", "/healthz"))
            assert status(client) == 200
            client.close()
        assert relay.service.asked == []


def test_a_body_without_an_end_or_without_a_token_is_not_waited_for(store):
    """A body that stands still is 408 after `body_s`; one that follows a refusal is thrown away."""
    with Relay(store, body_s=0.3, head_s=0.5, keep_alive_s=0.5) as relay:
        Writer(store)
        with beside(relay):
            slow = relay.connect(relay.head("POST", "/v1/streams/s1/stop", "Content-Length: 10") + b"{")
            assert status(slow) == 408
            assert read_some(slow) == b""
            endless = relay.head("POST", "/v1/streams", "Transfer-Encoding: chunked").replace(TOKEN.encode(), b"wrong")
            client = relay.connect(endless)
            began = time.monotonic()
            with pytest.raises(ConnectionError):
                send_on(client, b"10000\r\n" + b"x" * 65536 + b"\r\n", every_s=0)
            assert time.monotonic() - began < 2
            for one in (slow, client):
                one.close()


def test_connections_that_send_no_request_are_closed(store):
    """Nothing, half a head, a head byte by byte, half a second request: each has `head_s` and no more."""
    with Relay(store, head_s=0.5, keep_alive_s=5.0) as relay:
        Writer(store)
        with beside(relay):
            silent = [relay.connect() for _ in range(50)]
            half = [relay.connect(relay.head("GET", "/v1/streams")[:-3]) for _ in range(10)]
            second = []
            for _ in range(10):
                client = relay.connect(relay.head("GET", "/healthz"))
                assert status(client) == 200
                client.sendall(b"GET /v1")
                second.append(client)
            dripping, began = relay.connect(), time.monotonic()
            with pytest.raises(ConnectionError):
                send_on(dripping, b"G", every_s=0.02)
            assert time.monotonic() - began < 2
            # Between two requests a connection may rest longer.
            resting = relay.connect(relay.head("GET", "/healthz"))
            assert status(resting) == 200
            time.sleep(0.8)
            resting.sendall(relay.head("GET", "/healthz"))
            assert status(resting) == 200
            for client in [*silent, *half, *second]:
                assert read_some(client) == b""
                client.close()
            dripping.close()
            resting.close()


def test_one_connection_too_many_is_told_so(store):
    """Beyond the limit a connection gets 503 and is closed; as soon as another one ends, there is room."""
    with Relay(store, connections=10) as relay:
        Writer(store)
        with beside(relay):
            open_ones = [relay.connect() for _ in range(9)]
            extra = relay.connect()
            assert status(extra) == 503
            assert read_some(extra) == b""
            open_ones.pop().close()
            until(lambda: relay.activity.connections == 9)
            assert relay.ask("GET", "/v1/streams/s1").status == 200
            for client in [*open_ones, extra]:
                client.close()


def test_bad_tokens_and_cursors_in_numbers_disturb_nobody(store, soak, seed):
    """Wrong tokens, cursors, ids and forms, one after the other on many connections: each has its refusal."""
    chance = random.Random(seed)
    with Relay(store) as relay:
        Writer(store)
        bad = [
            (401, lambda: relay.ask("GET", EVENTS, token=TOKEN[: chance.randint(1, 30)])),
            (400, lambda: relay.ask("GET", f"{EVENTS}?after={chance.randint(2, 10**9)}", Accept="text/event-stream")),
            (400, lambda: relay.ask("GET", EVENTS, Last_Event_ID="%x" % (chance.getrandbits(64) | 0xF))),
            (404, lambda: relay.ask("GET", f"/v1/streams/{chance.getrandbits(64):x}/records")),
            (406, lambda: relay.ask("GET", EVENTS, Accept="image/png")),
            (421, lambda: relay.ask("GET", EVENTS, Host="rebound.example")),
        ]
        with beside(relay):
            for _ in range(3000 if soak else 300):
                status, ask = chance.choice(bad)
                assert ask().status == status

"""The fault server is what the network tests believe: each of its faults is seen on a real socket."""

import socket
import time
from contextlib import suppress

import httpx
import pytest

from nbstream.testing import Answer, FaultServer, Gate, Pause

LIMIT_S = 5


@pytest.fixture
def server():
    """A server for one test."""
    with FaultServer(limit_s=LIMIT_S) as server:
        yield server


@pytest.fixture
def client():
    """A client that fails rather than waits."""
    with httpx.Client(trust_env=False, timeout=LIMIT_S) as client:
        yield client


def raw(server, request=b"GET / HTTP/1.1\r\n\r\n"):
    """Send *request* and return every byte until the connection ends; a reset raises."""
    with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as sock:
        sock.sendall(request)
        out = bytearray()
        receive(sock, out)
        return bytes(out)


def receive(sock, into):
    """Read until the connection ends, and keep what came even if it ends badly."""
    while data := sock.recv(65536):
        into += data


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("gzip", [False, True])
def test_a_whole_answer(server, client, framing, gzip):
    """Status, headers and body arrive, however the body is framed and coded."""
    server.script([Answer.sse("data: é\n\n", b"data: b\n\n", headers={"X-A": "1"}, framing=framing, gzip=gzip)])
    answer = client.get(server.url)
    assert (answer.status_code, answer.headers["x-a"], answer.text) == (200, "1", "data: é\n\ndata: b\n\n")
    server.wait_closed(1)


def test_requests_are_recorded(server, client):
    """Method, path, query, headers and body are there to be asserted, also those behind the end of the script."""
    server.script([lambda request: Answer([request.body], 201)])
    answer = client.post(f"{server.url}/a/b?x=1&y=", content="hé", headers={"Last-Event-ID": "7"})
    assert (answer.status_code, answer.text) == (201, "hé")
    assert client.get(server.url).status_code == 404
    first, second = server.wait_requests(2)
    assert (first.method, first.path, first.query, first.last_event_id) == ("POST", "/a/b", {"x": "1", "y": ""}, "7")
    assert (first.body, first.headers["content-length"]) == ("hé".encode(), "3")
    assert (second.method, second.last_event_id, second.connection) == ("GET", None, 1)
    assert first.at < second.at


def test_a_reset_loses_nothing_that_was_sent(server):
    """Everything before a reset arrives, then the reset."""
    server.script([Answer([b"x" * 100_000], framing="bare", end="reset")])
    with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            receive(sock, received)
        assert len(received) == 100_000


def test_a_cut_is_a_plain_end(server, client):
    """A cut ends the connection where the body stands, without the end its framing wants."""
    server.script([Answer(["abc"], end="cut"), Answer(["abc"], framing="close", end="cut")])
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url)
    assert client.get(server.url).text == "abc"


def test_a_stall_lasts_until_the_client_goes(server):
    """Nothing more comes, the connection stands, and the server sees the client leave."""
    server.script([Answer(["abc"], end="stall")])
    with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        data = b""
        while b"abc" not in data:
            data += sock.recv(1024)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert server.open_connections == 1
    server.wait_closed(1)


def test_nothing_lasts_for_ever():
    """A connection older than the limit is reset; waiting for something that does not come is an error."""
    with FaultServer(limit_s=0.2) as server:
        server.script([Answer(end="stall")])
        with pytest.raises(ConnectionResetError):
            raw(server)
        with pytest.raises(TimeoutError, match="1 of 2 requests"):
            server.wait_requests(2, 0.01)


def test_too_many_connections_are_refused():
    """The server is bounded: one connection too many is reset, the others stand."""
    with FaultServer(max_connections=1) as server:
        server.script([Answer(end="stall")])
        with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as first:
            first.sendall(b"GET / HTTP/1.1\r\n\r\n")
            server.wait_requests(1)
            with pytest.raises(ConnectionResetError):
                raw(server)
            assert server.open_connections == 1


def test_keep_serves_the_next_request_on_the_same_connection(server, client):
    """A kept connection is used again."""
    server.script([Answer(["a"], end="keep"), Answer(["b"], end="keep")])
    assert [client.get(server.url).text, client.get(server.url).text] == ["a", "b"]
    assert [request.connection for request in server.requests] == [0, 0]


def test_gates_and_pauses(server):
    """A gate holds the answer until the test opens it; a pause takes its time."""
    before, inside = Gate(), Gate()
    server.script([Answer(["a", inside, Pause(0.05), "b"], before=[before], framing="bare")])
    with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        before.wait(1)
        before.open()
        assert sock.recv(10) == b"a"
        inside.wait(1)
        opened = time.monotonic()
        inside.open()
        assert sock.recv(10) == b"b"
        assert time.monotonic() - opened >= 0.05


def test_byte_by_byte_at_a_speed(server):
    """A slow link sends byte by byte at its speed."""
    server.script([Answer([b"x" * 60], framing="bare", piece_bytes=1, bytes_per_s=300)])
    started = time.monotonic()
    assert raw(server) == b"x" * 60
    assert 0.19 <= time.monotonic() - started < 1.5


def test_no_content_has_no_body(server, client):
    """204 carries no framing."""
    server.script([Answer(status=204)])
    answer = client.get(server.url)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_script_that_fails_fails_the_test():
    """An error in a test's own function is raised, not served."""

    def test():
        with FaultServer() as server:
            server.script([lambda request: 1 / 0])
            assert raw(server) == b""

    with pytest.raises(ZeroDivisionError):
        test()


def test_a_stranger_is_sent_away():
    """A ZeroMQ socket that looks for a dead kernel on a port that is ours now is no client: dropped, never counted."""
    with FaultServer() as server:
        server.script([Answer([b"hi"], framing="length")])
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as stranger:
            stranger.sendall(b"\xff\0\0\0\0\0\0\0\x01\x7f")
            with suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
        server.wait_closed(5)
        assert server.accepted == 0
        assert httpx.get(server.url, trust_env=False).content == b"hi"
        assert [request.connection for request in server.requests] == [0]

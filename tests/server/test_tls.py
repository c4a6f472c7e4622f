"""Streams over https: a TLS buffer hands out one record a read, and that must not be taken for a slow source."""

import contextlib
import socket
import ssl
import threading
import time
from itertools import count

import pytest
from listening import accept

import nbstream
from nbstream.runtime import runtime
from nbstream.sources.http import answer
from nbstream.view.session import PageSession

pytestmark = pytest.mark.usefixtures("home")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"event: done\ndata: {}\n\n"
RATE, SECONDS, FLOOD = 100, 3, 5_000


@pytest.fixture
def serve(certificate, monkeypatch):
    """Return a function that serves frames over https, each in a TLS record of its own, and returns the address."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setattr(answer, "_context", None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    threads, sockets = [], []

    def start(frames):
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def answer():
            with contextlib.suppress(OSError), context.wrap_socket(accept(listening), server_side=True) as client:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += client.recv(65536)
                client.sendall(HEAD)
                for frame in frames:
                    client.sendall(frame)
                client.sendall(DONE)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"https://127.0.0.1:{listening.getsockname()[1]}/"

    yield start
    for listening in sockets:
        listening.close()
    for thread in threads:
        thread.join(10)


@pytest.fixture
def shown():
    """Return a function that shows a stream on a page, which writes down when text came."""
    sessions = []

    def show(stream):
        came = []

        def take(message):
            text = "".join(part.get("text", "") for part in message["parts"])
            if text:
                came.append((time.monotonic(), text))
                session.request({"type": "ack", "view": "v", "offset": message["upto"], "ms": 5})

        session = PageSession(stream, take, runtime())
        sessions.append(session)
        session.request({"type": "ask", "view": "v", "after": -1})
        return came

    yield show
    for session in sessions:
        session.close()


def frame(text):
    """Return one event of the format `nbstream`."""
    return b'data: {"type":"delta","text":"%b"}\n\n' % text.encode()


def paced():
    """Yield frames whose text is the moment they are sent at."""
    began = time.monotonic()
    for n in range(RATE * SECONDS):
        time.sleep(max(0, began + n / RATE - time.monotonic()))
        yield frame(f"{time.monotonic():.4f} ")


def test_text_over_tls_at_reading_speed_does_not_lag(serve, shown):
    """Three seconds of text are on the page three seconds later, and no token of them is more than a second old."""
    began = time.monotonic()
    stream = nbstream.start(nbstream.sse(serve(paced()), format="nbstream"), host="kernel", fresh=True)
    came = shown(stream)
    assert stream.wait(60) == "complete"
    assert time.monotonic() - began < SECONDS + 3
    ages = [at - float(sent) for at, text in came for sent in text.split()]
    assert ages
    assert max(ages) < 1.5


def test_a_flood_over_tls_is_read_as_fast_as_it_comes(serve, shown):
    """Thousands of small TLS records are no reason to rest between them."""
    numbers = count()
    stream = nbstream.start(
        nbstream.sse(serve(frame(f"{next(numbers)} ") for _ in range(FLOOD)), format="nbstream"),
        host="kernel",
        fresh=True,
    )
    shown(stream)
    began = time.monotonic()
    assert stream.wait(60) == "complete"
    assert time.monotonic() - began < 20
    assert stream.text == "".join(f"{n} " for n in range(FLOOD))

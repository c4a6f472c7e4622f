"""HTTP sources on a real socket: what is sent, what is taken for an answer, and that every connection is closed."""

import asyncio
import gzip
import json
import random
import socket
import struct
import time
from contextlib import aclosing, asynccontextmanager, suppress
from email.utils import formatdate
from http import HTTPStatus

import pytest

from nbstream.errors import SourceError, SourceLost, SourceMalformed, SourceRefused
from nbstream.sources import from_spec
from nbstream.sources.closing import to_the_end
from nbstream.sources.contract import Pulse
from nbstream.sources.http.sse import sse
from nbstream.sources.models.chat import chat
from nbstream.sources.objects.source import from_object
from nbstream.wire.listening import stop_listening

SSE = "text/event-stream"
DELTA = b'id: 2\ndata: {"type": "delta", "offset": 0, "text": "Hi"}\n\n'
DONE = b"event: done\ndata: {}\n\n"
SIZE = 40_000_000
KEY = "sk-test-0123456789abcdef0123456789"


class Request:
    """One request as it came."""

    def __init__(self, head, body, port):
        line, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest if one)}
        self.body, self.port = body, port


class Connection(asyncio.StreamReaderProtocol):
    """Counts itself open until the socket is gone."""

    def __init__(self, upstream):
        self.upstream = upstream
        super().__init__(asyncio.StreamReader(), upstream.talk)

    def connection_made(self, transport):
        self.upstream.standing.add(transport)
        self.upstream.closed.clear()
        super().connection_made(transport)

    def data_received(self, data):
        if data[0] == 0xFF:  # a ZeroMQ socket that looks for a dead kernel on a port that is ours now
            self._transport.abort()
            return
        super().data_received(data)

    def connection_lost(self, exc):
        self.upstream.standing.discard(self._transport)
        super().connection_lost(exc)
        if not self.upstream.standing:
            self.upstream.closed.set()

    def eof_received(self):
        super().eof_received()
        return False  # a client that closes is gone


class Upstream:
    """Answers requests with *script*, an async function of (request, writer), and does not close after it."""

    def __init__(self, script):
        self.script = script
        self.requests, self.standing, self.closed, self.asked = [], set(), asyncio.Event(), asyncio.Event()
        self.url = ""

    async def talk(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            port = writer.get_extra_info("sockname")[1]
            self.requests.append(Request(head[:-4], body, port))
            self.asked.set()
            await self.script(self.requests[-1], writer)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, which is what most tests are about
        finally:
            writer.close()

    async def all_closed(self, within_s):
        """Wait until no connection is open and return how long that took; fails after *within_s*."""
        started = time.monotonic()
        await asyncio.wait_for(self.closed.wait(), within_s)
        return time.monotonic() - started


@asynccontextmanager
async def upstream(script):
    """Serve *script* on a port of its own."""
    server = Upstream(script)
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        await stop_listening(listening.sockets)
        listening.close()
        for transport in server.standing:
            transport.abort()
        await asyncio.sleep(0)


def head(status=200, content_type=SSE, **headers):
    """Return the head of an answer; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def sends(*pieces, close=True):
    """Script: send *pieces*, each on its own, and close (or stay)."""

    async def script(request, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    return script


async def collect(source, cursor=None, pulse=None):
    """Return all that *source* yields."""
    async with aclosing(source.connect(cursor, pulse or Pulse(0))) as arrivals:
        return [arrival async for arrival in arrivals]


async def trouble(source, cursor=None):
    """Return the error that *source* ends with."""
    with pytest.raises(SourceError) as caught:
        await collect(source, cursor)
    return caught.value


def text_of(arrivals):
    """Return the text in *arrivals*."""
    return "".join(part.text for arrival in arrivals for part in arrival.parts if part.kind == "text")


def run(script, test):
    """Run *test(server)* against a server with *script*; afterwards no connection may be open."""

    async def main():
        async with upstream(script) as server:
            result = await test(server)
            await server.all_closed(1)
            return result

    return asyncio.run(main())


def test_a_get_is_sent_as_a_browser_would_and_its_end_mark_ends_it():
    """The first arrival means "accepted"; the end mark ends the message although the connection stays open."""

    async def test(server):
        source = sse(server.url + "/s?a=1%20b", headers={"X-Api-Key": KEY})
        arrivals = await collect(source)
        assert arrivals[0] == type(arrivals[0])()
        assert text_of(arrivals) == "Hi"
        assert arrivals[-1].end is not None
        [request] = server.requests
        assert (request.method, request.target) == ("GET", "/s?a=1%20b")
        assert request.headers["accept"] == SSE
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["x-api-key"] == KEY
        assert "last-event-id" not in request.headers
        assert source.replayable

    run(sends(head(), DELTA, DONE, close=False), test)


def test_the_connection_is_closed_before_the_end_mark_is_handed_over():
    """Whoever sees the end mark may rely on the socket being closed, even without asking for more."""

    async def test(server):
        arrivals = sse(server.url).connect(None, Pulse(0))
        async for arrival in arrivals:
            if arrival.end is not None:
                assert await server.all_closed(1) < 0.1
                break
        await arrivals.aclose()

    run(sends(head(), DELTA, DONE, close=False), test)


def test_a_post_sends_json_and_never_touches_the_callers_headers():
    """The body is JSON, and a headers dict given by the caller is the same afterwards."""
    headers = {"X-Mine": "something"}

    async def test(server):
        source = sse(server.url, method="post", json={"prompt": "Grüße"}, headers=headers)
        assert not source.replayable
        await collect(source, {"id": "7", "first": "1"})
        [request] = server.requests
        assert request.method == "POST"
        assert json.loads(request.body) == {"prompt": "Grüße"}
        assert request.headers["content-type"] == "application/json"

    run(sends(head(), DELTA, DONE), test)
    assert headers == {"X-Mine": "something"}


@pytest.mark.parametrize(
    ("cursor", "target", "event_id"),
    [
        ({"id": "42", "first": "1"}, "/s?x=1", "42"),
        ({"id": "42", "offset": 9}, "/s?x=1&offset=9", "42"),
        ({"offset": 9}, "/s?x=1&offset=9", None),
        ({"id": "grün → 7"}, "/s?x=1", "grün → 7"),
    ],
)
def test_resume_returns_the_id_as_it_came_and_the_offset_only_if_frames_had_one(cursor, target, event_id):
    """Last-Event-ID is the id byte for byte; `offset` is added to the query, whose rest stays as it was."""

    async def test(server):
        await collect(sse(server.url + "/s?x=1"), cursor)
        [request] = server.requests
        sent = request.headers.get("last-event-id")
        assert request.target == target
        assert (sent and sent.encode("latin-1").decode()) == event_id

    run(sends(head(), DELTA, DONE), test)


def test_a_second_cut_before_any_event_resumes_at_the_same_place():
    """The id of the request before lives on: an event without an id does not claim a place of its own."""

    async def test(server):
        arrivals = await collect(sse(server.url, format="text"), {"id": "5", "first": "1"})
        assert [arrival.cursor for arrival in arrivals[1:3]] == [None, {"id": "6", "first": "1"}]

    run(sends(head(), b"data: a\n\n", b"id: 6\ndata: b\n\n", DONE), test)


def test_signs_of_life_reach_the_pulse():
    """Bytes, comments, pings and `retry:` are noted as they come, also when no event comes with them."""

    async def test(server):
        pulse = Pulse(0)
        async with aclosing(sse(server.url).connect(None, pulse)) as arrivals:
            await anext(arrivals)
            waiting = asyncio.ensure_future(anext(arrivals))
            await asyncio.wait({waiting}, timeout=0.1)
            assert pulse.pings
            assert pulse.last_byte > 0
            assert pulse.retry_ms == 1500
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(sends(head(), b"retry: 1500\n: ping\n\n", close=False), test)


def test_an_event_named_ping_is_life_and_not_output():
    """`event: ping`, data or not, sets the pulse and yields nothing."""

    async def test(server):
        pulse = Pulse(0)
        arrivals = await collect(sse(server.url), pulse=pulse)
        assert pulse.pings
        assert [part.kind for arrival in arrivals for part in arrival.parts] == ["text"]

    run(sends(head(), b"event: ping\ndata: {}\n\n", DELTA, DONE), test)


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (402, False), (403, False), (404, False), (408, True), (409, True), (410, False),
     (413, False), (422, False), (425, True), (429, True), (500, True), (502, True), (503, True), (504, True)],
)  # fmt: skip
def test_which_statuses_may_be_asked_again(status, retryable):
    """A refusal names status and reason, and says whether asking again makes sense."""

    async def test(server):
        error = await trouble(sse(server.url))
        assert isinstance(error, SourceRefused)
        assert (error.status, error.retryable) == (status, retryable)
        assert f"{status} {HTTPStatus(status).phrase}" in str(error)

    run(sends(head(status, "text/plain"), b"sorry"), test)


def test_a_used_up_quota_is_not_retried():
    """429 with the code insufficient_quota is a no, however often one asks."""
    body = (
        b'{"error": {"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"}}'
    )

    async def test(server):
        error = await trouble(sse(server.url))
        assert not error.retryable
        assert "You exceeded your quota; the quota is used up" in str(error)

    run(sends(head(429, "application/json", Retry_After="1"), body), test)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry_After": "7"}, 7, 7),
        ({"Retry_After": 30}, 20, 31),
        ({"Retry_After": formatdate(0, usegmt=True)}, 0, 0),
        ({"retry_after_ms": "250", "Retry_After": "9"}, 0.25, 0.25),
    ],
)
def test_the_wait_the_server_asks_for(headers, low, high):
    """Retry-After in seconds or as a date, and retry-after-ms, which is the finer one."""
    if headers["Retry_After"] == 30:
        headers = {"Retry_After": formatdate(time.time() + 30, usegmt=True)}  # now, not when the cases were collected

    async def test(server):
        error = await trouble(sse(server.url))
        assert low <= error.retry_after_s <= high

    run(sends(head(429, "text/plain", **headers)), test)


def test_no_retry_after_is_none():
    """Garbage in Retry-After is no wait."""

    async def test(server):
        assert (await trouble(sse(server.url))).retry_after_s is None

    run(sends(head(503, "text/plain", Retry_After="soon")), test)


def test_204_says_what_it_means():
    """204 is never retried; on a resumed request it means that nothing comes behind that place."""

    async def test(server):
        fresh, resumed = await trouble(sse(server.url)), await trouble(sse(server.url), {"id": "9"})
        assert (fresh.status, fresh.retryable, resumed.status, resumed.retryable) == (204, False, 204, False)
        assert "nothing to stream" in str(fresh)
        assert "nothing comes behind the place" in str(resumed)

    run(sends(b"HTTP/1.1 204 No Content\r\n\r\n"), test)


def test_a_page_of_html_is_not_a_stream():
    """200 with another type is refused with the beginning of its text: no tags, no scripts, one line."""
    page = b"<html><head><style>b{}</style></head><body><h1>Log &amp; in</h1>\n<script>alert(1)</script>please</body>"

    async def test(server):
        error = await trouble(sse(server.url))
        assert isinstance(error, SourceRefused)
        assert not error.retryable
        assert str(error).endswith("not an event stream: text/html: Log & in please")

    run(sends(head(200, "text/html"), page), test)


def test_a_refusal_that_never_ends_is_cut_short():
    """A body without end is quoted from what came; nobody waits for the rest for ever."""

    async def test(server):
        error = await trouble(sse(server.url))
        assert (error.status, len(str(error)) < 500) == (502, True)

    async def endless(request, writer):
        writer.write(head(502, "text/html"))
        while True:
            writer.write(b"<p>" + b"Bad gateway " * 1000)
            await writer.drain()

    run(endless, test)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no such model", "type": "invalid_request_error"}}, "no such model"),
        ({"error": "plain words"}, "plain words"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"object": "error", "message": "too long", "code": 400}, "too long"),
    ],
)
def test_json_refusals_are_read_for_their_message(body, said):
    """Whatever the server calls it, its own words stand in the error."""

    async def test(server):
        assert f": {said}" in str(await trouble(sse(server.url)))

    run(sends(head(400, "application/json"), json.dumps(body).encode()), test)


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [(307, "POST", "POST"), (308, "POST", "POST"), (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"),
     (301, "GET", "GET"), (303, "PUT", "GET"), (302, "PUT", "PUT")],
)  # fmt: skip
def test_redirects_keep_or_change_the_method_as_browsers_do(status, method, becomes):
    """307 and 308 keep method and body, 303 and a POST's 301 and 302 become a GET without one; headers stay at home."""

    async def script(request, writer):
        if request.target == "/old":
            writer.write(head(status, "text/plain", Location="/new?x=1", Content_Length="0"))
        else:
            writer.write(head() + DELTA + DONE)
        writer.close()

    async def test(server):
        body = {} if method == "GET" else {"json": {"a": 1}}
        source = sse(server.url + "/old", method=method, headers={"X-Api-Key": KEY}, **body)
        assert text_of(await collect(source, {"id": "3"})) == "Hi"
        second = server.requests[1]
        assert (second.method, second.target) == (becomes, "/new?x=1")
        assert bool(second.body) == (becomes != "GET")
        assert ("content-type" in second.headers) == (becomes != "GET")
        assert second.headers["x-api-key"] == KEY
        assert second.headers["last-event-id"] == "3"

    run(script, test)


def test_credentials_stay_with_their_origin():
    """Another origin gets none of the caller's headers, whatever they are called, and no user and password."""

    async def test(other):
        async def script(request, writer):
            writer.write(head(307, "text/plain", Location=other.url + "/there"))
            writer.close()

        async with upstream(script) as first:
            url = first.url.replace("://", "://user:password@")
            headers = {"x-api-key": KEY, "Cookie": "a=b", "X-Tenant": "acme-corp", "Api-Key": KEY}
            await collect(sse(url, method="POST", json={"a": 1}, headers=headers))
            assert first.requests[0].headers["authorization"].startswith("Basic ")
            assert first.requests[0].headers["x-tenant"] == "acme-corp"
            await first.all_closed(1)
        sent = other.requests[0].headers
        assert not {"authorization", "x-api-key", "cookie", "x-tenant", "api-key"} & set(sent)
        assert json.loads(other.requests[0].body) == {"a": 1}

    run(sends(head(), DELTA, DONE), test)


@pytest.mark.parametrize("location", ["/again", "file:///etc/passwd", "//", None])
def test_redirects_that_lead_nowhere_are_refused(location):
    """A circle, another scheme and a missing Location end as one line, after at most 6 requests."""

    async def test(server):
        error = await trouble(sse(server.url))
        assert isinstance(error, SourceRefused)
        assert not error.retryable
        assert len(server.requests) <= 6
        assert "check the address" in str(error)

    headers = {} if location is None else {"Location": location}
    run(sends(head(302, "text/plain", **headers)), test)


def test_an_address_where_nobody_listens_is_lost_and_says_where():
    """A refused connection may be tried again, and the error names host and port."""

    async def main():
        async with upstream(sends()) as server:
            url = server.url
        error = await trouble(sse(url))
        assert isinstance(error, SourceLost)
        assert url.removeprefix("http://") in str(error)

    asyncio.run(main())


@pytest.mark.parametrize(
    "pieces",
    [
        (head(), DELTA),
        (head(), DELTA, b'data: {"type": "del'),
        (head(Content_Length=5000), DELTA),
        (head(Transfer_Encoding="chunked"), b"%x\r\n%b\r\n" % (len(DELTA), DELTA)),
        (head(Transfer_Encoding="chunked"), b"%x\r\n%b\r\n0\r\n\r\n" % (len(DELTA), DELTA)),
        (head(), DELTA, b"event: done\ndata: {}\n"),
    ],
    ids=["clean", "inside an event", "short of its length", "chunked, cut", "chunked, whole", "end mark unfinished"],
)
def test_an_end_without_an_end_mark_is_lost(pieces):
    """However the connection ends: without the end mark the message is not complete, and what came is there."""

    async def test(server):
        arrivals = sse(server.url).connect(None, Pulse(0))
        assert text_of([await anext(arrivals), await anext(arrivals)]) == "Hi"
        with pytest.raises(SourceLost):
            await anext(arrivals)

    run(sends(*pieces), test)


def test_a_reset_is_lost():
    """RST in the middle of the stream."""

    async def script(request, writer):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.write(head() + DELTA)
        await writer.drain()
        await asyncio.sleep(0.05)  # let the text through: RST throws away what was not read
        writer.transport.abort()

    async def test(server):
        assert isinstance(await trouble(sse(server.url)), SourceLost)

    run(script, test)


def test_garbage_in_a_known_format_names_the_frame():
    """Broken JSON behind good frames is an error that quotes it, not text."""

    async def test(server):
        error = await trouble(sse(server.url))
        assert isinstance(error, SourceMalformed)
        assert '\'{"type": "delta", oops\'' in str(error)

    run(sends(head(), DELTA, b'data: {"type": "delta", oops\n\n', DONE), test)


def test_a_compressed_stream_is_read_as_it_comes():
    """Compression is not asked for, but read where a server insists; broken gzip is malformed."""
    packed = gzip.compress(DELTA + DONE)

    async def whole(server):
        assert text_of(await collect(sse(server.url))) == "Hi"

    async def broken(server):
        assert isinstance(await trouble(sse(server.url)), SourceMalformed)

    run(sends(head(Content_Encoding="gzip"), packed[:20], packed[20:]), whole)
    run(sends(head(Content_Encoding="gzip"), b"\x00\x01garbage" * 9), broken)


def test_keys_never_appear_in_what_is_stored_or_told(monkeypatch):
    """A server that echoes every secret back finds them replaced in the error; spec, repr and fingerprint lack them."""
    monkeypatch.setenv("NBSTREAM_TEST_KEY", f" {KEY}\n")
    secrets = [KEY, "hunter22", "tok-in-query", "basic-secret"]

    async def script(request, writer):
        echo = request.headers.get("authorization", "") + " ".join(secrets) + str(request.headers)
        writer.write(head(401, "application/json") + json.dumps({"error": {"message": echo}}).encode())
        writer.close()

    async def test(server):
        url = server.url.replace("://", "://me:basic-secret@") + "/x?api_key=tok-in-query&max_tokens=3"
        one = sse(url, method="POST", json={"prompt": "hi"}, headers={"X-Api-Key": "hunter22", "X-Auth-Token": KEY})
        two = chat("hi", model="m", base_url=server.url, api_key_env="NBSTREAM_TEST_KEY")
        for source in (one, two):
            told = str(await trouble(source)) + json.dumps(source.spec) + repr(source) + source.fingerprint
            if source is one:
                assert not [secret for secret in secrets if secret in told]
                assert "max_tokens=3" in told
            assert KEY not in told
        assert server.requests[1].headers["authorization"] == f"Bearer {KEY}"
        assert two.spec["key_env"] == "NBSTREAM_TEST_KEY"

    run(script, test)


def test_an_error_inside_the_stream_is_redacted_too():
    """A key that a frame quotes is replaced."""

    async def test(server):
        error = await trouble(sse(server.url, headers={"Authorization": f"Bearer {KEY}"}))
        assert isinstance(error, SourceRefused)
        assert KEY not in str(error)
        assert "bad key ***" in str(error)

    run(sends(head(), b'event: error\ndata: {"message": "bad key %b"}\n\n' % KEY.encode()), test)


@pytest.mark.parametrize(
    "asked",
    [
        {"json": {"api_key": "hunter22", "q": "x"}},
        {"json": {"auth": {"Authorization": ["Bearer hunter22"]}}},
        {"content": "api_key=hunter22&q=x"},
        {"content": "q=x&key=h%75nter22"},
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_server_that_echoes_the_body_tells_no_key(asked, status):
    """In a refusal or inside the stream: what the body held as a key is replaced in the error."""

    async def script(request, writer):
        said = json.dumps({"message": f"cannot read {request.body.decode()}; hunter22"}).encode()
        writer.write(head() + b"event: error\ndata: " + said + b"\n\n" if status == 200 else head(400) + said)
        writer.close()

    async def test(server):
        source = sse(server.url, method="POST", **asked)
        told = str(await trouble(source)) + json.dumps(source.spec)
        assert "cannot read" in told
        assert "nter22" not in told

    run(script, test)


def test_a_missing_key_sends_nothing(monkeypatch):
    """One line that names the variable, and no request."""
    monkeypatch.delenv("NBSTREAM_TEST_KEY", raising=False)

    async def test(server):
        error = await trouble(chat("hi", model="m", base_url=server.url, api_key_env="NBSTREAM_TEST_KEY"))
        assert isinstance(error, SourceRefused)
        assert "NBSTREAM_TEST_KEY is not set" in str(error)
        assert server.requests == []
        server.closed.set()  # nothing was ever opened

    run(sends(), test)


def test_loopback_ignores_proxies(monkeypatch):
    """A proxy in the environment is not asked for 127.0.0.1."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def test(server):
        assert text_of(await collect(sse(server.url))) == "Hi"

    run(sends(head(), DELTA, DONE), test)


async def hang_before_headers(request, writer):
    """Accept, and say nothing."""


@pytest.mark.parametrize(
    "script", [hang_before_headers, sends(head(), DELTA, close=False)], ids=["before the headers", "mid-stream"]
)
@pytest.mark.parametrize("cancels", [1, 2, 3])
def test_cancelling_closes_the_socket_at_once(script, cancels):
    """Cancelled once or several times in a row, waiting for headers or for text: closed when the task is done."""

    async def test(server):
        task = asyncio.ensure_future(collect(sse(server.url, method="POST", json={"a": 1})))
        await server.asked.wait()
        await asyncio.sleep(0.02)  # on to waiting for headers, or for text
        started = time.monotonic()
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.all_closed(1)
        assert time.monotonic() - started < 0.1

    run(script, test)


def test_aclose_of_the_generator_closes_the_socket():
    """A reader that stops in the middle and closes leaves nothing open."""

    async def test(server):
        arrivals = sse(server.url).connect(None, Pulse(0))
        await anext(arrivals)
        await anext(arrivals)
        started = time.monotonic()
        await arrivals.aclose()
        await server.all_closed(1)
        assert time.monotonic() - started < 0.1

    run(sends(head(), DELTA, close=False), test)


def test_cancelling_at_any_moment_leaves_nothing_open(seed, soak):
    """Two cancellations at random moments, in connecting, sending, waiting, reading or closing: 0 connections after."""
    dice = random.Random(seed)

    async def trickle(request, writer):
        if dice.random() < 0.3:
            return  # this one never answers
        await asyncio.sleep(0.002)
        writer.write(head())
        for _ in range(20):
            writer.write(DELTA)
            await writer.drain()
            await asyncio.sleep(0.001)

    async def test(server):
        with suppress(asyncio.TimeoutError):  # warm: the imports are not what is measured
            await asyncio.wait_for(collect(sse(server.url)), 0.1)
        for _ in range(2000 if soak else 150):
            task = asyncio.ensure_future(collect(sse(server.url, method="POST", content="x" * 100_000)))
            await asyncio.sleep(dice.random() * 0.015)
            task.cancel()
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task}, timeout=1)
            assert task.done()
        await server.all_closed(1)

    run(trickle, test)


def test_the_demo_model_answers_and_resumes_in_the_middle():
    """The same question to the embedded model, cut after any frame and resumed there, gives the same text."""

    async def main():
        for source in (
            chat("Tell me about rivers.", tokens_per_s=400, max_tokens=60),
            sse("demo:/stream?prompt=rivers&tokens_per_s=400&max_tokens=60"),
        ):
            whole = await collect(source)
            assert whole[-1].end is not None
            places = [i for i, arrival in enumerate(whole) if arrival.cursor and arrival.parts][:-1]
            for i in places[:: max(1, len(places) // 5)]:
                rest = await collect(source, whole[i].cursor)
                assert text_of(whole[: i + 1]) + text_of(rest) == text_of(whole)
                first = next(arrival for arrival in rest if arrival.parts)
                assert first.start == len(text_of(whole[: i + 1]))

    asyncio.run(main())


@pytest.mark.parametrize("cancels", [1, 2, 3])
def test_cancelling_an_upload_that_nobody_reads_closes_it(cancels):
    """With megabytes unsent a close would wait for them for ever: it is aborted, however often it is cancelled."""

    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            task = asyncio.ensure_future(collect(sse(url, method="POST", content=b"x" * SIZE)))
            deaf, _ = await loop.sock_accept(listening)
            await asyncio.sleep(0.1)
            for _ in range(cancels):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            received = 0
            with deaf, suppress(ConnectionResetError):
                while data := await asyncio.wait_for(loop.sock_recv(deaf, 1 << 20), 1):
                    received += len(data)
            assert received < SIZE

    asyncio.run(main())


@pytest.mark.parametrize("cancels", [0, 1, 2, 5])
def test_closing_goes_on_to_its_end_under_any_number_of_cancellations(cancels):
    """The cancellation arrives, but only after what was being closed is closed."""

    async def main():
        closed = []

        async def closing():
            await asyncio.sleep(0.02)
            closed.append(True)

        task = asyncio.ensure_future(to_the_end(closing()))
        for _ in range(cancels):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task})
        assert closed == [True]
        assert task.cancelled() == bool(cancels)

    asyncio.run(main())


def test_a_call_is_made_again_from_its_description():
    """What the log keeps of a call makes the same call in another process; what it must not keep is asked for."""
    for source in (
        chat("Why?", seed=3),
        sse("http://127.0.0.1:9/x?q=1"),
        sse("http://127.0.0.1:9/x", method="POST", content="plain"),
    ):
        again = from_spec(json.loads(json.dumps(source.spec)))
        assert (again.fingerprint, again.call.body) == (source.fingerprint, source.call.body)
    for secret in (
        sse("http://127.0.0.1:9/x", headers={"X-Team": KEY}),
        sse(f"http://127.0.0.1:9/x?api_key={KEY}"),
        sse("http://127.0.0.1:9/x", method="POST", json={"auth": {"token": KEY}}),
        sse("http://127.0.0.1:9/x", method="POST", json={"prompt": f"is {KEY} good?"}),
        sse("http://127.0.0.1:9/x", method="POST", content=f"key={KEY}"),
        sse("http://127.0.0.1:9/x", method="POST", content=b"\xff\x00"),
        sse("http://127.0.0.1:9/x", read=str),
        from_object(iter("ab")),
    ):
        assert KEY not in json.dumps(secret.spec)
        with pytest.raises(SourceRefused, match="run the cell that made it"):
            from_spec(secret.spec)

"""A server that says no, or sends us elsewhere, or is not there: retried where that helps, else one clear line."""

import socket
import threading
import time
from contextlib import closing
from email.utils import formatdate

import pytest
from chain import HEADERS, KEY, OTHER_KEY, Message, until
from listening import accept

import nbstream
from nbstream.testing import Answer, FaultServer

DELTA = Message.of("delta")
CHAT = Message.of("chat-once")


def said_no(status, body=b"", **headers):
    """Return an answer that is no stream; with no *body* it quotes the client's keys, as careless servers do."""
    quoting = f"you sent Authorization: Bearer {KEY} and X-Api-Key: {OTHER_KEY}".encode()
    return Answer([body or quoting], status, headers, framing="length")


def json_error(status, code, **headers):
    """Return an error as providers send it."""
    body = f'{{"error": {{"message": "no more of that", "type": "{code}", "code": "{code}"}}}}'.encode()
    return said_no(status, body, **{"Content-Type": "application/json", **headers})


@pytest.mark.parametrize("message", [DELTA, CHAT], ids=["GET", "POST"])
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "400"),
        (401, "check the key"),
        (402, "no credit"),
        (403, "may not"),
        (404, "check the address"),
        (410, "410"),
        (413, "too large"),
        (422, "422"),
    ],
)
def test_what_is_refused_for_good_is_asked_once(chain, message, status, words):
    """A status that waiting does not cure ends the stream at once as failed, in one line with the status and advice."""
    stream = chain.start(message, said_no(status), otherwise=message.whole())
    assert chain.rest(stream) == "failed"
    assert str(status) in stream.error["message"]
    assert words in stream.error["message"]
    assert "regenerate" in stream.status()["actions"]
    assert len(chain.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(chain, status):
    """A status that may pass is retried before any text; the message is whole."""
    stream = chain.start(CHAT, said_no(status), CHAT.whole())
    assert chain.rest(stream) == "complete"
    assert len(chain.requests) == 2
    assert chain.requests[0].body == chain.requests[1].body


def test_503_twice_then_fine(chain):
    """Two refusals in a row and then the message: complete, three requests, our own waits in between."""
    stream = chain.start(DELTA, said_no(503), said_no(503), DELTA.whole())
    assert chain.rest(stream) == "complete"
    first, second, third = (request.at for request in chain.requests)
    assert 0.1 < second - first < 1.2
    assert 0.4 < third - second < 1.6


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"Retry-After": "1"}, 1.0, 1.6),
        ({"Retry-After": lambda: formatdate(time.time() + 2, usegmt=True)}, 0.9, 2.6),
        ({"Retry-After": lambda: formatdate(time.time() - 60, usegmt=True)}, 0.0, 0.6),
        ({"retry-after-ms": "650"}, 0.65, 1.2),
        ({"retry-after-ms": "450", "Retry-After": "30"}, 0.45, 1.0),
        ({"Retry-After": "soon"}, 0.1, 0.8),
    ],
    ids=["seconds", "date", "date that is past", "milliseconds", "milliseconds win", "nonsense: our own wait"],
)
def test_retry_after_is_obeyed(chain, headers, least_s, most_s):
    """The wait a server asks for replaces ours, in whichever form it asks."""
    told = {name: value() if callable(value) else value for name, value in headers.items()}
    stream = chain.start(CHAT, said_no(429, **told), CHAT.whole())
    assert chain.rest(stream) == "complete"
    first, second = (request.at for request in chain.requests)
    assert least_s <= second - first < most_s


@pytest.mark.parametrize("told", [{"Retry-After": "300"}, {"retry-after-ms": "300000"}])
def test_a_wait_of_more_than_two_minutes_ends_as_interrupted_and_names_the_time(chain, told):
    """Nobody waits five minutes unasked: interrupted, one request, and the line says how long the server wants."""
    stream = chain.start(CHAT, said_no(429, b"slow down", **told), otherwise=CHAT.whole())
    assert chain.rest(stream) == "interrupted"
    line = stream.error["message"]
    assert "429" in line
    assert "300 s" in line or "5 min" in line
    assert len(chain.requests) == 1


def test_stop_in_the_countdown_holds(chain):
    """Stop while a Retry-After of 60 s runs: stopped at once, and no request after it."""
    stream = chain.start(CHAT, said_no(429, b"slow down", **{"Retry-After": "60"}), otherwise=CHAT.whole())
    until(lambda: stream.state == "retrying", "retrying")
    assert 50 < stream.status()["retry_in_s"] <= 60
    assert "60 s" in stream.status()["line"] or "59 s" in stream.status()["line"]
    began = time.monotonic()
    stream.stop()
    assert chain.rest(stream) == "stopped"
    assert time.monotonic() - began < 0.5
    assert len(chain.requests) == 1


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_a_429_for_want_of_money_is_not_retried(chain, code):
    """Waiting does not bring money: failed at once, and the line says that the quota is used up."""
    stream = chain.start(CHAT, json_error(429, code, **{"Retry-After": "1"}), otherwise=CHAT.whole())
    assert chain.rest(stream) == "failed"
    assert "quota is used up" in stream.error["message"]
    assert len(chain.requests) == 1


def test_204_at_the_start_fails(chain):
    """204 means nothing to stream: failed, not complete and empty."""
    stream = chain.start(DELTA, Answer(status=204), otherwise=DELTA.whole())
    assert chain.rest(stream) == "failed"
    assert "204" in stream.error["message"]
    assert len(chain.requests) == 1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(Answer(status=204), "204"), (said_no(404), "404"), (said_no(401), "401"), (said_no(410, b"gone"), "410")],
    ids=["204", "404", "401", "410"],
)
def test_a_refusal_on_resume_keeps_what_is_shown(chain, refusal, words):
    """Text was shown, then the resume is refused for good: failed with that text, never complete."""
    stream = chain.start(DELTA, DELTA.cut_in(8, end="reset"), refusal, otherwise=DELTA.whole())
    assert chain.rest(stream) == "failed"
    assert stream.text == "".join(DELTA.pieces[:8])
    assert words in stream.error["message"]
    assert len(chain.requests) == 2


def test_a_busy_server_on_resume_is_asked_again(chain):
    """503 twice while resuming: the cursor goes out each time, and the message is whole."""
    stream = chain.start(DELTA, DELTA.cut_in(8, end="reset"), said_no(503), said_no(503), DELTA.rest)
    assert chain.rest(stream) == "complete"
    assert [request.last_event_id for request in chain.requests] == [None, "8", "8", "8"]


HTML = (
    b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad  gateway</h1>\n<hr>no</body></html>"
)


def test_a_page_of_html_with_502_is_told_without_its_tags(chain):
    """A proxy's error page: asked four times, then the line quotes its words, not its markup, and offers Resume."""
    stream = chain.start(DELTA, otherwise=said_no(502, HTML, **{"Content-Type": "text/html"}))
    assert chain.rest(stream) == "interrupted"
    assert "502" in stream.error["message"]
    assert "Bad gateway" in stream.error["message"]
    assert "<" not in stream.error["message"]
    assert "resume" in stream.status()["actions"]
    assert len(chain.requests) == 4


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/html"}, {"Content-Type": "application/json"}, {"Content-Type": "text/event-streams"}, {}],
    ids=["html", "json", "nearly", "none"],
)
def test_200_that_is_no_event_stream_fails(chain, headers):
    """Status 200 is not enough: another content type is no stream, even if its body looks like one."""
    body = DELTA.frames()[0] + b"<b>Sign in first</b>"
    stream = chain.start(DELTA, said_no(200, body, **headers), otherwise=DELTA.whole())
    assert chain.rest(stream) == "failed"
    assert stream.text == ""
    assert "not an event stream" in stream.error["message"]
    assert len(chain.requests) == 1


@pytest.mark.parametrize("content_type", ["text/event-stream; charset=latin-1", "Text/Event-Stream;charset=utf-8"])
def test_sse_is_utf8_whatever_the_header_says(chain, content_type):
    """The charset of the header does not matter, nor its case: SSE is UTF-8."""
    stream = chain.start(DELTA, DELTA.whole(headers={"Content-Type": content_type}))
    assert chain.rest(stream) == "complete"


def goes_to(status, location):
    """Return a redirect."""
    return Answer([b"elsewhere"], status, {"Location": location}, framing="length")


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_keeps_the_body(chain, status):
    """307 and 308 send the same POST with the same body and headers to the new place."""
    stream = chain.start(CHAT, goes_to(status, "/v2/chat"), CHAT.whole())
    assert chain.rest(stream) == "complete"
    first, second = chain.requests
    assert (second.method, second.path, second.body) == ("POST", "/v2/chat", first.body)
    assert second.headers["x-api-key"] == OTHER_KEY
    assert second.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_to_a_get_drops_the_body(chain, status):
    """301, 302 and 303 turn a POST into a GET without a body, as browsers do."""
    stream = chain.start(CHAT, goes_to(status, "/result"), CHAT.whole())
    assert chain.rest(stream) == "complete"
    second = chain.requests[1]
    assert (second.method, second.path, second.body) == ("GET", "/result", b"")
    assert "content-type" not in second.headers


def test_another_origin_gets_no_headers_of_ours(chain):
    """A redirect to another port: the body goes along (307), the keys do not."""
    with FaultServer() as elsewhere:
        elsewhere.script([CHAT.whole()])
        stream = chain.start(CHAT, goes_to(307, elsewhere.url + "/there"))
        assert chain.rest(stream) == "complete"
        (request,) = elsewhere.requests
        elsewhere.wait_closed(1.0)
    assert request.method == "POST"
    assert request.body == chain.requests[0].body
    assert not {"authorization", "x-api-key", "cookie"} & set(request.headers)
    sent = " ".join(request.headers.values())
    assert KEY not in sent
    assert OTHER_KEY not in sent


def test_a_resumed_request_is_redirected_with_its_cursor(chain):
    """Last-Event-ID survives a redirect: without it the text would start over."""
    stream = chain.start(DELTA, DELTA.cut_in(8, end="reset"), goes_to(307, "/moved?offset=88"), DELTA.rest)
    assert chain.rest(stream) == "complete"
    assert [request.last_event_id for request in chain.requests] == [None, "8", "8"]


def test_a_redirect_loop_ends(chain):
    """A server that sends us in a circle: failed after a few rounds, in one line."""
    stream = chain.start(DELTA, otherwise=goes_to(302, "/round"))
    assert chain.rest(stream) == "failed"
    assert "redirected more than" in stream.error["message"]
    assert "check the address" in stream.error["message"]
    assert len(chain.requests) <= 10


@pytest.mark.parametrize("location", ["ftp://example.invalid/x", "javascript:alert(1)", ""])
def test_a_redirect_to_nowhere_fails(chain, location):
    """A redirect without an http address to go to is refused."""
    stream = chain.start(DELTA, goes_to(302, location) if location else said_no(302, b"where?"))
    assert chain.rest(stream) == "failed"
    assert "check the address" in stream.error["message"]
    assert len(chain.requests) == 1


def test_nothing_listens(chain):
    """Connection refused: tried four times, then one line that names host and port and asks whether the server runs."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    stream = chain.begin(nbstream.sse(f"http://127.0.0.1:{port}/x", headers=HEADERS), "")
    assert chain.rest(stream) == "interrupted"
    assert f"127.0.0.1:{port}" in stream.error["message"]
    assert "is the server running?" in stream.error["message"]
    assert stream.status()["actions"][0] == "resume"


def test_a_server_that_comes_up_later_is_found(chain):
    """Nothing listens at first; the server starts during the back-off, and the message is whole."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    stream = chain.begin(nbstream.sse(f"http://127.0.0.1:{port}/x", headers=HEADERS, format="nbstream"), DELTA.text)
    until(lambda: stream.status()["retries"] >= 1, "the first retry")
    listening = socket.create_server(("127.0.0.1", port))
    with closing(listening), accept(listening) as connection:
        connection.recv(65536)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        connection.sendall(head + b"".join(DELTA.frames()))
        assert chain.rest(stream) == "complete"


def test_no_such_host(chain):
    """A name that does not resolve: one line that names the host and says what to do."""
    stream = chain.begin(nbstream.sse("http://no-such-host.invalid/x", headers=HEADERS), "")
    assert chain.rest(stream, within_s=40) == "interrupted"
    assert "no-such-host.invalid" in stream.error["message"]
    assert "check" in stream.error["message"]


def test_tls_against_a_plain_server(chain):
    """TLS where plain http is spoken: one line that names the host, no trace of OpenSSL's file names."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        plain = threading.Thread(target=_answer_in_plain, args=(listening, 4))
        plain.start()
        stream = chain.begin(nbstream.sse(f"https://127.0.0.1:{port}/x", headers=HEADERS), "")
        assert chain.rest(stream, within_s=40) == "interrupted"  # four tries; about 3 s on a quiet machine
        plain.join(5)
    assert f"127.0.0.1:{port}" in stream.error["message"]
    assert "_ssl.c" not in stream.error["message"]


def _answer_in_plain(listening, times):
    for _ in range(times):
        with accept(listening) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "url", ["htp://127.0.0.1/x", "127.0.0.1:80/x", "http://", "http:///x", "http://127.0.0.1:0/", ""]
)
def test_what_is_no_address_is_refused_before_any_call(url):
    """A wrong address is a `ValueError` in one line, at once."""
    with pytest.raises(ValueError, match=r"http:// or https://") as caught:
        nbstream.sse(url)
    assert "\n" not in str(caught.value)

"""What a stranger learns from the relay's HTTP interface, whatever he asks, and what a reader's cookie opens."""

import re

import pytest
from relay_server import TOKEN, Relay, Writer

from nbstream.log.disk import open_disk_store
from nbstream.recording import new_id

STREAM = "/v1/streams/s1"
PATHS = {
    "/healthz": {"GET"},
    "/readyz": {"GET"},
    "/metrics": {"GET"},
    "/v1/streams": {"GET", "POST"},
    STREAM: {"GET", "DELETE"},
    f"{STREAM}/records": {"GET"},
    f"{STREAM}/stop": {"POST"},
    f"{STREAM}/resume": {"POST"},
    f"{STREAM}/keep": {"POST"},
    f"{STREAM}/hold": {"PUT"},
    f"{STREAM}/ticket": {"POST"},
    f"{STREAM}/watch": {"GET"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """Return a relay with two streams; one is live, so that nobody deletes it."""
    store = open_disk_store(tmp_path_factory.mktemp("store"))
    Writer(store).write("text of s1")
    Writer(store, "s2").write("text of s2")
    with Relay(store) as relay:
        yield relay
    store.close()


def names(answer):
    """Return the names of the headers."""
    return {name.lower() for name in answer.headers}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_every_method_of_every_path(relay, path, method):
    """
    Without the token every method is 401 but for health and readiness (GET, HEAD); with it the others are 405.

    No answer lets another page read it, none echoes the token, and HEAD has no body.
    """
    for token in (None, "wrong", TOKEN):
        answer = relay.ask(method, path, token=token)
        if token != TOKEN and path not in ("/healthz", "/readyz"):
            assert answer.status == 401
            assert STREAM.encode() not in answer.body
        elif method not in PATHS[path] | ({"HEAD"} if "GET" in PATHS[path] else set()):
            assert answer.status == 405
        else:
            assert answer.status in (200, 201, 303, 400, 409)
        assert not [name for name in names(answer) if name.startswith("access-control")]
        assert {"cache-control", "x-content-type-options", "cross-origin-resource-policy"} <= names(answer)
        assert TOKEN.encode() not in answer.body + str(answer.headers).encode()
        if method == "HEAD":
            assert answer.body == b""


def test_a_preflight_of_another_page_gets_no_permission(relay):
    """What a browser asks before a foreign page may send a header is refused, under every path."""
    for path in PATHS:
        answer = relay.ask(
            "OPTIONS", path, token=None, Origin="http://evil.example", Access_Control_Request_Method="GET",
            Access_Control_Request_Headers="authorization", Access_Control_Request_Private_Network="true",
        )  # fmt: skip
        assert answer.status == 403
        assert not [name for name in names(answer) if name.startswith("access-control")]


def test_somebody_elses_stream_is_answered_like_none(relay, tmp_path):
    """A stream of another store, one that never was and what is no id: the same status, words and headers."""
    other = open_disk_store(tmp_path / "other")
    Writer(other, "theirs").write("text")
    with Relay(other) as elsewhere:
        assert elsewhere.ask("GET", "/v1/streams/theirs").status == 200
    other.close()
    for method, rest in (("GET", ""), ("GET", "/records"), ("POST", "/stop"), ("POST", "/ticket"), ("DELETE", "")):
        told = set()
        for stream in ("theirs", "nobodys", "no%20id", "%2e%2e", "x" * 129):
            answer = relay.ask(method, f"/v1/streams/{stream}{rest}")
            told.add((answer.status, answer.body, frozenset(names(answer))))
        assert len(told) == 1
        assert told.pop()[0] == 404


def test_ids_cannot_be_guessed():
    """Behind day and time an id has 16 random characters of 36: 80 bits, and no two are alike."""
    ids = [new_id() for _ in range(20_000)]
    assert all(re.fullmatch(r"\d{4}-\d{4}-[a-z0-9]{16}", one) for one in ids)
    randoms = [one[10:] for one in ids]
    assert len(set(randoms)) == len(ids)
    for place in range(16):
        assert len({one[place] for one in randoms}) == 36


def cookie_of(relay, stream):
    """Trade a new ticket; return the cookie, as a browser sends it."""
    url = relay.ask("POST", f"/v1/streams/{stream}/ticket").json["url"]
    return relay.ask("GET", url, token=None).getheader("set-cookie").partition(";")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/streams/s2/records", "/v1/streams/s1/../s2/records", "/v1/streams/s1/%2e%2e/s2/records",
        "/v1/streams/s1%2f..%2fs2/records", "//v1/streams/s2/records", "/v1/streams/s1/records/",
        "/v1/streams/s2/records?stream=s1", "/v1/streams/s2%00/records", "/v1/streams/S1/records",
    ],
)  # fmt: skip
def test_a_cookie_opens_its_own_stream_however_the_path_is_written(relay, path):
    """No spelling of a path takes the cookie of one stream to the records of another."""
    cookie = cookie_of(relay, "s1")
    assert b"text of s1" in relay.ask("GET", "/v1/streams/s1/records", token=None, Cookie=cookie).body
    answer = relay.ask("GET", path, token=None, Cookie=cookie)
    assert answer.status == 401
    assert b"text of" not in answer.body


def test_a_ticket_is_no_cookie_and_no_token(relay):
    """What is good for one thing is good for nothing else: ticket, cookie and token do not stand in for each other."""
    ticket = relay.ask("POST", f"{STREAM}/ticket").json["url"].partition("ticket=")[2]
    cookie = cookie_of(relay, "s1").partition("=")[2]
    path = f"{STREAM}/records"
    assert relay.ask("GET", path, token=None, Cookie=f"nbstream_ticket={ticket}").status == 401
    assert relay.ask("GET", path, token=None, Cookie=f"nbstream_ticket={TOKEN}").status == 401
    assert relay.ask("GET", f"{path}?ticket={ticket}", token=None).status == 401
    assert relay.ask("GET", f"{path}?token={TOKEN}", token=None).status == 401
    assert relay.ask("GET", f"{STREAM}/watch?ticket={cookie}", token=None).status == 401
    for token in (ticket, cookie):
        assert relay.ask("GET", path, token=token).status == 401
    assert relay.ask("GET", f"{STREAM}/watch?ticket={ticket}", token=None).status == 303  # still unused


def test_of_two_tokens_or_hosts_none_counts(relay):
    """A proxy and the relay may read a doubled header differently, so it is none; nor does a whole address say more."""

    def status(target, *headers, host=f"Host: 127.0.0.1:{relay.port}"):
        lines = [f"GET {target} HTTP/1.1", host, *headers, "Connection: close", "\r\n"]
        with relay.connect("\r\n".join(lines).encode()) as client:
            return int(client.makefile("rb").readline().split()[1])

    ours, wrong = f"Authorization: Bearer {TOKEN}", "Authorization: Bearer wrong"
    assert status("/v1/streams", ours) == 200
    assert status("/v1/streams", ours, wrong) == 401
    assert status("/v1/streams", wrong, ours) == 401
    assert status("/v1/streams", ours, "Host: evil.example") in (400, 421)
    assert status("/v1/streams", ours, host="Host: evil.example") == 421
    assert status(f"http://127.0.0.1:{relay.port}/v1/streams", ours, host="Host: evil.example") == 421

"""The settings of a kernel whose relay is a service: address, token and store, each wrong in its own way."""

import json
import time

import pytest
from redis_process import RedisProcess
from services import ServiceRelay, lines_of_token, upstream

import nbstream
from nbstream import doctor, overview
from nbstream.errors import RelayError
from nbstream.log.stores import open_store
from nbstream.recording import END_S
from nbstream.relay.remote import remote
from nbstream.runtime import runtime
from nbstream.testing import Answer, FaultServer, Gate

DONE = "event: done\ndata: {}\n\n"


def delta(text):
    """Return an event that carries text."""
    return f"data: {json.dumps({'type': 'delta', 'text': text})}\n\n"


@pytest.fixture
def server():
    """Return an upstream."""
    with FaultServer() as server:
        yield server


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        (("read", "start", "stop"), "user alice"),
        (("read",), "this token may not start, stop: ask for one with the scopes read, start, stop"),
        (("read", "start"), "this token may not stop: "),
        (("metrics",), "this token may not read, start, stop: "),
        (None, "this token is not known here; set NBSTREAM_RELAY_TOKEN to"),
    ],
    ids=str,
)
def test_doctor_says_what_the_token_may_do(tmp_path, user, scopes, said):
    """Only one that may do all is fine; an unknown one is no user called None. Asking makes no call, leaves nothing."""
    token, lines = lines_of_token("alice", scopes or ("read",))
    with ServiceRelay(tmp_path / "hub", (lines, upstream("http://127.0.0.1:9/")), store=tmp_path / "store") as relay:
        user(relay, token if scopes else "alice.wrong")
        began = time.monotonic()
        (check,) = [check for check in doctor.installed.checks() if check.name == "relay"]
        assert time.monotonic() - began < END_S, "a Stop waits for nobody here"
        assert said in str(check)
        assert relay.url in str(check)
        assert "None" not in str(check)
        assert check.ok == ("user" in said)
        (told,) = [line for line in overview.lines() if line.startswith("relay")]
        assert "None" not in told
    assert open_store().list() == []


def test_doctor_tries_only_what_the_relay_calls(tmp_path, user, alice):
    """A relay that lists no demo model is right: the trial says that it was not tried and why; with it, it is tried."""
    demo = upstream("http://127.0.0.1:9/") + '[[upstream]]\nprovider = "demo"\n'
    for name, upstreams in (("without", upstream("http://127.0.0.1:9/")), ("with", demo)):
        with ServiceRelay(tmp_path / name, (alice[1], upstreams), store=tmp_path / "store") as relay:
            user(relay, alice[0])
            check = doctor.trials.checks()[0]
            assert check.ok, check
            if name == "without":
                assert str(check).startswith("unknown  restart        not tried: this relay does not call demo:")
            else:
                assert "went on in the relay, uncut" in check.found
    assert nbstream.streams() == []


@pytest.mark.parametrize("elsewhere", ["another directory", "none named"])
def test_a_store_that_is_not_the_relays_is_told_before_a_call(  # noqa: PLR0917 - fixtures
    tmp_path, server, user, alice, monkeypatch, elsewhere
):
    """One line names NBSTREAM_STORE and both places; nothing is called, and nothing is left in the store."""
    if elsewhere == "none named":
        monkeypatch.delenv("NBSTREAM_STORE")
        monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path / "home"))
    with ServiceRelay(tmp_path / "hub", (alice[1], upstream(server.url)), store=tmp_path / "relays") as relay:
        user(relay, alice[0])
        for _ in range(2):
            with pytest.raises(RelayError, match="keeps its streams in another store") as raised:
                nbstream.start(nbstream.sse(f"{server.url}/x"))
        said = str(raised.value)
        assert said.count("\n") == 0
        assert all(
            word in said for word in (relay.url, "NBSTREAM_STORE", str(open_store().directory), "no call was made")
        )
        (check,) = [check for check in doctor.installed.checks() if check.name == "relay"]
        assert not check.ok
        assert "keeps its streams in another store" in str(check)
        assert relay.lines("call") == []
        assert nbstream.start(iter(["kept"])).wait(10) == "complete"
    assert server.accepted == 0
    assert [status.open.source["kind"] for status in open_store().list()] == ["object"]


def test_another_db_of_the_same_redis_is_another_store(tmp_path, server, user, alice, monkeypatch):
    """The relay's own db is found to be the same, another one is told before a call; neither keeps the probe."""
    server.script([Answer.sse(delta("read from Redis"), DONE)])
    with RedisProcess() as redis:
        theirs, other = (f"redis://127.0.0.1:{redis.port}/{number}" for number in (0, 1))
        with ServiceRelay(tmp_path / "hub", (alice[1], upstream(server.url)), store=theirs) as relay:
            monkeypatch.setenv("NBSTREAM_STORE", other)
            user(relay, alice[0])
            with pytest.raises(RelayError, match=r"keeps its streams in another store .*/1\), so no call was made"):
                nbstream.start(nbstream.sse(f"{server.url}/x"))
            assert open_store().list() == []
            open_store().close()
            monkeypatch.setenv("NBSTREAM_STORE", theirs)
            user(relay, alice[0])
            stream = nbstream.start(nbstream.sse(f"{server.url}/x"))
            assert stream.wait(20) == "complete"
            assert stream.text == "read from Redis"
            assert [status.stream for status in open_store().list()] == [stream.id]
            assert all(check.ok for check in doctor.installed.checks())
            runtime().close()
            open_store().close()
    monkeypatch.setenv("NBSTREAM_STORE", str(tmp_path / "store"))  # what is closed at the end
    assert len(server.requests) == 1


def test_a_relay_that_has_another_store_by_now_makes_no_call_that_goes_on(tmp_path, server, user, alice):
    """Its address is taken by a relay of another store: the call that it began is stopped, the line says why."""
    gate = Gate()
    server.script([Answer.sse(delta("first"), DONE), Answer.sse(delta("unseen"), gate)])
    files = (alice[1], upstream(server.url))
    with ServiceRelay(tmp_path / "a", files, store=tmp_path / "store") as relay:
        user(relay, alice[0])
        assert nbstream.start(nbstream.sse(f"{server.url}/x")).wait(20) == "complete"
    other = ServiceRelay(tmp_path / "b", files, store=tmp_path / "other")
    other.command[other.command.index("--bind") + 1] = f"127.0.0.1:{relay.port}"
    with other, pytest.raises(RelayError, match=r"keeps its streams in another store.*its call was stopped"):
        nbstream.start(nbstream.sse(f"{server.url}/y"))
    server.wait_closed(5)


@pytest.mark.parametrize(
    ("relay", "token", "said"),
    [
        ("http://127.0.0.1:1,http://127.0.0.1:2", "a.b", "takes one address: several relays stand behind a proxy"),
        ("http://127.0.0.1:1 http://127.0.0.1:2", "a.b", "takes one address: several relays stand behind a proxy"),
        ("https://hub.example:port", "a.b", "must be an address like https://HOST:PORT"),
        ("https://hub.example:99999", "a.b", "must be an address like https://HOST:PORT"),
        ("https://[hub", "a.b", "must be an address like https://HOST:PORT"),
        ("http://hub.example:8443", "a.b", "a token goes over https only"),
        ("hub.example:8443", "a.b", "must be an address like https://HOST:PORT"),
        ("https://u:p@hub.example", "a.b", "must be an address like https://HOST:PORT"),
        ("https://hub.example", "", "wants a token: set NBSTREAM_RELAY_TOKEN"),
        ("https://hub.example", "no-name", "holds no token of a relay"),
        ("https://hub.example", "a.b\r\nX: y", "holds no token of a relay"),
    ],
)
def test_a_wrong_address_or_token_is_one_line(user, relay, token, said):
    """It says what to set, and quotes no secret; nothing is sent anywhere."""
    user(relay, token)
    with pytest.raises(RelayError, match=said) as raised:
        remote()
    assert "u:p" not in str(raised.value)
    with pytest.raises(RelayError, match=said):
        nbstream.start(nbstream.sse("http://127.0.0.1:9/x"))
    stream = nbstream.start(iter(["kept"]))
    assert stream.wait(10) == "complete"


def test_the_token_may_lie_in_a_file(tmp_path, user, monkeypatch):
    """As secrets are mounted; one that cannot be read is named."""
    file = tmp_path / "token"
    file.write_text("alice.secret\n", "utf-8")
    user("https://hub.example/", "")
    monkeypatch.setenv("NBSTREAM_RELAY_TOKEN_FILE", str(file))
    found = remote()
    assert (found.url, found.token, found.proves) == ("https://hub.example", "alice.secret", False)
    assert "secret" not in repr(found)
    monkeypatch.setenv("NBSTREAM_RELAY_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(RelayError, match="none cannot be read"):
        remote()

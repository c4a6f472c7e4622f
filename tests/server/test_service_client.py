"""A kernel whose relay is a service: it is used instead of one of its own, gets no keys, and may die."""

import json
import random
import time
from contextlib import ExitStack

import pytest
from redis_process import RedisProcess
from services import CANARY, ServiceRelay, lines_of_token, until, upstream

import nbstream
from nbstream import doctor, overview
from nbstream.errors import RelayError, StreamError
from nbstream.log.stores import open_store
from nbstream.options import NbStream
from nbstream.place import here
from nbstream.recording import END_S
from nbstream.relay.reach import OWNERS, reach_of
from nbstream.relay.remote import remote
from nbstream.runtime import runtime
from nbstream.testing import Answer, FaultServer, Gate, Pause

DONE = "event: done\ndata: {}\n\n"
OURS = "sk-canary-of-the-user-77aa01bc"


def delta(text, number=1):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


def chunk(text, finish=None):
    """Return a chunk of an OpenAI chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'model': 'm', 'choices': [choice]})}\n\n"


@pytest.fixture
def server():
    """Return an upstream."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Return a function that makes this process a user's kernel of a relay; it has a key of its own, too."""
    monkeypatch.setenv("OPENAI_API_KEY", OURS)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("NBSTREAM_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("NBSTREAM_HOST", raising=False)

    def become(relay, token):
        monkeypatch.setenv("NBSTREAM_RELAY", relay if isinstance(relay, str) else relay.url)
        monkeypatch.setenv("NBSTREAM_RELAY_TOKEN", token)
        NbStream.clear_instance()

    yield become
    runtime().close()
    open_store().close()
    NbStream.clear_instance()
    assert not list((tmp_path / "runtime").glob("*")), "no relay was started here"


@pytest.fixture
def alice():
    """Return a token, and its lines."""
    return lines_of_token("alice", live=20, starts_a_minute=1000)


def test_nothing_in_a_notebook_changes(tmp_path, server, user, alice):
    """`start` and `chat` as ever: recorded there with the key of the server, read here; ours is never sent."""
    server.script([Answer.sse(chunk("hel"), chunk("lo", "stop"), "data: [DONE]\n\n")])
    with ServiceRelay(tmp_path / "hub", (alice[1], upstream(f"{server.url}/")), store=tmp_path / "store") as relay:
        user(relay, alice[0])
        source = nbstream.chat("hi", "openai:gpt-5", base_url=f"{server.url}/v1")
        stream = nbstream.start(source)
        assert stream.wait(20) == "complete"
        assert stream.text == "hello"
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
        assert [one["stream"] for one in relay.lines("call")] == [stream.id]
        assert json.loads(stream.store.status(stream.id).open.key)[0].startswith("user:alice:process:")
        assert [one.id for one in nbstream.streams()] == [stream.id]
        assert nbstream.resume(stream.id).text == "hello"
        (told,) = [line for line in overview.lines() if line.startswith("relay")]
        assert relay.url in told
        assert "alice" in told
        (check,) = [check for check in doctor.installed.checks() if check.name == "relay"]
        assert relay.url in str(check)
        assert check.ok
    sent = repr([(one.headers, one.body) for one in server.requests])
    kept = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for secret in (OURS, CANARY, alice[0].partition(".")[2]):
        assert secret == CANARY or secret not in sent
        assert not [data for data in kept if secret.encode() in data]


def test_buttons_go_to_the_relay(tmp_path, server, user, alice):
    """Stop closes the call there at once; resume goes on behind the last record; the live status is the relay's."""
    gate = Gate()

    def answer(request):
        rest = request.headers.get("last-event-id")
        return Answer.sse(delta("b", 2), DONE) if rest == "1" else Answer.sse(delta("a", 1), gate)

    server.script([], otherwise=answer)
    with ServiceRelay(tmp_path / "hub", (alice[1], upstream(server.url)), store=tmp_path / "store") as relay:
        user(relay, alice[0])
        stream = nbstream.start(nbstream.sse(f"{server.url}/x", format="nbstream"))
        gate.wait()
        until(lambda: stream.text == "a")
        assert stream.state.live
        stream.stop()
        until(lambda: stream.state == "stopped")
        server.wait_closed(5)
        gone_on = nbstream.resume(stream)
        assert gone_on.wait(20) == "complete"
        assert gone_on.text == "ab"
    assert len(server.requests) == 2


def test_a_kernel_that_may_not_stop_lets_go_of_its_own_hold(tmp_path, server, user, alice):
    """Its farewell ends no lease, since its token may not, and what it holds is let go of all the same."""
    gate, (token, lines) = Gate(), lines_of_token("alice", ("read", "start"))
    server.script([Answer.sse(delta("a"), gate, delta("b", 2), DONE)])
    hub = ServiceRelay(tmp_path / "hub", (alice[1] + lines, upstream(server.url)), store=tmp_path / "store")
    with hub as relay:
        user(relay, token)
        stream = nbstream.start(nbstream.sse(f"{server.url}/x", format="nbstream"))

        def holders():
            shown = relay.ask("GET", f"/v1/streams/{stream.id}", token=alice[0]).json["holders"]
            return [one for one in shown if one.startswith(OWNERS)]

        until(holders)
        reach = reach_of(stream.store, here().holder, lambda: True)
        runtime().submit(reach._followings[stream.id].leave(end=True)).result(5)
        assert holders() == []
        gate.open()
        assert stream.wait(20) == "complete"
        assert stream.text == "ab"


def test_refusals_are_the_relays_own_words(tmp_path, server, user, alice):
    """An upstream that is not listed, and a token that is unknown, are one clear line; nothing is called from here."""
    with ServiceRelay(tmp_path / "hub", (alice[1], upstream("http://127.0.0.1:9/")), store=tmp_path / "store") as relay:
        user(relay, alice[0])
        with pytest.raises(StreamError, match=r"this relay does not call 127\.0\.0\.1:\d+; it calls 127\.0\.0\.1:9"):
            nbstream.start(nbstream.sse(f"{server.url}/x"))
        user(relay, "alice.unknown")
        with pytest.raises(StreamError, match="this token is not known here; set NBSTREAM_RELAY_TOKEN to") as raised:
            nbstream.start(nbstream.sse(f"{server.url}/x"))
        assert relay.url in str(raised.value)
    with pytest.raises(StreamError, match="cannot be reached"):
        nbstream.start(nbstream.sse(f"{server.url}/x"))
    assert server.accepted == 0


def test_what_holds_a_secret_of_the_users_stays_here(tmp_path, server, user, alice):
    """A header with a key, or a Python object, is recorded in the kernel, and read through the relay, too."""
    server.script([Answer.sse(delta("mine"), DONE)])
    with ServiceRelay(tmp_path / "hub", (alice[1], upstream(server.url)), store=tmp_path / "store") as relay:
        user(relay, alice[0])
        source = nbstream.sse(f"{server.url}/x", headers={"Authorization": f"Bearer {OURS}"})
        with pytest.raises(RelayError, match="holds a secret"):
            nbstream.start(source, host="relay")
        first, second = nbstream.start(source), nbstream.start(iter(["from ", "Python"]))
        assert (first.wait(20), second.wait(20)) == ("complete", "complete")
        assert server.requests[0].headers["authorization"] == f"Bearer {OURS}"
        assert relay.lines("call") == []
        assert relay.text(second.id, token=alice[0]) == "from Python"


def test_a_user_finds_and_deletes_his_own_streams_only(tmp_path, server, user, alice):
    """Two kernels, one store, the same cell and key: two streams, two lists; `clean` leaves the other's alone."""
    bob = lines_of_token("bob")
    server.script([Answer.sse(delta("of alice"), DONE), Answer.sse(delta("of bob"), DONE)])
    files = (alice[1] + bob[1], upstream(server.url))
    with ServiceRelay(tmp_path / "hub", files, store=tmp_path / "store") as relay:
        user(relay, alice[0])
        hers = nbstream.start(nbstream.sse(f"{server.url}/x"), key="the same")
        assert hers.wait(20) == "complete"
        user(relay, bob[0])
        his = nbstream.start(nbstream.sse(f"{server.url}/x"), key="the same")
        assert his.wait(20) == "complete"
        assert his.text == "of bob"
        assert [one.id for one in nbstream.streams()] == [his.id]
        with pytest.raises(StreamError, match="not in the store"):
            nbstream.resume(hers.id)
        assert nbstream.clean(days=0) == [his.id]
        assert hers.text == "of alice"


def test_a_reader_moves_to_another_relay_in_the_middle(  # noqa: PLR0917 - fixtures
    tmp_path, server, user, alice, soak, seed
):
    """
    Behind one address the relay is replaced (killed) at random moments, the kernel reads on: every word once.

    The second relay takes the stream over; nobody presses a button.
    """
    choose = random.Random(seed)

    def answer(request):
        begin = int(request.headers.get("last-event-id", -1)) + 1
        return Answer.sse(*(step for n in range(begin, 250) for step in (delta(f"w{n} ", n), Pause(0.01))), DONE)

    server.script([], otherwise=answer)
    files = (alice[1], upstream(server.url))
    with ExitStack() as relays:
        relay = relays.enter_context(ServiceRelay(tmp_path / "a", files, store=tmp_path / "store"))
        user(relay, alice[0])
        stream = nbstream.start(nbstream.sse(f"{server.url}/x", format="nbstream"))
        until(lambda: stream.text)
        relays.callback(stream.subscribe(lambda: None))
        for number in range(5 if soak else 2):
            time.sleep(choose.uniform(0.2, 1.0))
            relay.process.kill()
            relay.process.wait(10)
            successor = ServiceRelay(tmp_path / f"b{number}", files, store=tmp_path / "store")
            successor.command[successor.command.index("--bind") + 1] = f"127.0.0.1:{relay.port}"
            relay = relays.enter_context(successor)
        until(lambda: stream.state == "complete", 40)
        assert stream.text == "".join(f"w{n} " for n in range(250))


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
    server.script([Answer.sse(delta("first"), DONE), Answer.sse(delta("unseen", 1), gate)])
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

"""A kernel whose relay is a service: it is used instead of one of its own, gets no keys, and may die."""

import json
import random
import time
from contextlib import ExitStack

import pytest
from services import CANARY, ServiceRelay, lines_of_token, until, upstream

import nbstream
from nbstream import doctor, overview
from nbstream.errors import RelayError, StreamError
from nbstream.place import here
from nbstream.relay.reach import OWNERS, reach_of
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


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    """Let the user have a key of his own, too."""
    monkeypatch.setenv("OPENAI_API_KEY", OURS)


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

        reach = reach_of(stream.store, here().holder, lambda: True)
        # Not by its start alone, but by its own word: another one of that would still be on its way.
        until(lambda: holders() and stream.id in reach._followings and reach._followings[stream.id]._held)
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

"""The relay's service without HTTP: starting by key, resuming, holding, and what is refused."""

import json
import time

import pytest

from nbstream.errors import Fenced, RelayError, SourceRefused, StreamGone
from nbstream.log.disk import open_disk_store
from nbstream.relay.holders import Holders
from nbstream.relay.service import Service
from nbstream.runtime import runtime
from nbstream.sources import from_spec
from nbstream.sources.portable import pack
from nbstream.testing import Answer, FaultServer, Gate

DONE = "event: done\ndata: {}\n\n"


def delta(text, number=1):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


@pytest.fixture
def server():
    """Return a server that says what the test writes."""
    with FaultServer() as server:
        yield server
        server.wait_closed(2.0)


@pytest.fixture
def service(tmp_path, server):
    """Return the service of an empty store."""
    store = open_disk_store(tmp_path / "store")
    yield Service(store, max_live=2)
    runtime().close()
    store.close()


def ask(server, key="mine", **more):
    """Return the body of a start."""
    return {"source": {"url": f"{server.url}/x"}, "key": key, **more}


def rest(service, stream, within_s=10.0):
    """Wait until the stream is at rest and return its state."""
    until = time.monotonic() + within_s
    while service.store.status(stream).live:
        assert time.monotonic() < until
        time.sleep(0.005)
    return str(service.store.status(stream).state)


def test_a_key_means_what_running_a_cell_again_means(service, server):
    """Live: attached. Complete: the same answer. Fresh: a new one. Another question: a new one, the old is stopped."""
    gate, other = Gate(), Gate()
    server.script([Answer.sse(delta("one"), gate, DONE), Answer.sse(delta("two"), DONE), Answer.sse(delta("3"), other)])
    started, first = service.start(ask(server))
    assert started
    gate.wait()
    attached, same = service.start(ask(server))
    assert (attached, same["id"]) == (False, first["id"])
    gate.open()
    assert rest(service, first["id"]) == "complete"
    attached, saved = service.start(ask(server))
    assert (attached, saved["id"], saved["state"]) == (False, first["id"], "complete")
    started, second = service.start(ask(server, fresh=True))
    assert started
    assert second["id"] != first["id"]
    assert rest(service, second["id"]) == "complete"
    started, third = service.start({**ask(server), "source": {"url": f"{server.url}/y"}})
    assert started
    other.wait()
    service.stop(third["id"])
    assert rest(service, third["id"]) == "stopped"
    assert len(server.requests) == 3


def test_compare_and_set(service, server):
    """With `replaces` a key is taken only from the stream that is named: the loser attaches and sends nothing."""
    gate = Gate()
    server.script([Answer.sse(delta("one"), gate)])
    key = json.dumps(["/a.ipynb", "cell:1", 0])
    started, first = service.start(ask(server, key, replaces=None))
    assert started
    attached, same = service.start(ask(server, key, replaces=None))
    assert (attached, same["id"]) == (False, first["id"])
    assert service.store.find(key) == first["id"]
    gate.wait()
    service.stop(first["id"])
    assert len(server.requests) == 1


def test_resume_needs_the_key_that_only_its_owner_has(service, server):
    """A stream whose call needs a key is resumed by who sends it; the relay has none of its own."""
    source = {"prompt": "hi", "model": "m", "base_url": f"{server.url}/v1", "key_env": "CANARY_KEY", "key": "k-123456"}
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "a "}}], "offset": 0})
    end = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    again = json.dumps({"choices": [{"index": 0, "delta": {"content": "b"}}], "offset": 2})
    more = [f"id: 2\ndata: {again}\n\n", f"data: {end}\n\ndata: [DONE]\n\n"]
    server.script([Answer.sse(f"id: 1\ndata: {chunk}\n\n", Gate()), Answer.sse(*more)])
    _, at = service.start({"source": source, "key": "chat"})
    until = time.monotonic() + 5
    while service.store.status(at["id"]).tail < 1 and time.monotonic() < until:
        time.sleep(0.005)
    service.stop(at["id"])
    rest(service, at["id"])
    with pytest.raises(SourceRefused, match="needs CANARY_KEY"):
        service.resume(at["id"], {})
    assert service.resume(at["id"], {"api_key": "k-654321"})["resumed"]
    assert rest(service, at["id"]) == "complete"
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer k-123456", "Bearer k-654321"]
    assert service.secrets("k-123456 and k-654321") == "*** and ***"


def speaks(text):
    """Return an answer of a chat that says *text* and is complete."""
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]})
    return Answer.sse(f"data: {chunk}\n\ndata: [DONE]\n\n")


def authorizations(server):
    """Return the keys that a server was sent, in order."""
    return [request.headers.get("authorization") for request in server.requests]


def test_a_key_reaches_only_the_provider_it_is_for(service, server, monkeypatch):
    """P7: a team of two providers and an endpoint without a key is resumed with keys by name, and each gets its own."""
    with FaultServer() as other, FaultServer() as open_to_all:
        hosts = {"a": server, "b": other, "c": open_to_all}
        for host in hosts.values():
            host.script([Answer(status=401), speaks("hello")])
        team = {
            name: {"prompt": "hi", "model": "m", "base_url": f"{hosts[name].url}/v1", "key_env": f"KEY_{name.upper()}"}
            for name in ("a", "b")
        }
        agents = {
            "c": {"url": f"{open_to_all.url}/x"},
            **{name: {**one, "key": f"old-{name}"} for name, one in team.items()},
        }
        stream = service.start({"source": {"agents": agents}, "key": "team"})[1]["id"]
        assert rest(service, stream) == "failed"
        for ask, error, said in (
            ({}, SourceRefused, "needs KEY_A, KEY_B; .* api_keys"),
            ({"api_keys": {"KEY_B": "new-b"}}, SourceRefused, "needs KEY_A;"),
            ({"api_key": "new-a"}, ValueError, r"KEY_A, KEY_B.*api_keys"),
            ({"api_keys": ["new-a"]}, TypeError, "api_keys: an object"),
            ({"api_keys": {"KEY_A": 5}}, TypeError, "api_keys: an object"),
            ({"api_key": 5}, TypeError, "api_key: expected text"),
        ):
            with pytest.raises(error, match=said) as refused:
                service.resume(stream, ask)
            assert "new-" not in str(refused.value)
        assert [len(host.requests) for host in hosts.values()] == [1, 1, 1]
        assert service.resume(stream, {"api_keys": {"KEY_A": "new-a", "KEY_B": "new-b", "KEY_ODD": "odd"}})["resumed"]
        rest(service, stream)
        assert authorizations(server) == ["Bearer old-a", "Bearer new-a"]
        assert authorizations(other) == ["Bearer old-b", "Bearer new-b"]
        assert authorizations(open_to_all) == [None, None]
        assert service.secrets("new-a and new-b") == "*** and ***"
        for name in team:  # a kernel sends a whole source, made again from the log: each agent with its own key
            monkeypatch.setenv(f"KEY_{name.upper()}", f"mine-{name}")
        packed = pack(from_spec(service.store.status(stream).open.source))["agents"]
        assert {name: packed[name].get("key") for name in packed} == {"a": "mine-a", "b": "mine-b", "c": None}


def test_one_agent_needs_one_key_and_one_that_is_complete_none(service, server, monkeypatch):
    """A resume asks for the keys of those that it calls: `api_key` is the one of the agent that is named."""
    monkeypatch.setenv("KEY_A", "of-this-process")
    with FaultServer() as other:
        server.script([Answer(status=401), speaks("a")])
        other.script([Answer(status=401), speaks("b")])
        agents = {
            name: {"prompt": "hi", "model": "m", "base_url": f"{host.url}/v1", "key_env": f"KEY_{name.upper()}"}
            for name, host in (("a", server), ("b", other))
        }
        given = {name: {**one, "key": f"old-{name}"} for name, one in agents.items()}
        stream = service.start({"source": {"agents": given}, "key": "team"})[1]["id"]
        assert rest(service, stream) == "failed"
        assert service.resume(stream, {"agent": "b", "api_key": "new-b"})["resumed"]
        assert rest(service, stream) == "failed"  # a is
        with pytest.raises(SourceRefused, match="needs KEY_A;"):
            service.resume(stream, {})
        with pytest.raises(ValueError, match="api_keys"):
            service.resume(stream, {"api_key": "whose"})
        assert service.resume(stream, {"api_keys": {"KEY_A": "new-a"}})["resumed"]
        assert rest(service, stream) == "complete"
        assert authorizations(server) == ["Bearer old-a", "Bearer new-a"]
        assert authorizations(other) == ["Bearer old-b", "Bearer new-b"]


def test_limits_and_bad_bodies(service, server):
    """A third live stream is too many here; a body that cannot be understood is one clear line."""
    gates = [Gate(), Gate()]
    server.script([Answer.sse(delta("a"), gates[0], DONE), Answer.sse(delta("b"), gates[1], DONE)])
    streams = [service.start(ask(server, f"n{n}"))[1]["id"] for n in range(2)]
    with pytest.raises(RelayError, match="2 streams are live") as caught:
        service.start(ask(server, "n3"))
    assert caught.value.status == 429
    for body in (
        {}, {"source": 5}, {"source": {"url": 5}}, {"source": {"url": "ftp://x"}}, {"source": {"prompt": ""}},
        {"source": {"url": "http://h/", "odd": 1}}, {**ask(server), "key": 5},
        {**ask(server), "limits": {"idle_s": -1}}, {**ask(server), "limits": {"odd": 1}},
        {**ask(server), "limits": {"linger_s": float("nan")}},
        {"source": {"url": "http://h/", "headers": {"A": "b\nc"}}},
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)) as wrong:
            service.start(body)
        assert len(str(wrong.value).splitlines()) == 1
    for for_s in (-1, 1e9, float("nan")):
        with pytest.raises(ValueError, match="number of seconds"):
            service.hold(streams[0], "me", for_s)
    with pytest.raises(StreamGone):
        service.describe("nowhere")
    with pytest.raises(Fenced):
        service.delete(streams[0])
    for gate in gates:
        gate.open()
    assert [rest(service, stream) for stream in streams] == ["complete"] * 2


def test_the_lease_ends_a_call_that_nobody_holds(service, server):
    """Held by two, let go by one, then by the other: interrupted, and the line says why."""
    server.script([Answer.sse(delta("a"), Gate())])
    _, at = service.start(ask(server, holder="one", limits={"linger_s": 0}))
    service.hold(at["id"], "two", 60)
    assert service.hold(at["id"], "one", 0)["holders"] == ["two"]
    time.sleep(0.6)
    assert service.store.status(at["id"]).live
    service.hold(at["id"], "two", 0)
    assert rest(service, at["id"]) == "interrupted"
    assert service.store.status(at["id"]).close.error["type"] == "LeaseOver"


def test_a_kernel_that_is_shut_down_ends_only_what_nobody_else_holds(service, server):
    """`end` is over at once, however long the lease; not while somebody else holds the stream."""
    server.script([Answer.sse(delta("a"), Gate())])
    _, at = service.start(ask(server, holder="one"))
    service.hold(at["id"], "two", 60)
    service.hold(at["id"], "one", 0, end=True)
    time.sleep(0.6)
    assert service.store.status(at["id"]).live
    service.hold(at["id"], "two", 0, end=True)
    assert rest(service, at["id"], 3) == "interrupted"
    assert "shut down" in service.store.status(at["id"]).close.error["message"]


def test_holders_forget():
    """A name counts as long as it said, a moment more when its connection broke, and leaves nothing behind."""
    now = [0.0]
    holders = Holders(lambda: now[0])
    holders.hold("s", "kernel", 45)
    holders.hold("s", "reader", 10, attended=False)
    assert holders.of("s") == ["kernel", "reader"]
    holders.drop("kernel")
    now[0] = 1.9
    assert holders.attended("s")
    now[0] = 2.1
    assert holders.held("s")
    assert not holders.attended("s")
    now[0] = 11.0
    assert not holders.held("s")
    now[0] = 50.0
    holders.hold("s", "again", 0)
    assert not holders._holds


def test_no_stream_and_no_name_stays_behind():
    """Thousands of readers of as many streams that nobody asks for again: what held nothing is forgotten."""
    now = [0.0]
    holders = Holders(lambda: now[0])
    for n in range(5000):
        holders.hold(f"s{n}", f"reader:{n}", 2, attended=False)
        holders.drop(f"kernel:{n}")
        holders.begin(f"t{n}", f"request:{n}", 10)
        holders.drop(f"request:{n}")
    holders.hold("kept", "kernel:k", 3600)
    holders.drop("kernel:k")
    now[0] = 61.0
    holders.begin("one more", "kernel:1", 10)
    assert set(holders._holds) == {"kept", "one more"}
    assert set(holders._broken) == {"kernel:k"}
    assert not holders.held("kept")
    holders.back("kernel:k")
    assert holders.held("kept")


def test_a_service_forgets_the_streams_of_long_ago(service, server, monkeypatch):
    """Of the streams it has served it knows the newest; of one that has ended no live status is kept."""
    monkeypatch.setattr("nbstream.relay.service.KEPT_STREAMS", 2)
    ids = []
    for n in range(3):
        gate = Gate()
        server.script([Answer.sse(delta("a"), gate, DONE)])
        _, at = service.start(ask(server, key=f"k{n}"))
        gate.wait()
        assert service.live(at["id"]) is not None
        gate.open()
        assert rest(service, at["id"]) == "complete"
        ids.append(at["id"])
    assert [service.knew(one) for one in ids] == [False, True, True]
    assert len(service._said) == 1


def test_a_connection_made_again_holds_as_before():
    """A broken connection counts after a moment, unless the holder comes back: then all it held is held, as long."""
    now = [0.0]
    holders = Holders(lambda: now[0])
    holders.hold("s", "kernel:1", 45)
    holders.drop("kernel:1")
    now[0] = 1.0
    holders.back("kernel:1")
    now[0] = 40.0
    assert holders.held("s")
    holders.drop("kernel:1")
    now[0] = 42.5
    assert not holders.held("s")
    holders.begin("s", "kernel:1", 10)
    assert holders.held("s")
    now[0] = 44.0
    holders.hold("s", "kernel:1", 45)
    holders.begin("s", "kernel:1", 10)
    now[0] = 80.0
    assert holders.held("s"), "asking again never shortens a hold"


def test_a_start_asked_again_is_one_call(service, server):
    """The answer to a start was lost: the same id under the same key is the call that was begun, also with `fresh`."""
    gate = Gate()
    server.script([Answer.sse(delta("one"), gate)])
    body = ask(server, replaces=None, id="0000-mine", fresh=True)
    assert service.start(body)[0]
    gate.wait()
    started, again = service.start(body)
    assert (started, again["id"]) == (True, "0000-mine")
    service.stop("0000-mine")
    assert len(server.requests) == 1

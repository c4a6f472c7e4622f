"""How relays of one store end, follow each other and go on for each other. Real processes, real sockets."""

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import replace

import pytest
from redis_process import RedisProcess
from services import ServiceRelay, lines_of_token, until, upstream

import nbstream
from nbstream.log.disk import open_disk_store
from nbstream.log.readback import parts_of
from nbstream.owner import key_of
from nbstream.records import Delta, Open, Part
from nbstream.testing import Answer, FaultServer, Gate, Pause

DONE = "event: done\ndata: {}\n\n"


def delta(text, number):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


def words(begin, end):
    """Return events for the words from *begin* to before *end*; their ids are their numbers."""
    return [delta(f"w{n} ", n) for n in range(begin, end)]


def resumable(end, every_s=0.02, last=None):
    """Return an upstream of *end* words that goes on behind Last-Event-ID; the last word waits for the event *last*."""

    def said(begin):
        for n in range(begin, end):
            while n == end - 1 and last is not None and not last.is_set():
                yield Pause(every_s)
            yield delta(f"w{n} ", n)
            yield Pause(every_s)
        yield DONE

    def answer(request):
        begin = int(request.headers.get("last-event-id", -1)) + 1
        return Answer(said(begin), headers={"Content-Type": "text/event-stream"})

    return answer


@pytest.fixture
def server():
    """Return an upstream."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def files(server):
    """Return the token of a user, and the contents of the files."""
    token, lines = lines_of_token("alice", live=40, starts_a_minute=1000)
    return token, (lines, upstream(f"{server.url}/"))


def test_a_relay_that_ends_lets_live_streams_end(tmp_path, server, files):
    """SIGTERM: not ready but healthy, no new calls (503, Retry-After), the live one to its end, exit code 0."""
    token, contents = files
    gate = Gate()
    server.script([Answer.sse(*words(0, 2), gate, *words(2, 4), DONE)])
    with ServiceRelay(tmp_path, contents, "--drain-s", "30") as relay:
        stream = relay.start(f"{server.url}/x", token=token).json["id"]
        gate.wait()
        reader = relay.events(stream, token=token)
        relay.process.send_signal(signal.SIGTERM)
        until(lambda: relay.ask("GET", "/readyz").status == 503)
        assert relay.ask("GET", "/healthz").status == 200
        refused = relay.start(f"{server.url}/y", token=token)
        assert (refused.status, refused.getheader("retry-after")) == (503, "1")
        late = relay.events(stream, token=token)
        assert late.answer.status == 200, "who reads may go on reading"
        gate.open()
        for one in (reader, late):
            while one.step():
                pass
            assert one.text == "w0 w1 w2 w3 "
            assert one.records[-1]["how"] == "complete"
            one.close()
        assert relay.process.wait(20) == 0
        assert [one["event"] for one in relay.lines() if one["event"] in {"draining", "ended"}] == ["draining", "ended"]
    assert len(server.requests) == 1


def test_what_does_not_end_in_time_goes_on_in_another_relay(tmp_path, server, files):
    """After the time to drain the stream is interrupted, its reader told to come back, and the next relay has it."""
    token, contents = files
    server.script([], otherwise=resumable(150))
    with ServiceRelay(tmp_path / "a", contents, "--drain-s", "0.5", store=tmp_path / "store") as first:
        stream = first.start(f"{server.url}/x", token=token).json["id"]
        reader = first.events(stream, token=token)
        reader.read(lambda r: r.text)
        assert first.end() == 0
        while reader.step():
            pass
        assert reader.raw.endswith(b"retry: 1000\n")
        assert reader.records[-1]["how"] == "interrupted"
        reader.close()
    with ServiceRelay(tmp_path / "b", contents, store=tmp_path / "store") as second:
        rest = second.events(stream, token=token, after=reader.last)
        rest.read(lambda r: r.records and r.records[-1].get("how") == "complete")
        rest.close()
        assert reader.text + rest.text == "".join(f"w{n} " for n in range(150))
        (taken,) = second.lines("took_over")
        assert (taken["stream"], taken["user"]) == (stream, "alice")


def test_a_second_signal_ends_at_once(tmp_path, server, files):
    """Whoever does not want to wait says so again."""
    token, contents = files
    gate = Gate()
    server.script([Answer.sse(*words(0, 1), gate)])
    with ServiceRelay(tmp_path, contents, "--drain-s", "300") as relay:
        relay.start(f"{server.url}/x", token=token)
        gate.wait()
        relay.process.send_signal(signal.SIGTERM)
        until(lambda: relay.lines("draining"))
        began = time.monotonic()
        assert relay.end() == 0
        assert time.monotonic() - began < 8


def test_a_killed_relays_streams_go_on_in_another_one(tmp_path, server, files, soak, seed):
    """
    One of two relays is SIGKILLed at a random moment; the other takes over, and readers that move lose nothing.

    Every word once, in order; one connection upstream at a time for each stream.
    """
    choose, (token, contents) = random.Random(seed), files
    count = 10 if soak else 3
    for number in range(10 if soak else 2):
        killed = threading.Event()
        server.script([], otherwise=resumable(200, every_s=0.015, last=killed))
        store = tmp_path / f"store{number}"
        with (
            ServiceRelay(tmp_path / f"a{number}", contents, store=store) as first,
            ServiceRelay(tmp_path / f"b{number}", contents, store=store) as second,
            ServiceRelay(tmp_path / f"c{number}", contents, store=store) as third,
        ):
            streams = [first.start(f"{server.url}/{number}-{n}", token=token).json["id"] for n in range(count)]
            readers = [relay.events(one, token=token) for one in streams for relay in (first, second)]
            for reader in readers:
                reader.read(lambda r: r.text)
            time.sleep(choose.uniform(0, 1))
            first.process.kill()
            first.process.wait(10)
            began = time.monotonic()
            killed.set()
            for reader, stream in zip(readers, [one for one in streams for _ in (1, 2)], strict=True):
                while reader.step() and not _complete(reader):
                    pass
                reader.close()
                text = reader.text
                if not _complete(reader):  # it was the killed one's: the reader moves, with what it has
                    moved = choose.choice((second, third)).events(stream, token=token, after=reader.last)
                    moved.read(_complete)
                    moved.close()
                    text += moved.text
                assert text == "".join(f"w{n} " for n in range(200))
            taken = [one["stream"] for relay in (second, third) for one in relay.lines("took_over")]
            assert sorted(taken) == sorted(streams), "each by one of the two that could"
            print(f"all complete {time.monotonic() - began:.1f} s after the kill")
    asked = {}
    for request in server.requests:
        asked.setdefault(request.path, []).append(request.headers.get("last-event-id"))
    assert all(len(ids) == 2 and ids[0] is None and ids[1] for ids in asked.values()), asked


def _complete(reader):
    return bool(reader.records) and reader.records[-1].get("how") == "complete"


@pytest.mark.parametrize("how", ["killed", "drained"])
def test_a_team_goes_on_in_another_relay(tmp_path, server, files, how):
    """Each agent that was under way goes on behind its last word; one that was complete, or stopped, is not called."""
    token, contents = files
    slow = resumable(60, every_s=0.03)
    server.script(
        [], otherwise=lambda r: slow(r) if r.path in ("/a", "/b", "/held") else Answer.sse(*words(0, 3), DONE)
    )
    agents = {name: {"url": f"{server.url}/{name}", "format": "nbstream"} for name in ("a", "b", "held", "done")}
    store = tmp_path / "store"
    with ServiceRelay(tmp_path / "a", contents, "--drain-s", "0.2", store=store) as first:
        stream = first.ask("POST", "/v1/streams", {"source": {"agents": agents}}, token=token).json["id"]
        until(lambda: sum("w1" in said for said in _said(first, stream, token).values()) == len(agents))
        first.ask("POST", f"/v1/streams/{stream}/stop", {"agent": "held"}, token=token)
        until(lambda: '"stopped"' in first.ask("GET", f"/v1/streams/{stream}/records", token=token).body.decode())
        if how == "killed":
            first.kill()
        else:
            assert first.end() == 0
    with closing(open_disk_store(store)) as opened:
        parts = [part for part in parts_of(opened.log(stream)) if part.agent == "held" and part.kind == "text"]
        held = "".join(part.text for part in parts)
    with ServiceRelay(tmp_path / "b", contents, store=store) as second:
        until(lambda: second.state(stream, token=token) in ("complete", "stopped"))
        (taken,) = second.lines("took_over")
        assert taken["stream"] == stream
        said = _said(second, stream, token)
    assert said == {**dict.fromkeys("ab", "".join(f"w{n} " for n in range(60))), "held": held, "done": "w0 w1 w2 "}
    called = Counter(request.path for request in server.requests)
    assert called == {"/a": 2, "/b": 2, "/held": 1, "/done": 1}


@pytest.mark.parametrize("case", ["one failed", "one has shown nothing"])
def test_a_team_whose_calls_might_cost_twice_is_left_alone(tmp_path, server, files, case):
    """One that failed waits for its user, and one that was asked and has said nothing may have cost: none is called."""
    token, contents = files
    gate, slow = Gate(), resumable(1000)
    wrong = Answer(status=400) if case == "one failed" else Answer.sse(gate)
    server.script([], otherwise=lambda request: slow(request) if request.path == "/a" else wrong)
    agents = {name: {"url": f"{server.url}/{name}", "format": "nbstream"} for name in ("a", "b")}
    store = tmp_path / "store"
    with ServiceRelay(tmp_path / "a", contents, store=store) as first:
        stream = first.ask("POST", "/v1/streams", {"source": {"agents": agents}}, token=token).json["id"]
        until(lambda: "w2" in first.text(stream, token=token))
        if case == "one failed":
            until(lambda: '"failed"' in first.ask("GET", f"/v1/streams/{stream}/records", token=token).body.decode())
        else:
            gate.wait()
        first.kill()
    before = len(server.requests)
    with ServiceRelay(tmp_path / "b", contents, store=store) as second:
        time.sleep(3.5)  # some looks: that nothing happens cannot be waited for
        assert second.state(stream, token=token) == "interrupted"
        assert second.lines("took_over") == []
    assert len(server.requests) == before


def _said(relay, stream, token):
    """Return the text of each agent by now."""
    return _by_agent(relay.ask("GET", f"/v1/streams/{stream}/records", token=token).json["records"])


def _by_agent(records):
    said = defaultdict(str)
    for record in records:
        for part in record.get("parts", ()):
            if part["kind"] == "text":
                said[part["agent"]] += part["text"]
    return said


@pytest.mark.parametrize(
    "case", ["no place to go on from", "not listed", "stopped", "nothing shown", "no token to start"]
)
def test_what_would_cost_twice_is_left_alone(tmp_path, server, files, case):
    """Without a cursor, a listed address or a right, after a stop, before any text: it stays as it is, uncalled."""
    token, contents = files
    gate = Gate()
    text = [f"data: {json.dumps({'type': 'delta', 'text': 'x'})}\n\n"] if "no place" in case else words(0, 2)
    server.script([Answer.sse(*([] if "nothing" in case else text), gate)])
    store = tmp_path / "store"
    with ServiceRelay(tmp_path / "a", contents, store=store) as first:
        source = {"url": f"{server.url}/x", "format": "nbstream", "method": "POST", "json": {"a": 1}}
        stream = first.ask("POST", "/v1/streams", {"source": source}, token=token).json["id"]
        gate.wait()
        if "nothing" not in case:
            until(lambda: first.text(stream, token=token))
        if case == "stopped":
            first.ask("POST", f"/v1/streams/{stream}/stop", {}, token=token)
        first.process.kill()
        first.process.wait(10)
    listed = upstream("http://127.0.0.1:1/") if case == "not listed" else contents[1]
    lines = contents[0].replace('"start"', '"read"') if "no token" in case else contents[0]
    with ServiceRelay(tmp_path / "b", (lines, listed), store=store) as second:
        time.sleep(3.5)  # some looks: that nothing happens cannot be waited for
        expected = "stopped" if case == "stopped" else "interrupted"
        assert second.state(stream, token=token) == expected
        assert second.lines("took_over") == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(("opens", "taken"), [(5, True), (6, False)])
def test_a_stream_that_kills_relays_is_left_alone_in_the_end(tmp_path, server, files, opens, taken):
    """Five relays died with it before a word came: the sixth leaves it interrupted, for its user to resume."""
    token, contents = files
    server.script([], otherwise=resumable(3))
    with closing(open_disk_store(tmp_path / "store")) as store:
        source = nbstream.sse(f"{server.url}/x", format="nbstream")
        first = Open(
            "s1", '["user:alice:relay", "key:x", 0]', "new", {**source.spec, "replayable": True}, source.fingerprint,
            "relay 1", "host", "boot", 1.0,
        )  # fmt: skip
        log, lock = store.start(first)
        log.append(1, Delta((Part("text", "w0 ", "assistant", 1, 0),), at=2.0, cursor={"id": "0"}))
        for n in range(1, opens):
            log.append(1 + n, replace(first, intent="resume"))
        lock.release()
    with ServiceRelay(tmp_path / "hub", contents, store=tmp_path / "store") as relay:
        if taken:
            until(lambda: relay.state("s1", token=token) == "complete")
            assert relay.text("s1", token=token) == "w0 w1 w2 "
        else:
            time.sleep(3.5)  # that nothing happens cannot be waited for
            assert relay.state("s1", token=token) == "interrupted"
            assert server.accepted == 0


def test_who_reads_at_another_relay_holds_the_stream(tmp_path, server, files, soak):
    """A lease of 4 s, a reader at the other relay only: the call goes on while it reads (soak: longer than a hold)."""
    token, contents = files
    server.script([], otherwise=resumable(10_000, every_s=0.5))
    store, count = tmp_path / "store", 120 if soak else 40
    with (
        ServiceRelay(tmp_path / "a", contents, store=store) as first,
        ServiceRelay(tmp_path / "b", contents, store=store) as second,
    ):
        stream = first.start(f"{server.url}/x", token=token, limits={"linger_s": 4}).json["id"]
        reader = second.events(stream, token=token)
        reader.read(lambda r: f"w{count} " in r.text or any("how" in one for one in r.records))
        assert f"w{count} " in reader.text, reader.records[-1]
        assert "another relay" in first.ask("GET", f"/v1/streams/{stream}", token=token).json["holders"]
        assert second.ask("POST", f"/v1/streams/{stream}/stop", {}, token=token).status == 200, "any relay stops it"
        until(lambda: first.state(stream, token=token) == "stopped")
        reader.close()
        server.wait_closed(5)


def test_a_call_keeps_its_limits_in_another_relay(tmp_path, server, files):
    """A lease of 3 s is one of 3 s after a takeover, too: nobody reads it, so the call is closed."""
    token, contents = files
    server.script([], otherwise=resumable(10_000, every_s=0.05))
    store = tmp_path / "store"
    with ServiceRelay(tmp_path / "a", contents, store=store) as first:
        stream = first.start(f"{server.url}/x", token=token, limits={"linger_s": 3}).json["id"]
        until(lambda: "w2" in first.text(stream, token=token))
        first.kill()
    with ServiceRelay(tmp_path / "b", contents, store=store) as second:
        until(lambda: second.lines("took_over"))
        until(lambda: second.state(stream, token=token) == "interrupted")
        (*_, end) = second.ask("GET", f"/v1/streams/{stream}/records", token=token).json["records"]
        assert end["error"]["type"] == "LeaseOver", end
        server.wait_closed(5)


@pytest.mark.parametrize("what", ["a format of tomorrow", "a source without an address", "a key that is none"])
def test_a_stream_that_is_not_understood_costs_no_relay(tmp_path, server, files, what):
    """A newer version's stream, or a forged one, is left alone, noted once; the relay goes on with the others."""
    token, contents = files
    server.script([], otherwise=resumable(200, every_s=0.02))
    source = {"kind": "sse", "url": f"{server.url}/s1", "method": "POST", "format": "nbstream"}
    key = key_of("alice", json.dumps(["book", "cell", 0]))
    if "format" in what:
        source["format"] = "of.tomorrow"
    elif "address" in what:
        source = {"kind": "sse"}
    else:
        key = '["user:alice:book'
    store = tmp_path / "store"
    with ServiceRelay(tmp_path / "a", contents, store=store) as first:
        stream = first.start(f"{server.url}/x", token=token).json["id"]
        until(lambda: "w2" in first.text(stream, token=token))
        first.kill()
    with closing(open_disk_store(store)) as opened:
        started = opened.start(Open("s1", key, "new", source, "f", "relay 1", "h", "b", 1.0))
        started.log.append(1, Delta((Part("text", "x", sequence=1),), at=1.0, cursor={"id": "0"}))
        started.lock.release()
    with ServiceRelay(tmp_path / "b", contents, store=store) as second:
        until(lambda: second.state(stream, token=token) == "complete")
        time.sleep(2.5)  # some looks more: that nothing happens cannot be waited for
        assert second.process.poll() is None
        assert [one["stream"] for one in second.lines("took_over")] == [stream]
        assert len(second.lines("not_taken_over")) == (0 if "key" in what else 1)
    assert all(request.path == "/x" for request in server.requests)


def test_over_tls(tmp_path, server, files, certificate):
    """A certificate and a key make it https; wrong files are one line."""
    token, contents = files
    server.script([Answer.sse(*words(0, 3), DONE)])
    with ServiceRelay(tmp_path / "hub", contents, tls=certificate) as relay:
        assert relay.url.startswith("https://")
        stream = relay.start(f"{server.url}/x", token=token).json["id"]
        reader = relay.events(stream, token=token)
        reader.read(_complete)
        reader.close()
        assert reader.text == "w0 w1 w2 "
        url = relay.ask("POST", f"/v1/streams/{stream}/ticket", {}, token=token).json["url"]
        assert "Secure" in relay.ask("GET", url).getheader("set-cookie")
    for wrong in ((certificate[0], tmp_path / "none.pem"), (certificate[1], certificate[1])):
        command = ServiceRelay(tmp_path / "hub", contents, tls=wrong).command
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 1
        assert "--tls-cert" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_relay_without_its_store_is_not_ready(tmp_path, server, files):
    """Whoever shares calls out passes it by while its Redis is away; it lives, says which store it has, and is back."""
    token, lines = lines_of_token("watcher", ["metrics", "read"])
    with RedisProcess(appendonly="yes") as redis:
        url = redis.url()
        with ServiceRelay(tmp_path / "hub", (lines, files[1][1]), store=url) as relay:
            assert relay.ask("GET", "/readyz").status == 200
            assert relay.ask("GET", "/healthz", token=token).json["store"] == f"redis://127.0.0.1:{redis.port}/0"
            redis.kill()
            assert relay.ask("GET", "/readyz").status >= 500
            assert relay.process.poll() is None
            redis.start()
            until(lambda: relay.ask("GET", "/readyz").status == 200)

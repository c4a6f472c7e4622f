"""A recorder whose store is in Redis: it is killed, silent or away under way, and everything goes on by itself."""

import json
import os
import random
import threading
import time

import pytest
from chain import long_text, until
from redis_process import RedisProcess

import nbstream
from nbstream.errors import StoreFull
from nbstream.log.readback import parts_of
from nbstream.log.redis import open_redis_store
from nbstream.log.stores import open_store
from nbstream.options import NbStream
from nbstream.testing import Answer, FaultServer, Gate, Pause

#: Settings that lose nothing.
ALWAYS = {"appendonly": "yes", "appendfsync": "always"}


@pytest.fixture
def redis(request):
    """Return a Redis of this test; one that loses nothing, unless the test says what it wants."""
    with RedisProcess(**getattr(request, "param", ALWAYS)) as server:
        yield server


@pytest.fixture(autouse=True)
def _store(redis, monkeypatch):
    """Let streams be saved there."""
    monkeypatch.setenv("NBSTREAM_STORE", redis.url())
    NbStream.clear_instance()
    yield
    open_store().close()
    NbStream.clear_instance()


@pytest.fixture
def upstream():
    """Return a server whose every connection must be closed in the end."""
    with FaultServer() as server:
        yield server
        server.wait_closed(2.0)


def events(text, *, pause_s=0.0, chars=7):
    """Yield the steps of an answer that says *text*."""
    for number, at in enumerate(range(0, len(text), chars), 1):
        frame = {"type": "agent_output", "agent": "assistant", "content": text[at : at + chars], "sequence": number}
        yield f"data: {json.dumps(frame)}\n\n"
        yield Pause(pause_s)
    yield "data: [DONE]\n\n"


def begin(upstream, body, **limits):
    """Start a stream that is answered with *body*."""
    upstream.script([Answer.sse(*body)])
    return nbstream.start(nbstream.sse(upstream.url + "/stream"), **limits)


class Reader(threading.Thread):
    """Reads what there is to read all the time: it must be saved by then, and stay."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.text, self.unread, self.unsaved_seen, self.error = stream, "", 0, False, None
        self.over = threading.Event()

    def run(self):
        after = -1
        try:
            while not self.over.wait(0.01):
                self.unsaved_seen = self.unsaved_seen or not self.stream.status()["saved"]
                try:
                    records = self.stream.log.read(after)
                except StoreFull:
                    self.unread += 1
                    continue
                after += len(records)
                self.text += "".join(part.text for record in records for part in getattr(record, "parts", ()))
        except Exception as exc:  # noqa: BLE001 - the test tells
            self.error = exc


def watched(stream):
    """Return a reader at work."""
    reader = Reader(stream)
    reader.start()
    return reader


def check(stream, reader, text, upstream):
    """Everything is there once, what was read is a prefix of it, and one call was made."""
    reader.over.set()
    reader.join()
    assert reader.error is None
    assert (stream.state, stream.text) == ("complete", text)
    assert text.startswith(reader.text)
    assert len(upstream.requests) == 1
    store = open_redis_store(os.environ["NBSTREAM_STORE"])  # as another process sees it
    assert "".join(part.text for part in parts_of(store.log(stream.id))) == text
    assert not store.status(stream.id).live
    store.close()


def test_redis_killed_under_way(redis, upstream, soak, seed):
    """Kills at random moments: the upstream is asked once, nothing is shown unsaved, nothing is lost or doubled."""
    choose = random.Random(seed)
    text = long_text(choose, 20_000 if soak else 4_000)
    stream = begin(upstream, events(text, pause_s=0.008))
    reader, kills = watched(stream), 0
    while stream.state.live:
        time.sleep(choose.uniform(0.2, 1.2))
        redis.kill()
        time.sleep(choose.choice((0, 0, 0.5, 2)))
        redis.start()
        kills += 1
        assert stream.wait(0) is not None
    print(f"{kills} kills, {reader.unread} reads met nobody")
    check(stream, reader, text, upstream)


def test_redis_away_for_some_seconds(redis, upstream):
    """Refused connections for 4 s: the state says not saved, nothing more is shown, then all goes on."""
    text = long_text(random.Random(1), 60_000)
    gate = Gate()
    steps = list(events(text, chars=100))
    stream = begin(upstream, [*steps[:40], gate, *steps[40:]])
    reader = watched(stream)
    until(lambda: len(reader.text) == 2000, "the first text")
    redis.kill()
    gate.open()
    until(lambda: not stream.status()["saved"], "not saved")
    assert "cannot be reached" in stream.status()["line"]
    time.sleep(4)
    assert stream.state.live
    assert len(reader.text) == 2000
    redis.start()
    assert stream.wait(15) == "complete"
    check(stream, reader, text, upstream)


def test_a_silent_redis(redis, upstream):
    """Redis stopped for longer than a beat lives: the recorder has lost nothing and goes on, with its hold."""
    text = long_text(random.Random(2), 3000)
    stream = begin(upstream, events(text, pause_s=0.01))
    reader = watched(stream)
    until(lambda: len(reader.text) > 500, "some text")
    redis.pause()
    time.sleep(7)
    assert stream.state.live
    assert not stream.status()["saved"]
    redis.go_on()
    assert stream.wait(20) == "complete"
    assert reader.unsaved_seen
    check(stream, reader, text, upstream)


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_stop_is_stop_while_redis_is_away(redis, upstream, how):
    """The upstream is closed at once; that it was stopped is saved as soon as Redis is back."""
    stream = begin(upstream, [*list(events("some text"))[:-1], Pause(60)])
    until(lambda: stream.text, "the first text")
    redis.kill() if how == "killed" else redis.pause()
    began = time.monotonic()
    threading.Thread(target=stream.stop, daemon=True).start()
    upstream.wait_closed(2.0)
    assert time.monotonic() - began < 2
    redis.start() if how == "killed" else redis.go_on()
    assert stream.wait(20) == "stopped"
    until(lambda: open_store().status(stream.id).close, "the end to be saved", 20)
    assert open_store().status(stream.id).state == "stopped"


@pytest.mark.parametrize("redis", [{}], indirect=True)
def test_a_recorder_ends_where_redis_has_lost_records(redis, upstream):
    """Without appendfsync records are lost: the call is ended, the stream is interrupted, and who has more is told."""
    gates = [Gate(), Gate()]
    steps = list(events("abcdefghi", chars=1))
    stream = begin(upstream, [*steps[:6], gates[0], *steps[6:12], gates[1], *steps[12:]])
    until(lambda: stream.text == "abc", "the beginning")
    with redis.client() as client:
        client.save()
    gates[0].open()
    until(lambda: stream.text == "abcdef", "more")
    redis.kill()
    redis.start()
    gates[1].open()
    until(lambda: not stream.state.live, "the end", 15)
    store = open_store()
    until(lambda: not store.status(stream.id).live, "the stream to be free")
    assert store.status(stream.id).state == "interrupted"
    assert "".join(part.text for part in parts_of(store.log(stream.id))) == "abc"
    assert stream.damage is None or "has lost records" in str(stream.damage)
    with pytest.raises(nbstream.LogDamaged, match="has lost records"):
        stream.log.read(store.status(stream.id).tail)

"""A relay for many users whose store is away for a while. Real processes, real sockets, a real Redis."""

import json

import pytest
from redis_process import RedisProcess
from services import ServiceRelay, lines_of_token, until, upstream

from nbstream.testing import Answer, FaultServer, Gate

READERS = 8


def delta(text, number=1):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


@pytest.fixture
def place(tmp_path):
    """Return a Redis, an upstream and a relay between them, and a token."""
    token, lines = lines_of_token("alice")
    with RedisProcess() as redis, FaultServer() as server:
        files = lines, upstream(f"{server.url}/", key=False)
        with ServiceRelay(tmp_path, files, store=redis.url()) as relay:
            yield redis, server, relay, token


def test_readers_come_back_after_an_outage(place):
    """Their event streams end with `retry:`, what they ask anew goes on behind; the log has one line of it."""
    redis, server, relay, token = place
    gate = Gate()
    server.script([Answer.sse(delta("one"), gate, delta("two", 2), "event: done\ndata: {}\n\n")])
    stream = relay.start(f"{server.url}/x", token=token).json["id"]
    readers = [relay.events(stream, token=token) for _ in range(READERS)]
    for reader in readers:
        reader.read(lambda r: r.text == "one")
    redis.pause()
    for reader in readers:
        while reader.step():
            pass
        assert reader.raw.endswith(b"retry: 1000\n"), reader.raw[-300:]
    assert relay.ask("GET", f"/v1/streams/{stream}/records", token=token).status == 507
    redis.go_on()
    gate.open()
    until(lambda: relay.ask("GET", f"/v1/streams/{stream}", token=token).status == 200)
    again = relay.events(stream, token=token, after=readers[0].last)
    again.read(lambda r: r.text == "two")
    (away,) = relay.lines("store_away")
    assert "Redis" in away["message"]
    assert not relay.lines("error")
    assert {one["level"] for one in relay.lines("request")} <= {"info", "warning"}

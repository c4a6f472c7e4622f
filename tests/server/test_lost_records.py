"""
A Redis that has lost its last records, which others have written anew meanwhile: no reader mixes the two.

A real Redis that is killed, a real relay, and readers that were away.
"""

import asyncio
import json
import re
import threading
from contextlib import aclosing

import pytest
from redis_process import RedisProcess
from services import ServiceRelay, lines_of_token, text_of, until, upstream

from nbstream.relay.address import Address
from nbstream.relay.link.client import RelayClient
from nbstream.relay.link.ways import Timing
from nbstream.testing import Answer, FaultServer, Gate, Pause
from nbstream.wire.sse import SSEParser

KEPT, LOST, ANEW = ("a0 ", "a1 ", "a2 "), ("a3 ", "a4 ", "a5 "), tuple(f"b{n} " for n in range(3, 12))
ALL = "".join(KEPT + ANEW)


def said(texts, begin):
    """Return the steps of an answer that says *texts*, the first with the id *begin*, a record each."""
    for number, text in enumerate(texts, begin):
        yield f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"
        yield Pause(0.05)


class Hub:
    """A relay and its Redis; a stream whose records behind the third word are lost, and written anew by `regrow`."""

    def __init__(self, redis, relay, server, token):
        self.redis, self.relay, self.token = redis, relay, token
        self._gates = Gate(), Gate()
        first = Answer.sse(*said(KEPT, 0), self._gates[0], *said(LOST, 3), self._gates[1], *said(("a6 ",), 6))
        server.script([first, Answer.sse(*said(ANEW, 3), "event: done\ndata: {}\n\n")])
        self.stream = relay.start(f"{server.url}/x", token=token).json["id"]
        self.path = f"/v1/streams/{self.stream}/records"

    def grow(self):
        """Say what will be lost; return the offset and the time of the last record a reader has then."""
        until(lambda: self.text == "".join(KEPT))
        with self.redis.client() as client:
            client.save()
        self._gates[0].open()
        until(lambda: self.text == "".join(KEPT + LOST))
        page = self.page("-1")
        return page["upto"], page["records"][-1]["at"]

    def lose(self):
        """Kill Redis; its writer learns of it."""
        self.redis.kill()
        self.redis.start()
        self._gates[1].open()
        until(lambda: self.relay.state(self.stream, token=self.token) == "interrupted")

    def regrow(self):
        """Go on behind what is left, to the end."""
        until(lambda: self.relay.ask("POST", f"/v1/streams/{self.stream}/resume", {}, token=self.token).json["resumed"])
        until(lambda: self.text == ALL)
        until(lambda: self.relay.state(self.stream, token=self.token) == "complete")

    @property
    def text(self):
        return text_of(self.page("-1")["records"])

    def page(self, after, **more):
        """Return one page."""
        query = "&".join(f"{name}={value}" for name, value in {"after": after, **more}.items())
        answer = self.relay.ask("GET", f"{self.path}?{query}", token=self.token)
        assert answer.status == 200, answer.body
        return answer.json

    def events(self, query, **headers):
        """Return all events of an answer that ends."""
        answer = self.relay.ask(
            "GET", f"{self.path}?{query}", token=self.token, Accept="text/event-stream", **headers
        )  # fmt: skip
        assert answer.status == 200, answer.body
        return [event for event in SSEParser().feed(answer.body) if event.event != "live"]

    def client(self):
        """Return a client as kernels have one."""
        address = Address(self.relay.url, self.token, 0, "", "", "", 0.0, proves=False)
        return RelayClient(address, timing=Timing(waits_s=(0.05,) * 20))


@pytest.fixture
def hub(tmp_path):
    """Return a hub whose Redis loses what it was not told to save."""
    token, lines = lines_of_token("alice", live=40, starts_a_minute=1000)
    with RedisProcess() as redis, FaultServer() as server:
        contents = lines, upstream(f"{server.url}/")
        with ServiceRelay(tmp_path, contents, store=redis.url()) as relay:
            yield Hub(redis, relay, server, token)


def test_a_reader_that_was_away_is_told_what_was_lost(hub):
    """Whoever says which record it has gets everything from the beginning; an offset alone is taken as it is."""
    last, at = hub.grow()
    hub.lose()
    hub.regrow()
    tail = hub.page("-1")["upto"]
    assert tail > last, "the stream has grown past what the reader has"

    page = hub.page(f"{last}@{at}")
    assert (page["after"], text_of(page["records"])) == (-1, ALL)
    assert f"has lost records up to {last}" in page["lost"]
    assert "lost" not in hub.page(last), "nothing breaks for those who say an offset only"
    for n, record in enumerate(hub.page("-1")["records"]):
        same = hub.page(f"{n}@{record['at']}")
        assert (same["after"], "lost" in same, n + len(same["records"])) == (n, False, tail)

    for asked in (hub.events(f"after={last}@{at}"), hub.events("after=0", Last_Event_ID=f"{last}@{at}")):
        assert [event.event for event in asked].count("lost") == 1
        assert (asked[0].event, json.loads(asked[0].data)["after"]) == ("lost", last)
        assert text_of(json.loads(event.data) for event in asked if event.event == "message") == ALL
    assert "lost" not in [event.event for event in hub.events(f"after={last}")]
    for form in ("agent_output", "agui"):
        assert hub.events(f"after={last}@{at}&format={form}")[0].event == "lost"


def test_a_reader_that_has_more_than_is_left_is_told(hub):
    """Before the stream has grown again: with a time it is read anew, an offset alone is refused as ever."""
    last, at = hub.grow()
    hub.lose()
    assert text_of(hub.page(f"{last}@{at}")["records"]) == "".join(KEPT)
    assert hub.relay.ask("GET", f"{hub.path}?after={last}", token=hub.token).status == 400


@pytest.mark.parametrize("form", ["records", "agent_output", "agui"])
def test_ids_that_name_their_record_are_given_back(hub, form):
    """`ids=at`: what any client of events sends back by itself is enough to be told; without it ids stay offsets."""
    hub.grow()
    plain, marked = (
        [event.id for event in self_ended(hub, f"format={form}{more}") if event.id] for more in ("", "&ids=at")
    )
    assert all(name.isdigit() for name in plain)
    assert [name.partition("@")[0] for name in marked] == plain
    assert all(re.fullmatch(r"[0-9]+@[0-9.]+", name) for name in marked)
    hub.lose()
    hub.regrow()
    again = hub.events(f"after=-1&ids=at&format={form}", Last_Event_ID=marked[-1])
    assert again[0].event == "lost"
    assert hub.relay.ask("GET", f"{hub.path}?ids=hash", token=hub.token, Accept="text/event-stream").status == 400


def self_ended(hub, query):
    """Return the events of what is there of a stream that goes on."""
    connection = hub.relay.connection()
    headers = {"Authorization": f"Bearer {hub.token}", "Accept": "text/event-stream"}
    connection.request("GET", f"{hub.path}?after=-1&{query}", headers=headers)
    answer, parser, events = connection.getresponse(), SSEParser(), []
    while LOST[-1] not in "".join(event.data for event in events):
        events += parser.feed(answer.read1(65536))
    connection.close()
    return events


@pytest.mark.parametrize("there", ["all the time", "before and after"])
def test_a_follower_reads_anew_what_was_lost(hub, there):
    """The follower of a relay says once that records were lost; behind that each record comes once, from 0."""
    came, ended = [], threading.Event()

    async def follow(after=-1, at=None):
        async with aclosing(hub.client().follow(hub.stream, after, at=at)) as events:
            async for event in events:
                came.append(event)  # noqa: PERF401 - the test looks at it meanwhile

    if there == "all the time":
        thread = threading.Thread(target=lambda: (asyncio.run(follow()), ended.set()), daemon=True)
        thread.start()
    last, at = hub.grow()
    if there == "all the time":
        until(lambda: came and max(event.offset for event in came) >= last)
    hub.lose()
    hub.regrow()
    if there == "before and after":
        asyncio.run(follow(last, at))
    else:
        assert ended.wait(20), came[-3:]
    (lost,) = [n for n, event in enumerate(came) if event.kind == "lost"]
    assert "lost records" in json.loads(came[lost].data)["message"]
    records = [event for event in came[lost:] if event.kind == "record"]
    assert [event.offset for event in records] == list(range(len(records)))
    assert text_of(json.loads(event.data) for event in records) == ALL


@pytest.mark.parametrize("bad", ["1@", "1@x", "1@1e999", "@1", "-2@1", "1@1@1", "1@nan", "1 @1"])
def test_what_is_no_place_is_refused(hub, bad):
    """One clear line, as for any other bad cursor."""
    answer = hub.relay.ask("GET", f"{hub.path}?after={bad.replace(' ', '%20')}", token=hub.token)
    assert answer.status == 400
    assert "after: an offset is a whole number from -1 on" in answer.json["error"]["message"]

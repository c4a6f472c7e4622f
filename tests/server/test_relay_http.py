"""The relay's HTTP interface: who is let in, what each call answers, how records come."""

import hashlib
import hmac
import json
import re
import threading
import time
from urllib.parse import quote

import pytest
from relay_server import KEY, TOKEN, Relay, Writer, until

from nbstream.errors import Fenced, LogDamaged, RelayError, SourceRefused, StoreFull
from nbstream.log.disk import open_disk_store
from nbstream.log.memory import MemoryStore
from nbstream.records import decode
from nbstream.wire.sse import SSEParser

EVENTS = "/v1/streams/s1/records"
UNKNOWN = {"error": {"type": "StreamGone", "message": "there is no such stream here"}}


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    """Return a store of each kind."""
    store = open_disk_store(tmp_path / "store") if request.param == "disk" else MemoryStore()
    yield store
    store.close()


@pytest.fixture
def disk(tmp_path):
    """Return a store on disk."""
    store = open_disk_store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def relay(disk):
    """Return a relay of the store on disk."""
    with Relay(disk) as relay:
        yield relay


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """Run the relay of `shared`."""
    store = open_disk_store(tmp_path_factory.mktemp("shared"))
    Writer(store).write("text")
    with Relay(store) as relay:
        yield relay
    store.close()


@pytest.fixture
def shared(serving):
    """Return a relay that several tests share, with one live stream, for what changes nothing."""
    serving.service.asked.clear()
    serving.service.error = None
    return serving


# -- who is let in ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
@pytest.mark.parametrize("path", ["/v1/streams", EVENTS, "/metrics", "/v1/streams/s1/watch", "/nowhere"])
def test_without_the_token_nothing_is_said(shared, path, header):
    """No token, a wrong one or another scheme: 401 for every path, there or not."""
    answer = shared.ask("GET", path, token=None, **({"Authorization": header} if header else {}))
    assert answer.status == 401
    assert answer.json["error"]["type"] == "Unauthorized"
    assert answer.getheader("www-authenticate") == "Bearer"


def test_the_scheme_is_not_case_sensitive(shared):
    """`bearer` is `Bearer`, as HTTP says."""
    assert shared.ask("GET", "/v1/streams", token=None, Authorization=f"bearer {TOKEN}").status == 200


@pytest.mark.parametrize("host", ["evil.example:{}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{}", ""])
def test_another_host_name_is_refused(shared, host):
    """A page whose name was rebound to 127.0.0.1 does not reach the relay under that name, token or not."""
    answer = shared.ask("GET", "/healthz", Host=host.format(shared.port))
    assert answer.status == 421
    assert answer.json["error"]["type"] == "MisdirectedRequest"


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}"])
def test_our_own_names_are_let_in(shared, host):
    """127.0.0.1, localhost and [::1] with our port are ours."""
    assert shared.ask("GET", "/v1/streams", Host=host.format(shared.port)).status == 200


def test_a_name_that_was_allowed_is_let_in(disk):
    """With --allow-host a proxy in front may pass requests on under its name, and its page is ours."""
    with Relay(disk, allow_hosts=("hub.example.org",)) as relay:
        name = "hub.example.org"
        assert relay.ask("GET", "/v1/streams", Host=name).status == 200
        assert relay.ask("GET", "/v1/streams", Host=f"{name}:8443", Origin=f"https://{name}:8443").status == 200
        assert relay.ask("GET", "/v1/streams", Host=f"x.{name}").status == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:{}", "http://127.0.0.1:1"])
def test_another_origin_is_refused_and_no_answer_has_cors_headers(shared, origin):
    """A request that another page made is 403; nothing ever allows another page to read."""
    answer = shared.ask("POST", "/v1/streams", {}, Origin=origin.format(shared.port))
    assert answer.status == 403
    assert shared.service.asked == []
    preflight = shared.ask("OPTIONS", "/v1/streams", Origin=origin.format(shared.port))
    assert preflight.status == 403
    own = shared.ask("GET", "/v1/streams", Origin=f"http://127.0.0.1:{shared.port}")
    assert own.status == 200
    for one in (answer, preflight, own):
        assert not [name for name in one.headers if name.lower().startswith("access-control")]
        assert one.getheader("x-content-type-options") == "nosniff"
        assert one.getheader("cache-control") == "no-store"


# -- calls -----------------------------------------------------------------------------------------------------


def test_start_says_whether_a_call_was_started(shared):
    """201 for a new call, 200 for one that was attached to; the body goes to the service as it came."""
    ask = {"source": {"url": "http://127.0.0.1:1/"}, "key": "k"}
    first = shared.ask("POST", "/v1/streams", ask)
    assert (first.status, first.json) == (201, {"id": "s1", "state": "connecting", "offset": 0})
    assert shared.ask("POST", "/v1/streams", {**ask, "attach": True}).status == 200
    assert shared.service.asked == [("start", ask), ("start", {**ask, "attach": True})]


def test_the_buttons_reach_the_service(shared):
    """Stop (with and without an agent), resume and keep are one call each; a body is optional."""
    assert shared.ask("POST", "/v1/streams/s1/stop").status == 200
    assert shared.ask("POST", "/v1/streams/s1/stop", {"agent": "planner"}).json["state"] == "stopped"
    assert shared.ask("POST", "/v1/streams/s1/resume", {"key": "k"}).status == 200
    assert shared.ask("POST", "/v1/streams/s1/keep").status == 200
    assert shared.service.asked == [
        ("stop", "s1", None), ("stop", "s1", "planner"), ("resume", "s1", {"key": "k"}), ("keep", "s1", None),
    ]  # fmt: skip


def test_hold_reaches_the_service(relay, disk):
    """A hold names its holder and its seconds; nothing is held of a stream that is not there."""
    Writer(disk)
    path = "/v1/streams/s1/hold"
    assert relay.ask("PUT", path, {"holder": "kernel-1", "for_s": 45}).json["holders"] == ["kernel-1"]
    assert not relay.service.holders.attended("other")
    assert relay.service.holders.attended("s1")
    assert relay.ask("PUT", path, {"holder": "kernel-1", "for_s": 45, "attended": False}).status == 200
    assert not relay.service.holders.attended("s1")
    assert relay.ask("PUT", path, {"holder": "kernel-1", "for_s": 0, "end": True}).json["holders"] == []
    assert relay.ask("PUT", "/v1/streams/other/hold", {"holder": "kernel-1", "for_s": 45}).json == UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        {}, {"holder": "k"}, {"for_s": 1}, {"holder": "", "for_s": 1}, {"holder": 1, "for_s": 1},
        {"holder": "k", "for_s": "1"}, {"holder": "k", "for_s": True}, {"holder": "k", "for_s": -1},
        {"holder": "k", "for_s": 1e9}, {"holder": "k", "for_s": 1, "end": "yes"}, {"holder": "k" * 300, "for_s": 1},
    ],
)  # fmt: skip
def test_a_hold_that_is_none_is_refused(shared, body):
    """A hold without holder or seconds, or with others than these, is 400."""
    assert shared.ask("PUT", "/v1/streams/s1/hold", body).status == 400


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b"\xff\xfe", b'{"for_s": NaN}', b"[" * 100_000, b'{"agent": 1}']
)
def test_a_body_that_is_none_is_refused(shared, body):
    """What is not a JSON object, or has the wrong types in it, is 400 and reaches nobody."""
    answer = shared.ask("POST", "/v1/streams/s1/stop", body)
    assert answer.status == 400
    assert "\n" not in answer.json["error"]["message"]
    assert shared.service.asked == []


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Fenced("live elsewhere"), 409, "Fenced"),
        (StoreFull("no room"), 507, "StoreFull"),
        (LogDamaged("record 3 is damaged"), 500, "LogDamaged"),
        (SourceRefused("needs OPENAI_API_KEY"), 400, "SourceRefused"),
        (RelayError("64 streams are live", status=429), 429, "TooManyRequests"),
        (ValueError("url: not one"), 400, "BadRequest"),
        (TypeError("url: expected text"), 400, "BadRequest"),
        (RuntimeError("the store is closed"), 500, "InternalError"),
    ],
)
def test_errors_have_their_status_and_one_line_without_a_key(shared, error, status, kind, caplog):
    """Each error of the service has its status; its message is one line, and no key of this process stands in it."""
    error.args = (f"{error}\n(sent with {KEY})",)
    shared.service.error = error
    answer = shared.ask("POST", "/v1/streams", {})
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)
    assert KEY not in answer.body.decode() + caplog.text
    assert "\n" not in answer.json["error"]["message"]
    assert ("Traceback" in caplog.text) == (status == 500 and kind == "InternalError")


def test_a_draining_relay_takes_no_new_calls(disk):
    """While it ends, start and resume are 503; reading, stopping and holding go on."""
    Writer(disk).write("text")
    with Relay(disk, draining=lambda: True) as relay:
        assert relay.ask("POST", "/v1/streams", {}).status == 503
        assert relay.ask("POST", "/v1/streams/s1/resume").status == 503
        assert relay.ask("POST", "/v1/streams/s1/stop").status == 200
        assert relay.ask("GET", EVENTS).json["upto"] == 1


def test_list_describe_delete(relay, disk):
    """Streams are listed and described; one at rest is deleted (204), a live one is not (409)."""
    writer = Writer(disk)
    assert [one["id"] for one in relay.ask("GET", "/v1/streams").json["streams"]] == ["s1"]
    assert relay.ask("GET", "/v1/streams/s1").json["state"] == "streaming"
    live = relay.ask("DELETE", "/v1/streams/s1")
    assert (live.status, live.json["error"]["type"]) == (409, "Fenced")
    writer.close()
    assert relay.ask("DELETE", "/v1/streams/s1").status == 204
    assert relay.ask("GET", "/v1/streams").json == {"streams": []}


def test_unknown_and_malformed_ids_are_answered_alike_gone_ones_not(relay, disk):
    """404 in the same words for an id nobody has and one nobody can have; 410 for a stream this relay has served."""
    for stream in ("nobody", "no%20id", "a" * 200, "%00", "%ff", "..", "s1%27"):
        for method, rest in (("GET", "/records"), ("POST", "/stop"), ("POST", "/ticket"), ("GET", ""), ("DELETE", "")):
            answer = relay.ask(method, f"/v1/streams/{stream}{rest}")
            assert (answer.status, answer.json) == (404, UNKNOWN), (stream, method, rest)
    Writer(disk).close()
    assert relay.ask("GET", "/v1/streams/s1").status == 200
    disk.delete("s1")
    gone = relay.ask("GET", EVENTS)
    assert (gone.status, gone.json["error"]["type"]) == (410, "StreamGone")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/streams", {"GET", "HEAD", "POST"}),
        ("POST", EVENTS, {"GET", "HEAD"}),
        ("GET", "/v1/streams/s1/stop", {"POST"}),
        ("PUT", "/v1/streams/s1", {"GET", "HEAD", "DELETE"}),
    ],
)
def test_another_method_is_told_which_there_are(shared, method, path, allowed):
    """405 names all methods of the path; a path that is none is 404. Both are JSON."""
    answer = shared.ask(method, path)
    assert (answer.status, answer.json["error"]["type"]) == (405, "MethodNotAllowed")
    assert set(answer.getheader("allow").split(", ")) == allowed
    nowhere = shared.ask("GET", f"{path}/nowhere/at/all")
    assert (nowhere.status, nowhere.json["error"]["type"]) == (404, "NotFound")


# -- health ----------------------------------------------------------------------------------------------------


def test_the_relay_proves_that_it_has_the_token(shared):
    """To a nonce, without a token, the answer is its HMAC with token and port, and nothing else is told."""
    nonce = "0123456789abcdef" * 4
    answer = shared.ask("GET", f"/healthz?nonce={nonce}", token=None)
    message = b"nbstream-relay\0" + str(shared.port).encode() + b"\0" + nonce.encode()
    assert answer.json == {"ok": True, "proof": hmac.new(TOKEN.encode(), message, hashlib.sha256).hexdigest()}
    for bad in ("", "abc", "z" * 32, "0" * 200):
        assert shared.ask("GET", f"/healthz?nonce={bad}", token=None).status == 400


def test_health_and_metrics_tell_the_same_numbers(relay, disk):
    """With the token the relay says how it is, as JSON and as Prometheus text."""
    writer = Writer(disk)
    writer.write("text")
    with relay.events(EVENTS) as reader:
        reader.read(until=lambda reader: reader.of("caught_up"))
        health = relay.ask("GET", "/healthz").json
        assert health["ok"] is True
        assert (health["readers"], health["live"], health["protocol"]) == (1, 0, 1)
        assert health["connections"] == 2
        assert health["resident_bytes"] > 1e6
        assert health["log_bytes"] > 1e3
        metrics = relay.ask("GET", "/metrics")
        assert metrics.getheader("content-type").startswith("text/plain; version=0.0.4")
        lines = metrics.body.decode().splitlines()
        assert "nbstream_readers 1" in lines
        assert all(re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{.*\})? [0-9.]+", line) for line in lines)


def test_being_watched_is_no_use(shared):
    """Health and metrics do not keep a relay alive, requests do; a refused one does not."""
    before = shared.activity.last_used
    shared.ask("GET", "/healthz")
    shared.ask("GET", "/metrics")
    shared.ask("GET", "/v1/streams", token="wrong")
    assert shared.activity.last_used == before
    shared.ask("GET", "/v1/streams")
    assert shared.activity.last_used > before


# -- event streams ---------------------------------------------------------------------------------------------


def test_the_bytes_of_an_event_stream(relay, disk):
    """A comment, each record with its offset as id, `caught_up` without an id, live status, the end; nothing else."""
    writer = Writer(disk)
    writer.write("Grüße, \u2028 and\r\n two lines")
    with relay.events(EVENTS) as reader:
        assert reader.answer.getheader("content-type") == "text/event-stream"
        assert reader.answer.getheader("x-accel-buffering") == "no"
        assert reader.answer.getheader("cache-control") == "no-store"
        reader.read(until=lambda reader: reader.of("live"))
        head, body = reader.raw.split(b"\n", 1)
        assert head == b": nbstream"
        blocks = body.decode().split("\n\n")
        assert blocks[0].startswith('id: 0\ndata: {"v":1,"type":"open",')
        assert blocks[1].startswith('id: 1\ndata: {"v":1,"type":"delta",')
        assert blocks[2:] == ['event: caught_up\ndata: {"offset":1}', "event: live\ndata: null", ""]
        writer.close()
        reader.rest()
    assert reader.ids == [0, 1, 2]
    assert reader.events[-1].id == "2"


def test_everything_behind_the_cursor_comes_once_and_in_order(store):
    """From any cursor, what was there and what is written meanwhile come once each, until `close(complete)` ends it."""
    with Relay(store) as relay:
        writer = Writer(store)
        for number in range(40):
            writer.write(f"{number} ")
        with relay.events(EVENTS) as whole, relay.events(f"{EVENTS}?after=38") as part:
            for number in range(40, 80):
                writer.write(f"{number} ")
            writer.close()
            assert whole.rest().ids == list(range(82))
            assert part.rest().ids == list(range(39, 82))
        records = [
            decode(event.data.encode(), stream="s1", offset=0) for event in whole.events if event.event == "message"
        ]
        assert records == store.log("s1").read(-1, limit=1000)


def test_last_event_id_wins_over_after(relay, disk):
    """A browser that reconnects sends both: the URL it was given first, and where it is."""
    writer = Writer(disk)
    for number in range(5):
        writer.write(f"{number}")
    writer.close()
    with relay.events(f"{EVENTS}?after=-1", Last_Event_ID="3") as reader:
        assert reader.rest().ids == [4, 5, 6]
    with relay.events(f"{EVENTS}?after=4", Last_Event_ID="") as reader:
        assert reader.rest().ids == [5, 6]


def test_behind_the_end_there_is_nothing(relay, disk):
    """Who comes back behind `close(complete)` gets 204, which ends an EventSource; behind another close he waits."""
    writer = Writer(disk)
    writer.close("interrupted")
    with relay.events(f"{EVENTS}?after=1") as reader:
        reader.read(until=lambda reader: reader.of("caught_up"))
        assert reader.records == []
    done = Writer(disk, "s2")
    done.close()
    for after in ({"Last_Event_ID": "1"}, {}):
        query = "" if after else "?after=1"
        answer = relay.ask("GET", f"/v1/streams/s2/records{query}", Accept="text/event-stream", **after)
        assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("cursor", ["x", "1.0", "-2", "+1", "1_0", "١", "9" * 30, "2", " 0"])
@pytest.mark.parametrize("by", ["after", "Last-Event-ID"])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_a_bad_cursor_is_refused(shared, cursor, by, accept):
    """What is no offset, or lies behind the end of the log, is 400: silently starting elsewhere would lose text."""
    if by == "after":
        answer = shared.ask("GET", f"{EVENTS}?after={quote(cursor)}", Accept=accept)
    else:
        if not cursor.isascii() or cursor == " 0":
            return  # no header can say it
        answer = shared.ask("GET", EVENTS, Accept=accept, Last_Event_ID=cursor)
    assert (answer.status, answer.json["error"]["type"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("application/json", "application/json"),
        ("application/json, text/event-stream", "application/json"),
        ("text/event-stream;q=0.9, application/json", "text/event-stream"),
        ("*/*", "application/json"),
        (None, "application/json"),
    ],
)
def test_the_client_chooses_the_form(relay, disk, accept, kind):
    """The first form named in Accept is the one; who does not mind gets a page."""
    Writer(disk).close()
    answer = relay.ask("GET", EVENTS, **({"Accept": accept} if accept else {}))
    assert answer.status == 200
    assert answer.getheader("content-type") == kind


def test_a_form_there_is_not_is_refused(shared):
    """406 for a type that is neither, 400 for a format that is none or does not go with the type."""
    assert shared.ask("GET", EVENTS, Accept="text/html").status == 406
    assert shared.ask("GET", f"{EVENTS}?format=xml", Accept="text/event-stream").status == 400
    assert shared.ask("GET", f"{EVENTS}?format=agent_output", Accept="application/json").status == 400


def test_head_tells_the_headers_and_ends(shared):
    """HEAD of a live stream is answered at once, and nobody counts as a reader."""
    answer = shared.ask("HEAD", EVENTS, Accept="text/event-stream")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.getheader("content-type") == "text/event-stream"
    assert shared.activity.readers == 0


def test_pings_come_in_silence_only(disk):
    """A comment after each `ping_s` without a byte, and none while there is text."""
    with Relay(disk, ping_s=0.2) as relay:
        writer = Writer(disk)
        with relay.events(EVENTS) as reader:
            reader.read(until=lambda reader: reader.raw.count(b": ping\n") >= 2)
            before = reader.raw.count(b": ping\n")
            for number in range(30):
                writer.write(f"{number} ")
                reader.read(until=lambda reader, number=number: len(reader.records) == number + 2)
                time.sleep(0.01)  # the pace of the text, shorter than a ping
            assert reader.raw.count(b": ping\n") == before
            reader.read(until=lambda reader: reader.raw.count(b": ping\n") > before)
        assert reader.of("") == []


def test_live_status_follows_its_changes(disk):
    """After `caught_up` the status at once, then each change, but no more than one in `live_s`; the last one comes."""
    with Relay(disk, live_s=0.2) as relay:
        Writer(disk).write("text")
        relay.service.lives["s1"] = {"n": 1, "state": "streaming"}
        with relay.events(EVENTS) as reader:
            reader.read(until=lambda reader: reader.of("live"))
            assert [event.event for event in reader.events] == ["message", "message", "caught_up", "live"]
            began = time.monotonic()
            for number in range(2, 200):
                relay.service.goes("s1", {"n": number, "state": "retrying"})
                time.sleep(0.003)  # faster than they are told
            reader.read(until=lambda reader: reader.of("live")[-1]["n"] == 199)
            told = len(reader.of("live"))
            assert told <= 2 + (time.monotonic() - began) / 0.2
            relay.service.goes("s1", None)
            reader.read(until=lambda reader: reader.of("live")[-1] is None)
            assert len(reader.of("live")) == told + 1


def test_no_longer_live_is_said_behind_the_last_record(disk):
    """Who hears that nothing is recorded any more has had every record before it."""
    with Relay(disk, live_s=0.01) as relay:
        for round_ in range(20):
            stream = f"s{round_}"
            writer = Writer(disk, stream)
            relay.service.lives[stream] = {"n": 1}
            with relay.events(f"/v1/streams/{stream}/records") as reader:
                reader.read(until=lambda reader: reader.of("live"))
                writer.write("text")
                writer.close("interrupted")
                relay.service.goes(stream, None)
                reader.read(until=lambda reader: reader.of("live")[-1] is None)
                assert reader.ids == [0, 1, 2]


def test_a_deleted_stream_says_so_and_ends(relay, disk):
    """Deletion ends a reader with `gone`, so that none waits for ever."""
    writer = Writer(disk)
    writer.close("interrupted")
    with relay.events(EVENTS) as reader:
        reader.read(until=lambda reader: reader.of("caught_up"))
        disk.delete("s1")
        reader.rest()
    assert reader.events[-1].event == "gone"


def test_damage_is_said_and_what_is_before_it_comes(relay, disk):
    """A reader gets everything before a damaged record, and then its place; who asks again there gets an error."""
    import sqlite3

    writer = Writer(disk)
    for number in range(5):
        writer.write(f"{number}")
    with sqlite3.connect(disk.directory / "cache.db") as cache:
        cache.execute("UPDATE Cache SET value = ? WHERE key LIKE 's1/%3'", (b"{",))
    cache.close()
    with relay.events(EVENTS) as reader:
        reader.rest()
    assert reader.ids == [0, 1, 2]
    assert reader.events[-1].event == "damaged"
    assert "record 3 of stream s1" in reader.of("damaged")[0]["message"]
    page = relay.ask("GET", EVENTS)
    assert (page.json["upto"], page.json["complete"]) == (2, False)
    for accept in ("application/json", "text/event-stream"):
        again = relay.ask("GET", f"{EVENTS}?after=2", Accept=accept)
        assert (again.status, again.json["error"]["type"]) == (500, "LogDamaged")
    assert len(relay.ask("GET", f"{EVENTS}?after=3").json["records"]) == 2


def test_a_long_log_comes_in_writes_of_a_limited_size(disk):
    """10 MB are read and sent in batches: memory does not grow with the log, and nothing is missing."""
    with Relay(disk, batch_bytes=64 * 1024) as relay:
        writer = Writer(disk)
        futures = [writer.submit("x" * 16_000) for _ in range(640)]
        futures[-1].result(60)
        writer.close()
        began = time.monotonic()
        with relay.events(EVENTS) as reader:
            reader.step()
            first_s = time.monotonic() - began
            assert reader.rest().ids == list(range(642))
        page = relay.ask("GET", EVENTS)
        assert 1e6 < len(page.body) < 1.1e6
        print(f"first bytes {first_s * 1000:.0f} ms, all {time.monotonic() - began:.2f} s")


def test_one_reader_too_many_is_refused(disk):
    """More readers of one stream than `readers` get 429; another stream, and the next one after an end, do not."""
    with Relay(disk, readers=2) as relay:
        Writer(disk)
        Writer(disk, "s2")
        with relay.events(EVENTS), relay.events(EVENTS) as second:
            refused = relay.ask("GET", EVENTS, Accept="text/event-stream")
            assert (refused.status, refused.json["error"]["type"]) == (429, "TooManyRequests")
            assert relay.ask("GET", f"{EVENTS}?after=0&wait=5").status == 429
            assert relay.ask("GET", EVENTS).status == 200  # it does not wait, so it is no reader
            with relay.events("/v1/streams/s2/records") as other:
                assert other.answer.status == 200
            second.close()
            until(lambda: relay.activity.readers == 1)
            with relay.events(EVENTS) as third:
                assert third.answer.status == 200


# -- who holds a stream ----------------------------------------------------------------------------------------


def test_a_reader_holds_its_stream_while_it_is_connected(disk):
    """A reader without a name holds the stream, without being there for questions, and lets go when it leaves."""
    with Relay(disk, ping_s=0.2) as relay:
        Writer(disk)
        holders = relay.service.holders
        with relay.events(EVENTS) as reader:
            reader.read(until=lambda reader: reader.raw.count(b": ping\n") >= 5)  # longer than one hold
            (name,) = holders.of("s1")
            assert name.startswith("reader:")
            assert not holders.attended("s1")
        until(lambda: not holders.held("s1"), within_s=4)


def test_a_poll_holds_its_stream_until_the_next_may_come(disk):
    """A client that polls holds the stream like one that stays connected."""
    with Relay(disk) as relay:
        Writer(disk)
        relay.ask("GET", EVENTS)
        assert relay.service.holders.held("s1")


def test_a_follower_is_dropped_with_its_last_connection(relay, disk):
    """A kernel that follows two streams is only dropped when both connections broke; one that ended is no break."""
    Writer(disk)
    other = Writer(disk, "s2")
    with relay.events(f"{EVENTS}?holder=kernel-1"):
        with relay.events("/v1/streams/s2/records?holder=kernel-1"):
            pass
        until(lambda: relay.activity.readers == 1)
        assert relay.service.asked == []
        assert relay.service.holders.of("s1") == []  # it says by itself what it holds
    until(lambda: relay.service.asked == [("drop", "kernel-1")])
    with relay.events("/v1/streams/s2/records?holder=kernel-1") as reader:
        other.close()
        reader.rest()
    until(lambda: relay.activity.readers == 0)
    assert relay.service.asked == [("drop", "kernel-1")]


# -- frames ----------------------------------------------------------------------------------------------------


def agents(disk):
    """Write two agents whose pieces share records; return the text of each."""
    writer = Writer(disk)
    for number in range(6):
        writer.write(
            writer.part(f"p{number} ", "planner"),
            writer.part("thinks", "planner", "reasoning"),
            writer.part(f"w{number}🌬️ ", "writer"),
        )
    writer.close()
    texts = {"planner": "", "writer": ""}
    for record in disk.log("s1").read(0, limit=6):
        for part in record.parts:
            texts[part.agent] += part.text if part.kind == "text" else ""
    return texts


def test_frames_are_one_for_each_text(relay, disk):
    """`agent_output` has the frames of the text, `done` with the length in code points, and no other event."""
    texts = agents(disk)
    with relay.events(f"{EVENTS}?format=agent_output") as reader:
        reader.rest()
    frames = reader.records
    assert frames[0] == {"type": "agent_output", "agent": "planner", "content": "p0 ", "sequence": 1}
    assert {agent: "".join(f["content"] for f in frames if f["agent"] == agent) for agent in texts} == texts
    assert [event.event for event in reader.events] == ["message"] * 12 + ["done"]
    assert reader.of("done") == [{"length": sum(map(len, texts.values()))}]
    answer = relay.ask(
        "GET", f"{EVENTS}?format=agent_output", Accept="text/event-stream", Last_Event_ID=reader.events[-1].id
    )
    assert answer.status == 204


def test_a_cut_between_two_frames_of_a_record_loses_nothing(relay, disk):
    """Cut after any byte and asked again with the last id: every frame comes, doubles are told by their sequence."""
    texts = agents(disk)
    with relay.events(f"{EVENTS}?format=agent_output") as reader:
        whole = reader.rest().raw
    seen_cuts = set()
    for cut in range(0, len(whole), 7):
        parser = SSEParser()
        frames = parser.feed(whole[:cut])
        last = parser.last_event_id
        if last not in seen_cuts or cut % 70 == 0:
            seen_cuts.add(last)
            with relay.events(f"{EVENTS}?format=agent_output", Last_Event_ID=last) as again:
                frames = frames + (again.rest().events if again.answer.status == 200 else [])
            heard = {}
            for frame in (json.loads(frame.data) for frame in frames if frame.event == "message"):
                heard.setdefault((frame["agent"], frame["sequence"]), frame["content"])
            got = {agent: "".join(text for (who, _), text in sorted(heard.items()) if who == agent) for agent in texts}
            assert got == texts, cut
            assert json.loads(frames[-1].data) == {"length": sum(map(len, texts.values()))}


# -- pages -----------------------------------------------------------------------------------------------------


def test_a_page_has_records_and_state(store):
    """A page says what it covers and how the stream stands; at most 1000 records, and `complete` at the very end."""
    with Relay(store) as relay:
        writer = Writer(store)
        for future in [writer.submit(f"{number} ") for number in range(1200)]:
            future.result(30)
        relay.service.lives["s1"] = {"n": 7, "state": "streaming"}
        first = relay.ask("GET", EVENTS, Accept="application/json").json
        assert (first["after"], first["upto"], len(first["records"])) == (-1, 999, 1000)
        assert (first["state"], first["live"], first["complete"]) == (
            "streaming",
            {"n": 7, "state": "streaming"},
            False,
        )
        writer.close()
        relay.service.lives.clear()
        second = relay.ask("GET", f"{EVENTS}?after=999").json
        assert (second["upto"], second["complete"], second["state"], second["live"]) == (1201, True, "complete", None)
        records = first["records"] + second["records"]
        assert [record["type"] for record in records] == ["open"] + ["delta"] * 1200 + ["close"]
        behind = relay.ask("GET", f"{EVENTS}?after=1201&wait=30").json
        assert (behind["records"], behind["complete"], behind["upto"]) == ([], True, 1201)


def later(seconds, do):
    """Call *do* after so many seconds."""
    timer = threading.Timer(seconds, do)
    timer.start()
    return timer


def test_a_poll_waits_for_a_record(store):
    """With `wait` the answer comes with the next record, or empty after the time."""
    with Relay(store) as relay:
        writer = Writer(store)
        began = time.monotonic()
        empty = relay.ask("GET", f"{EVENTS}?after=0&wait=0.3").json
        assert 0.3 <= time.monotonic() - began < 2
        assert (empty["records"], empty["upto"], empty["complete"]) == ([], 0, False)
        timer = later(0.1, lambda: writer.write("late"))
        began = time.monotonic()
        page = relay.ask("GET", f"{EVENTS}?after=0&wait=10").json
        assert time.monotonic() - began < 5
        assert page["records"][0]["parts"][0]["text"] == "late"
        timer.join()


def test_a_poll_waits_for_another_live_status(relay, disk):
    """With `live` a status other than the known one ends the wait, its appearing and its end too."""
    Writer(disk)
    path = f"{EVENTS}?after=0&wait=10"
    timer = later(0.1, lambda: relay.service.goes("s1", {"n": 1, "state": "stalled"}))
    assert relay.ask("GET", f"{path}&live=0").json["live"]["state"] == "stalled"
    timer.join()
    assert relay.ask("GET", f"{path}&live=0").json["live"]["n"] == 1  # known to be another: at once
    timer = later(0.1, lambda: relay.service.goes("s1", None))
    assert relay.ask("GET", f"{path}&live=1").json["live"] is None
    timer.join()


def test_a_poll_of_a_stream_that_is_deleted_ends(relay, disk):
    """Deletion ends the wait with 404 or 410, not with an empty page."""
    Writer(disk).close("stopped")
    timer = later(0.1, lambda: disk.delete("s1"))
    assert relay.ask("GET", f"{EVENTS}?after=1&wait=10").status == 410
    timer.join()


@pytest.mark.parametrize("query", ["wait=-1", "wait=31", "wait=x", "wait=nan", "wait=inf", "live=x", "live=-1"])
def test_a_wait_that_is_none_is_refused(shared, query):
    """`wait` is 0 to 30 seconds, `live` a whole number."""
    assert shared.ask("GET", f"{EVENTS}?{query}").status == 400


# -- the watch page --------------------------------------------------------------------------------------------


def test_a_ticket_opens_one_stream_for_reading_and_nothing_else(relay, disk):
    """A ticket is used once for a cookie that no script and no other site can use, and that reads this stream only."""
    Writer(disk).close()
    Writer(disk, "s2").close()
    given = relay.ask("POST", "/v1/streams/s1/ticket").json
    assert given["expires_s"] == 60
    assert TOKEN not in given["url"]
    traded = relay.ask("GET", given["url"], token=None)
    assert (traded.status, traded.getheader("location")) == (303, "/v1/streams/s1/watch")
    cookie, *attributes = traded.getheader("set-cookie").split("; ")
    assert {one.lower() for one in attributes} == {"httponly", "samesite=strict", "path=/v1/streams/s1", "max-age=3600"}
    assert relay.ask("GET", given["url"], token=None).status == 401

    def with_cookie(method, path, **headers):
        return relay.ask(method, path, token=None, Cookie=cookie, **headers).status

    assert with_cookie("GET", EVENTS) == 200
    assert with_cookie("GET", "/v1/streams/s1/watch") == 200
    assert with_cookie("GET", EVENTS, Sec_Fetch_Site="same-origin") == 200
    assert with_cookie("GET", EVENTS, Sec_Fetch_Site="same-site") == 401
    for method, path in [
        ("GET", "/v1/streams/s2/records"), ("GET", "/v1/streams/s2/watch"), ("POST", "/v1/streams/s1/stop"),
        ("GET", "/v1/streams/s1"), ("GET", "/v1/streams"), ("DELETE", "/v1/streams/s1"), ("GET", "/metrics"),
        ("POST", "/v1/streams/s1/ticket"), ("PUT", "/v1/streams/s1/hold"),
    ]:  # fmt: skip
        assert with_cookie(method, path) == 401, (method, path)


def test_a_link_on_another_page_leads_to_the_watch_page(relay, disk):
    """A browser keeps the cookie back behind such a link: the page comes without it, the records do not."""
    Writer(disk).close()
    for path, status in [("/v1/streams/s1/watch", 200), (EVENTS, 401), ("/v1/streams/s1", 401)]:
        assert relay.ask("GET", path, token=None, Sec_Fetch_Site="cross-site").status == status
    assert relay.ask("GET", "/v1/streams/s1/watch", token=None).status == 401
    assert relay.ask("POST", "/v1/streams/s1/watch", token=None, Sec_Fetch_Site="cross-site").status == 401


def test_tickets_and_cookies_end(disk):
    """A ticket that was not used in its time opens nothing, nor does a cookie after its own; nor one for elsewhere."""
    Writer(disk).close()
    Writer(disk, "s2").close()
    with Relay(disk, ticket_s=0.2, cookie_s=0.5) as relay:
        url = relay.ask("POST", "/v1/streams/s1/ticket").json["url"]
        assert relay.ask("GET", url.replace("s1", "s2"), token=None).status == 401
        late = relay.ask("POST", "/v1/streams/s1/ticket").json["url"]
        cookie = relay.ask("GET", relay.ask("POST", "/v1/streams/s1/ticket").json["url"], token=None).getheader(
            "set-cookie"
        )
        assert relay.ask("GET", EVENTS, token=None, Cookie=cookie.split(";")[0]).status == 200
        time.sleep(0.6)
        assert relay.ask("GET", late, token=None).status == 401
        assert relay.ask("GET", EVENTS, token=None, Cookie=cookie.split(";")[0]).status == 401


def test_the_watch_page_trusts_nothing_but_itself(relay, disk):
    """Scripts and styles carry a nonce that is new each time; nothing else is loaded, framed or referred to."""
    Writer(disk).close()
    pages = [relay.ask("GET", "/v1/streams/s1/watch") for _ in range(2)]
    nonces = set()
    for page in pages:
        policy = page.getheader("content-security-policy")
        (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
        nonces.add(nonce)
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.getheader("referrer-policy") == "no-referrer"
        assert page.getheader("x-content-type-options") == "nosniff"
        html = page.body.decode()
        assert html.count(f'nonce="{nonce}"') == 2 == len(re.findall(r"<(?:script|style)\b", html))
        assert "@NONCE@" not in html
        assert "innerHTML" not in html
    assert len(nonces) == 2


# -- the end of the relay --------------------------------------------------------------------------------------


def test_the_end_of_the_relay_ends_its_readers(disk):
    """When the server is told to end, readers and waiting polls get what is there, end properly, and it is quick."""
    writer = Writer(disk)
    with Relay(disk) as relay:
        answers = []
        poll = threading.Thread(target=lambda: answers.append(relay.ask("GET", f"{EVENTS}?after=1&wait=30")))
        with relay.events(EVENTS) as reader:
            writer.write("text")
            reader.read(until=lambda reader: len(reader.records) == 2)
            poll.start()
            until(lambda: relay.activity.readers == 2)
            began = time.monotonic()
            relay.server.should_exit = True
            reader.rest()
            poll.join()
            assert time.monotonic() - began < 2
            assert answers[0].json["records"] == []

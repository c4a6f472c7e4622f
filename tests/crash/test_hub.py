"""
Two relays of one Redis, and readers at both: a relay is SIGKILLed at random moments, Redis goes away under way.

Every stream says numbered words until the test lets it end, at an upstream that goes on behind Last-Event-ID and looks
into the store whenever it is asked: what is saved is not asked for again.
"""

import http.client
import json
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from redis_process import RedisProcess
from services import ServiceRelay, lines_of_token, until, upstream

from nbstream.log.readback import parts_of, records_of
from nbstream.log.redis import open_redis_store
from nbstream.records import encode
from nbstream.testing import Answer, FaultServer, Pause

#: Settings that lose nothing.
ALWAYS = {"appendonly": "yes", "appendfsync": "always"}
DONE = "event: done\ndata: {}\n\n"
EVERY_S = 0.1
#: What one word of the flood takes, and how many there are: more than all buffers on the way hold.
WIDE, FLOOD = 1000, 20_000
#: Readers go on within 8 s (bench/hub.py); a test on a busy machine fails at ten times that.
GOES_ON_S = 80.0


class Upstream:
    """Says `w0 w1 ...`, or as fast as it is taken the words of a flood, until `ending` is set."""

    def __init__(self, server, url):
        self.store = open_redis_store(url)
        self.streams = {}
        #: Path -> how many words were said by the connection that ended the message.
        self.length = {}
        self.said, self.asked = Counter(), []
        self.ending, self.flooding = threading.Event(), threading.Event()
        server.script([], otherwise=self._answer)

    def text(self, path):
        """Return the whole message."""
        return "".join(_word(path, n) for n in range(self.length[path]))

    def saved(self, path):
        """Return how many whole words of the message are in the store."""
        size = WIDE if path == "/flood" else None
        text = "".join(part.text for part in parts_of(self.store.log(self.streams[path])))
        return len(text) // size if size else text.count(" ")

    def _answer(self, request):
        begin = int(request.last_event_id or -1) + 1
        if begin:
            self.asked.append((request.path, begin, self.saved(request.path)))
        return Answer(self._words(request.path, begin), headers={"Content-Type": "text/event-stream"})

    def _words(self, path, n):
        flood = path == "/flood"
        while n < FLOOD if flood else not self.ending.is_set():
            yield f"id: {n}\ndata: {json.dumps({'type': 'delta', 'text': _word(path, n)})}\n\n"
            n += 1
            self.said[path] += 1
            if not flood:
                yield Pause(EVERY_S)
            while flood and not self.flooding.is_set():
                yield Pause(EVERY_S)
        self.length[path] = n
        yield DONE


def _word(path, n):
    return f"{n:{WIDE - 1}d} " if path == "/flood" else f"w{n} "


class Reader(threading.Thread):
    """Reads one stream over SSE all the time; one that is cut goes on behind its last record at another relay."""

    def __init__(self, relays, stream, token):
        super().__init__(daemon=True)
        self.relays, self.stream, self.token = list(relays), stream, token
        self.records, self.error, self.moves = [], None, 0
        #: When something came last, and the longest it had to wait for that.
        self.came, self.longest_s = time.monotonic(), 0.0
        self.over = threading.Event()

    @property
    def complete(self):
        return bool(self.records) and self.records[-1].get("how") == "complete"

    def run(self):
        try:
            while not self.complete and not self.over.is_set():
                try:
                    events = self.relays[0].events(self.stream, token=self.token, after=len(self.records) - 1)
                except (OSError, http.client.HTTPException):
                    events = None  # killed, and not yet there again
                if events is not None:
                    self._follow(events)
                    events.close()
                self.relays.reverse()
                self.moves += 1
                self.over.wait(0.05)
        except Exception as exc:  # noqa: BLE001 - the test tells
            self.error = exc

    def _follow(self, events):
        before = len(self.records)
        while not self.complete and events.step():
            new = events.records[len(self.records) - before :]
            if new:
                now = time.monotonic()
                self.longest_s, self.came = max(self.longest_s, now - self.came), now
                self.records += new
                assert events.last == len(self.records) - 1, "offsets are dense"


class Hub:
    """Two relays of one store with live streams, and a reader of each stream at each relay; a context manager."""

    def __init__(self, place, redis, count, *, flood=False):
        self.place, self.url = place, redis.url()
        self.paths = [f"/{n}" for n in range(count)] + ["/flood"] * flood

    def __enter__(self):
        with ExitStack() as stack:
            self.server = stack.enter_context(FaultServer(max_connections=200, limit_s=3600))
            self.token, lines = lines_of_token("alice", live=100, readers=200, starts_a_minute=1000)
            files = lines, upstream(f"{self.server.url}/")
            self.upstream = Upstream(self.server, self.url)
            stack.callback(self.upstream.store.close)
            self.relays = [stack.enter_context(ServiceRelay(self.place / name, files, store=self.url)) for name in "ab"]
            for number, path in enumerate(self.paths):
                # A notebook each: the calls of one share eight slots.
                began = self.relays[number % 2].start(self.server.url + path, token=self.token, scope=f"book{path}")
                assert began.status == 201, began.body
                self.upstream.streams[path] = began.json["id"]
            self.readers = [
                (path, Reader(order, stream, self.token))
                for path, stream in self.upstream.streams.items()
                for order in (self.relays, self.relays[::-1])
            ]
            for _, reader in self.readers:
                reader.start()
                stack.callback(reader.join)
                stack.callback(reader.over.set)
            self.wait_for_words()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def wait_for_words(self, more=1):
        """Wait until every reader of words has so many more records; return how long that took."""
        began = time.monotonic()
        for reader, have in [(one, len(one.records)) for path, one in self.readers if path != "/flood"]:
            until(lambda one=reader, least=have + more: len(one.records) >= least or one.error, GOES_ON_S)
        return time.monotonic() - began

    def check(self):
        """Let all end: each message whole and once, in the store and at each reader, record by record."""
        self.upstream.ending.set()
        self.upstream.flooding.set()
        for path, reader in self.readers:
            until(lambda one=reader: one.complete or one.error, GOES_ON_S)
            assert reader.error is None, path
        for path, stream in self.upstream.streams.items():
            stored = list(records_of(self.upstream.store.log(stream)))
            text = "".join(part.text for record in stored for part in getattr(record, "parts", ()))
            assert text == self.upstream.text(path), path
            rows = [json.loads(encode(record)) for record in stored]
            for _, reader in [one for one in self.readers if one[0] == path]:
                assert reader.records == rows, path
        for path, begin, saved in self.upstream.asked:
            assert begin == saved, f"{path} was asked for {begin}, and {saved} were saved"


@pytest.fixture
def redis():
    """Return a Redis that loses nothing."""
    with RedisProcess(**ALWAYS) as server:
        yield server


@pytest.mark.timeout(1800)
def test_relays_are_killed_and_nothing_is_lost(tmp_path, redis, soak, seed):
    """A relay is SIGKILLed at random moments and started again: 0 lost, 0 doubled, and all readers go on."""
    choose = random.Random(seed)
    kills = 50 if soak else 3
    with Hub(tmp_path, redis, 20 if soak else 6) as hub:
        for _ in range(kills):
            time.sleep(choose.uniform(0, 2))
            relay = choose.choice(hub.relays)
            relay.kill()
            if choose.random() < 0.5:
                time.sleep(choose.uniform(0, 1.5))
            relay.__enter__()
        hub.check()
        longest = max(reader.longest_s for _, reader in hub.readers)
        moves, taken = sum(reader.moves for _, reader in hub.readers), len(hub.upstream.asked)
        print(f"{kills} kills: {taken} takeovers, {moves} moves, no reader waited longer than {longest:.1f} s")
        assert taken >= kills / 2, "streams died with their relays"
        assert longest < GOES_ON_S


@pytest.mark.timeout(600)
def test_a_relay_that_stands_still_is_taken_over(tmp_path, redis, soak, seed):
    """A machine that sleeps (SIGSTOP) loses its streams to the other; awake again, it writes nothing more to them."""
    choose = random.Random(seed)
    with Hub(tmp_path, redis, 20 if soak else 6) as hub:
        for _ in range(5 if soak else 1):
            still = choose.choice(hub.relays)
            still.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            try:
                for path, reader in hub.readers:
                    tail = hub.upstream.store.log(reader.stream).tail()
                    if reader.relays[0] is not still:
                        until(lambda one=reader, tail=tail: len(one.records) > tail + 2 or one.error, GOES_ON_S)
                        assert reader.error is None, path
                print(f"readers at the other relay went on {time.monotonic() - began:.1f} s after")
            finally:
                still.process.send_signal(signal.SIGCONT)
            hub.wait_for_words()
        hub.check()
        assert len(hub.upstream.asked) >= len(hub.paths) / 2, "nothing was taken over"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["silent", "killed"])
def test_redis_is_away_and_all_goes_on(tmp_path, redis, soak, how):
    """Meanwhile the upstream is paused, and no reader has anything that Redis has not on its disk."""
    away_s = 10 if soak else 4
    with Hub(tmp_path, redis, 20 if soak else 6, flood=True) as hub:
        (redis.pause if how == "silent" else redis.kill)()
        gone = time.monotonic()
        hub.upstream.flooding.set()
        time.sleep(away_s / 2)
        shown, said = [list(reader.records) for _, reader in hub.readers], hub.upstream.said["/flood"]
        with redis.on_disk() as other:
            store = open_redis_store(hub.url.replace(f":{redis.port}/", f":{other.port}/"))
            for (path, reader), records in zip(hub.readers, shown, strict=True):
                rows = [json.loads(encode(record)) for record in records_of(store.log(reader.stream))]
                assert records == rows[: len(records)], path
            store.close()
        time.sleep(max(0.0, gone + away_s - time.monotonic()))
        assert [list(reader.records) for _, reader in hub.readers] == shown
        assert said == hub.upstream.said["/flood"] < FLOOD, "paused: the rest stays where it is"
        (redis.go_on if how == "silent" else redis.start)()
        print(f"{how} for {away_s} s: every reader has new words {hub.wait_for_words():.1f} s after")
        hub.check()

"""A page that was shown records which Redis has lost begins anew and says so, whatever was written in their place."""

import threading

import pytest
from redis_process import RedisProcess

from nbstream.host import Host
from nbstream.log.redis import open_redis_store
from nbstream.recording import Here, Limits
from nbstream.records import Close, Delta, Open, Part
from nbstream.runtime import runtime
from nbstream.stream import Stream
from nbstream.view.session import PageSession

PATIENCE_S = 20


class Page:
    """A page as docs/protocol.md has it: it applies by offset, asks where there is a hole, and keeps what it says."""

    def __init__(self, stream):
        self.have, self.text, self.shown, self.lines, self.begun = -1, "", None, [], 0
        self.state, self.answers = {}, []
        self.heard = True
        self._came = threading.Condition()
        self.session = PageSession(stream, self._take, runtime())
        self.ask()

    def ask(self):
        self.session.request({"type": "ask", "view": "v", "after": self.have})

    def press(self, button):
        """Press a button."""
        self.session.request({"type": button, "view": "v", "agent": None})

    def _take(self, page):
        with self._came:
            if not self.heard:
                return
            if page["type"] != "page":
                self.answers.append(page)
                self._came.notify_all()
                return
            if page["stream"] != self.shown:
                self.have, self.text, self.shown = -1, "", page["stream"]
                self.begun += 1
            self.state |= page["state"]
            if page["after"] > self.have:
                self.ask()
            elif page["upto"] > self.have:
                for part in page["parts"]:
                    if part["off"] > len(self.text):
                        self.ask()
                        return
                    self.text = self.text[: part["off"]] + part["text"]
                self.have = page["upto"]
                if self.have < page.get("tail", -1):
                    self.ask()
            self._came.notify_all()

    def until(self, condition):
        """Wait until *condition* holds."""
        with self._came:
            assert self._came.wait_for(condition, PATIENCE_S), (self.text, self.state)


class Writer:
    """Writes one stream."""

    def __init__(self, log, at=1.0):
        self._log, self.next, self._off, self._at = log, 1, 0, at

    def say(self, *texts):
        for text in texts:
            part = Part("text", text, sequence=self.next, off=self._off)
            self._log.append(self.next, Delta((part,), at=self._at + self.next))
            self.next, self._off = self.next + 1, self._off + len(text)

    def anew(self, offset, off):
        """Go on behind what is left."""
        self.next, self._off, self._at = offset, off, 100.0
        self._log.append(self.next, an_open("resume"))
        self.next += 1

    def close(self):
        self._log.append(self.next, Close("complete", at=self._at + self.next))


def an_open(intent="new"):
    """Return the open of a stream of an address."""
    source = {"kind": "http", "url": "http://127.0.0.1:9/x", "method": "GET"}
    return Open("s1", "k", intent, source, "f", "pid 1", "host", "boot", 0.5)


@pytest.fixture
def redis():
    """Return a Redis that loses what it was not told to save."""
    with RedisProcess() as server:
        yield server


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("grown", [0, 2, 12])
def test_a_page_is_never_mixed(redis, grown, away):
    """However far the stream has grown since: what is shown is what is stored, and the line says what was lost."""
    store = open_redis_store(redis.url())
    host = Host(store, "notebook", lambda _: Here(store, "notebook", Limits()))
    log, lock = store.start(an_open())
    writer = Writer(log)
    page = Page(Stream(host, store.log("s1")))
    try:
        writer.say("a", "b")
        with redis.client() as client:
            client.save()
        writer.say("c", "d", "e", "f")
        page.until(lambda: page.text == "abcdef")
        page.heard = not away
        redis.kill()
        redis.start()
        lock.release()
        lock = store.lock("s1")
        texts = [chr(ord("P") + n) for n in range(grown)]
        if grown:
            writer.anew(3, 2)
            writer.say(*texts)
        page.until(lambda: True)
        page.heard = True
        page.ask()
        page.until(lambda: page.text == "ab" + "".join(texts) and "has lost records 3 to 6" in page.state["line"])
        assert page.begun == 2
        if not grown:
            writer.anew(3, 2)
        writer.say("z")
        writer.close()
        page.until(lambda: page.text == "ab" + "".join(texts) + "z" and page.state["state"] == "complete")
        assert page.begun == 2, "it begins anew once"
        for stream in ("s1", page.shown):  # the old name names nothing any more
            question = {"id": 1, "stream": stream, "agent": "assistant", "kind": "text", "from": 0, "to": 99}
            page.session.request({"type": "read", "view": "v", **question})
        page.until(lambda: page.answers)
        assert [(one["stream"], one["text"]) for one in page.answers] == [("s1~1", page.text)]
    finally:
        page.session.close()
        runtime().close()
        store.close()


def test_a_button_that_goes_on_with_the_same_stream_mixes_nothing(redis):
    """Pressed before anybody has looked: another reader of the stream takes the old one's place, from the beginning."""
    store = open_redis_store(redis.url())
    host = Host(store, "notebook", lambda _: Here(store, "notebook", Limits()))
    log, lock = store.start(an_open())
    writer = Writer(log)
    shown = Stream(host, store.log("s1"))
    page = Page(shown)
    try:
        writer.say("a", "b")
        with redis.client() as client:
            client.save()
        writer.say("c", "d", "e", "f")
        page.until(lambda: page.text == "abcdef")
        page.session._task.cancel()  # nobody looks
        redis.kill()
        redis.start()
        lock.release()
        lock = store.lock("s1")
        writer.anew(3, 2)
        writer.say("P", "Q", "R", "S", "T")
        shown.resume = lambda _: Stream(host, store.log("s1"))
        page.press("resume")
        page.until(lambda: page.text == "abPQRST")
        assert "has lost records 3 to 6" in page.state["line"]
    finally:
        page.session.close()
        runtime().close()
        store.close()

"""What a page is sent: by a real session over real streams, to a page that only writes down what it gets."""

import asyncio
import json
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from sqlite3 import connect

import pytest

from nbstream import words
from nbstream.host import Host
from nbstream.log.disk import open_disk_store
from nbstream.log.memory import MemoryStore
from nbstream.pace import HIDDEN_S, LIVE_BYTES, SILENT_S
from nbstream.recorder.live import Live
from nbstream.recording import Birth, Here, Limits
from nbstream.records import Delta, Open, Part
from nbstream.relay.far import FarRecorder
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.sources.contract import Arrival, End
from nbstream.sources.objects.source import from_object
from nbstream.state import State
from nbstream.stream import Stream
from nbstream.testing import SILENCE, Gate, ScriptedSource
from nbstream.view.audience import GONE_S, HEARD_S
from nbstream.view.session import PageSession

PATIENCE_S = 10


class Page:
    """Writes down every message, and applies pages as docs/protocol.md says, so far as these tests need it."""

    def __init__(self, stream):
        self.messages = []
        self.state = {}
        self._came = threading.Condition()
        self.session = PageSession(stream, self._take, runtime())

    def _take(self, message):
        with self._came:
            self.messages.append(message)
            self.state = {**self.state, **message["state"]}
            self._came.notify_all()

    def send(self, kind, view="v", **fields):
        """Send one request."""
        self.session.request({"type": kind, "view": view, **fields})

    def until(self, condition):
        """Wait until *condition* holds for the messages so far; return the last one."""
        with self._came:
            assert self._came.wait_for(lambda: condition(self), PATIENCE_S), (self.state, self.messages)
            return self.messages[-1]

    def ask(self, after=-1):
        """Ask, and return the answer."""
        before = len(self.messages)
        self.send("ask", after=after)
        self.until(lambda page: any("tail" in one for one in page.messages[before:]))
        return next(one for one in self.messages[before:] if "tail" in one)

    def text(self, stream):
        """Return the text this page shows of *stream*: pages that leave a hole are not shown."""
        have, text = -1, ""
        for message in self.messages:
            if message["stream"] == stream and message["after"] <= have < message["upto"]:
                for part in message["parts"]:
                    text = text[: part["off"]] + part["text"] if part["kind"] == "text" else text
                have = message["upto"]
        return text

    @property
    def at_work(self):
        """Whether the session still looks for news."""
        return not self.session._task.done()


class HeldLog:
    """A log whose next read stands still until `go` is set; everything else is the log's own."""

    def __init__(self, log):
        self._log = log
        self.reached, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._log, name)

    def read(self, after=-1, *, limit=1000):
        self.reached.set()
        assert self.go.wait(PATIENCE_S)
        return self._log.read(after, limit=limit)


@pytest.fixture
def store():
    """Return the store of this test's streams."""
    store = MemoryStore()
    yield store
    runtime().close()
    store.close()


@pytest.fixture
def complaints(store):
    """Return what the loop reports, an exception that nobody took for instance; there may be none at the end."""
    seen = []
    runtime().loop.set_exception_handler(lambda _, context: seen.append(context))
    yield seen
    assert not seen


def hosted(store, limits=None):
    """Return the host of a notebook."""
    return Host(store, "notebook", lambda _: Here(store, "notebook", limits or Limits()))


def start(store, *scripts, limits=None, **traits):
    """Start a stream as a cell does."""
    host = hosted(store, limits)
    return host.launch(ScriptedSource(*scripts, **traits), json.dumps(["notebook", "cell:1", None]), Ask("scripted"))


def elsewhere(store, stream="s1"):
    """Return a stream that another process records, and the lock that process holds."""
    first = Open(stream, json.dumps(["n", "c", None]), "new", {"kind": "scripted"}, "scripted", "pid 1", "h", "b", 1.0)
    lock = store.start(first).lock
    return Stream(hosted(store), store.log(stream)), lock


def test_a_page_gets_the_text_and_the_end(store, complaints):
    """An answer to `ask` says all there is, live pages go on behind it, and the last state is at rest."""
    gate = Gate()
    stream = start(store, ["one ", gate, "two", End()])
    gate.wait()
    page = Page(stream)
    assert page.ask()["stream"] == stream.id
    gate.open()
    page.until(lambda page: page.state["state"] == "complete")
    assert page.text(stream.id) == "one two"


def test_an_ask_in_flight_while_regenerate_switches(store, complaints):
    """What was read of the old stream is never sent as the new one's; the ask is answered with the new stream."""
    stream = start(store, ["the old answer ", "in some records", End()], ["new", End()])
    stream.wait(PATIENCE_S)
    page = Page(stream)
    stream._log = held = HeldLog(stream.log)
    page.send("ask", after=-1)
    assert held.reached.wait(PATIENCE_S)
    page.send("regenerate", agent=None)
    page.until(lambda page: page.session.stream is not stream and page.text(page.session.stream.id) == "new")
    held.go.set()
    answer = page.until(lambda page: "tail" in page.messages[-1])
    new = page.session.stream
    assert {message["stream"] for message in page.messages} == {new.id}
    assert "".join(part.get("text", "") for part in answer["parts"]) == "new"
    assert page.text(new.id) == "new"
    page.until(lambda page: page.state["state"] == "complete")


def test_an_ask_sent_before_the_page_knew_of_the_new_stream(store, complaints):
    """A record number of the old, longer stream does not move the place in the new one: nothing of it is skipped."""
    gate = Gate()
    stream = start(store, [*"a long old answer", End()], ["one ", gate, "two", End()])
    stream.wait(PATIENCE_S)
    page = Page(stream)
    assert page.ask()["upto"] > 0
    page.send("regenerate", agent=None)
    gate.wait()
    page.until(lambda page: page.session.stream is not stream and page.text(page.session.stream.id) == "one ")
    page.ask(after=500)
    gate.open()
    page.until(lambda page: page.state["state"] == "complete")
    assert page.text(page.session.stream.id) == "one two"


def test_turning_to_an_earlier_answer_and_back(store, complaints):
    """Regenerate keeps the old answer; a page turns to it and back, and there nothing else can be done."""
    source = ScriptedSource(["first", End()], ["second", End()], ["third", End()])
    stream = hosted(store).launch(source, json.dumps(["notebook", "cell:1", None]), Ask("scripted"))
    stream.wait(PATIENCE_S)
    page = Page(stream)
    assert page.ask()["state"]["answers"] == [1, 1]
    for number, text in enumerate(("second", "third"), 2):
        old = page.session.stream
        page.send("regenerate", agent=None)
        page.until(lambda page: page.session.stream is not old)  # noqa: B023
        page.until(lambda page: page.text(page.session.stream.id) == text and page.state["state"] == "complete")  # noqa: B023
        assert page.state["answers"] == [number, number]
    newest = page.session.stream
    for at, text in ((2, "second"), (1, "first"), (3, "third")):
        page.send("turn", answer=at)
        page.until(lambda page: page.state["answers"] == [at, 3] and page.text(page.session.stream.id) == text)  # noqa: B023
        assert ("regenerate" in page.state["actions"]) is (at == 3)
        assert ("Regenerate" in page.state["line"]) is (at == 3)
    assert page.session.stream.id == newest.id
    page.send("turn", answer=4)
    page.ask()
    assert page.session.stream.id == newest.id

    again = Page(Stream(newest._host, store.log(newest.id), from_store=True))  # a reloaded page, a new kernel
    assert again.ask()["state"]["answers"] == [3, 3]
    store.delete(stream.id)
    assert Page(newest).ask()["state"]["answers"] == [2, 2]
    assert len(source.connections) == 3


def test_regenerate_pressed_twice_is_one_new_call(store, complaints):
    """A second click while the first is at work makes no second call."""
    source = ScriptedSource(["old", End()], ["new", SILENCE], ["newer", SILENCE])
    host = hosted(store)
    stream = host.launch(source, json.dumps(["notebook", "cell:1", None]), Ask("scripted"))
    stream.wait(PATIENCE_S)
    page = Page(stream)
    page.ask()

    def twice():
        for _ in range(2):
            page.send("regenerate", agent=None)

    runtime().call(twice)  # on the loop: the first cannot be over before the second is there
    page.until(lambda page: page.session.stream is not stream and page.text(page.session.stream.id) == "new")
    assert len(source.connections) == 2
    assert len(store.list()) == 2


def test_pages_end_at_a_damaged_record(tmp_path):
    """The page gets what is before the damage and a line that names it; it is told no tail that it cannot reach."""
    store = open_disk_store(tmp_path / "store")
    gates = [Gate() for _ in range(6)]
    stream = start(store, [step for n, gate in enumerate(gates) for step in (f"piece {n} ", gate)] + [End()])
    for n, gate in enumerate(gates):
        gate.wait()
        stream.log.wait(n, PATIENCE_S)  # each piece a record
        gate.open()
    stream.wait(PATIENCE_S)
    with closing(connect(store.directory / "cache.db")) as database, database:
        database.execute("UPDATE Cache SET value = ? WHERE key = ?", (b"garbage", f"{stream.id}/{4:010d}"))
    page = Page(hosted(store).open(stream.id))
    answer = page.ask()
    assert (answer["upto"], answer["tail"], answer["state"]["offset"]) == (3, 3, 3)
    assert page.text(stream.id) == "piece 0 piece 1 piece 2 "
    assert f"record 4 of stream {stream.id} is damaged" in page.state["line"]
    assert page.state["line"].count("is damaged") == 1
    assert page.state["lost"] == ""
    page.send("ack", offset=3, ms=1)
    again = page.ask(after=3)
    assert (again["after"], again["upto"], again["tail"]) == (3, 3, 3)
    assert page.at_work
    runtime().close()
    store.close()


def test_a_live_stream_with_a_damaged_record_says_so(store, complaints):
    """The recorder here goes on and knows nothing of the damage; the page says all the same why its text ends."""
    gate = Gate()
    stream = start(store, ["one ", gate, "two ", SILENCE])
    gate.wait()
    page = Page(stream)
    shown = page.ask()["upto"]
    gate.open()
    page.until(lambda page: page.text(stream.id) == "one two ")
    store._shelf.streams[stream.id].records[shown + 1] = b"garbage"
    answer = page.ask(after=shown)
    assert (answer["upto"], answer["tail"], answer["state"]["offset"]) == (shown, shown, shown)
    assert page.state["state"] == "streaming"
    assert f"record {shown + 1} of stream {stream.id} is damaged" in page.state["line"]
    assert page.at_work


@pytest.mark.parametrize("how", ["complete", "recorded elsewhere"])
def test_a_deleted_stream_is_named(store, complaints, how):
    """No page says "streaming" of a stream that is not there any more: it says so and what to do, and asks no more."""
    if how == "complete":
        stream, lock = start(store, ["text", End()]), None
        stream.wait(PATIENCE_S)
    else:
        stream, lock = elsewhere(store)
    page = Page(stream)
    upto = page.ask()["upto"]
    if lock is not None:
        assert page.state["state"] == "streaming"
        lock.release()
    store.delete(stream.id)
    message = page.until(lambda page: "deleted" in page.state["line"])
    assert message["parts"] == []
    assert "run the cell again" in page.state["line"]
    assert not State(page.state["state"]).live
    assert (page.state["state"] == "complete") == (how == "complete")
    assert page.state["actions"] == []
    answer = page.ask(after=upto)
    assert (answer["upto"], answer["tail"]) == (upto, -1)
    assert page.at_work


class TimedOutStore(MemoryStore):
    """A store that does not get a stop row written in time."""

    failure: Exception = TimeoutError()

    def request_stop(self, stream, *, opened, agent=None):
        future = Future()
        future.set_exception(self.failure)
        return future


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (TimeoutError(), "stop: no answer in time, press it again"),
        (OSError("two\nlines"), "stop: OSError: two lines"),
    ],
)
def test_a_button_that_fails_says_so(complaints, failure, says):
    """Whatever an action raises is one line in the state; the page stays in touch."""
    store = TimedOutStore()
    store.failure = failure
    stream, _ = elsewhere(store)
    page = Page(stream)
    page.ask()
    page.send("stop", agent=None)
    page.until(lambda page: page.state["line"].endswith(f" · {says}"))
    assert page.at_work
    runtime().close()
    store.close()


def test_a_view_that_is_silent_attends_no_longer(store, complaints):
    """A crashed tab says no `bye`: once nobody was heard for long, a stall is cut; `here` keeps it waiting."""
    stream = start(store, ["text", SILENCE], limits=Limits(0.2, 0.2), replayable=True)
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.state["state"] == "stalled")
    page.session.audience._views["v"].heard_at -= HEARD_S + 1
    page.send("here")
    time.sleep(1)  # far beyond the silence after which nobody is asked any more
    assert stream.state is State.STALLED
    page.session.audience._views["v"].heard_at -= HEARD_S + 1
    assert stream.wait(PATIENCE_S) is State.INTERRUPTED
    page.until(lambda page: page.state["state"] == "interrupted")
    assert "nobody was there" in page.state["line"]


def test_views_come_and_go(store, complaints):
    """One view that is there is enough, `bye` ends it at once, and a view that comes back counts again."""
    stream = start(store, ["text", SILENCE])
    page = Page(stream)
    page.ask()
    assert runtime().attended(stream.id)
    page.send("here", view="w")
    page.send("bye")
    page.ask(after=0)
    page.send("bye")
    page.send("bye", view="w")
    runtime().submit(_turn()).result(PATIENCE_S)
    assert not runtime().attended(stream.id)
    page.send("here")
    runtime().submit(_turn()).result(PATIENCE_S)
    assert runtime().attended(stream.id)
    page.session.close()
    runtime().submit(_turn()).result(PATIENCE_S)
    assert not runtime().attended(stream.id)


def test_a_session_closed_while_news_come_is_closed(store, complaints):
    """`close` holds in the very moment in which there is something to send, too; nothing is sent after it."""
    stream, _ = elsewhere(store)
    page = Page(stream)
    page.ask()

    async def both():
        while not page.session._news._waiters:  # noqa: ASYNC110 - still at work with the `ask`
            await asyncio.sleep(0.001)
        page.session._news.set()
        page.session.close()

    runtime().submit(both()).result(PATIENCE_S)
    runtime().submit(_turn()).result(PATIENCE_S)
    assert not runtime().attended(stream.id)


def test_a_relays_state_does_not_lag_behind_its_text(store, complaints):
    """A relay tells its status five times a second; text that is here already is no longer "connecting"."""
    stream, lock = elsewhere(store)
    told = {**Live().to_json(0.0), "chars": 0, "offset": 0, "resumable": True, "repeatable": True}
    runtime().call(lambda: runtime().appoint(stream.id, FarRecorder(told, lambda _: None)))
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.state["state"] == "connecting")
    stream.log.append(1, Delta(parts=(Part("text", "first", sequence=1),), at=1.0))
    page.until(lambda page: page.text(stream.id) == "first")
    assert page.state["state"] == "streaming"
    stream.log.append(2, replace(first_record(stream), intent="resume"))
    assert stream.facts().state == "connecting", "a resumed call connects anew"
    lock.release()


def first_record(stream):
    """Return the `open` of a stream."""
    (first,) = stream.log.read(-1, limit=1)
    return first


def test_the_page_holds_what_to_say_when_the_kernel_is_gone(store, complaints):
    """`lost` is the sentence of `words`, in every answer; it holds no counters, so that live pages seldom carry it."""
    gate = Gate()
    stream = start(store, [Arrival(), "one", gate, *"two three", SILENCE])
    gate.wait()
    page = Page(stream)
    assert page.ask()["state"]["lost"] == words.lost_line(stream.facts())
    before = len(page.messages)
    gate.open()
    page.until(lambda page: page.text(stream.id) == "onetwo three")
    assert not any("lost" in message["state"] for message in page.messages[before:])


def test_the_page_holds_how_the_message_ended(store, complaints):
    """`ended` is empty while text may come, and then the line as it stands without a kernel; `kept` is the reverse."""
    gate = Gate()
    stream = start(store, [Arrival(), "one", gate, "two", SILENCE])
    gate.wait()
    page = Page(stream)
    said = page.ask()["state"]
    assert (said["ended"], said["shut"]) == ("", "")
    gate.open()
    page.until(lambda page: page.text(stream.id) == "onetwo")
    stream.stop()
    page.until(lambda page: page.state["state"] == "stopped")
    assert page.state["ended"] == words.ended_line(stream.facts())
    assert page.state["ended"].startswith("stopped by you")


@pytest.mark.parametrize(("finish", "short"), [("length", True), ("stop", False)])
def test_the_page_learns_that_the_token_limit_cut_the_answer_off(store, complaints, finish, short):
    """Complete it is, but not to its end: the page marks it."""
    stream = start(store, ["one", End(finish)])
    stream.wait(PATIENCE_S)
    assert Page(stream).ask()["state"]["short"] is short


def test_the_interval_and_why(store, complaints):
    """The runtime says how often a page of the stream is sent to, and why; without a page there is none."""
    stream = start(store, ["text", SILENCE])
    assert runtime().page_interval(stream.id) == (None, "no page shows it")
    page = Page(stream)
    upto = page.ask()["upto"]
    assert runtime().page_interval(stream.id) == (0.14, "the shortest")
    page.send("ack", offset=upto, ms=100)
    page.ask(after=upto)
    assert runtime().page_interval(stream.id) == (0.5, "5 x 100 ms to paint")
    page.send("ack", offset=upto, ms=900)
    page.ask(after=upto)
    assert runtime().page_interval(stream.id) == (1.0, "the longest: 900 ms to paint")


def test_the_first_text_does_not_wait_for_its_turn(store, complaints):
    """The empty answer to a page that looks early begins no interval (a second, in a hidden tab)."""
    gate = threading.Event()

    def tokens():
        gate.wait(PATIENCE_S)
        yield "first "
        gate.clear()
        gate.wait(PATIENCE_S)

    stream = Stream(
        hosted(store), store.log(Here(store, "notebook", Limits()).begin(from_object(tokens()), Birth("k")))
    )
    page = Page(stream)
    page.send("ask", after=-1, hidden=True)
    page.until(lambda page: any("tail" in message for message in page.messages))
    gate.set()
    began = time.monotonic()
    page.until(lambda page: page.text(stream.id) == "first ")
    took_s = time.monotonic() - began
    gate.set()
    assert took_s < HIDDEN_S / 2


def test_a_tab_that_is_hidden_and_seen_again(store, complaints):
    """A hidden tab is told once a second, and at once again when it is seen; status and the page say why."""
    stream = start(store, ["text", SILENCE])
    page = Page(stream)
    upto = page.ask()["upto"]
    page.send("ask", after=upto, hidden=True)
    page.until(lambda page: page.state["pace"] == "a page every 1 s: tab hidden")
    assert stream.status()["page_interval_s"] == 1.0
    assert stream.status()["page_interval_why"] == "tab hidden"
    page.send("here")
    page.ask(after=upto)
    assert stream.status()["page_interval_why"] == "the shortest"


def test_a_second_view_that_is_faster_sets_the_pace(store, complaints):
    """The pace follows the view that can take most: the others fill their holes by asking."""
    stream = start(store, ["text", SILENCE])
    page = Page(stream)
    page.send("ask", view="slow", after=-1, net="2g")
    page.ask()
    assert runtime().page_interval(stream.id) == (0.14, "the shortest")
    page.send("bye")
    page.send("ask", view="slow", after=-1, net="2g")
    page.until(lambda page: "2g connection" in page.state["pace"])
    assert runtime().page_interval(stream.id) == (0.6, "2g connection")


def test_where_only_pages_look_tokens_are_gathered(store, complaints):
    """At reading speed several tokens make one record, as long as nobody reads record by record."""
    pieces, gate = 100, threading.Event()

    def tokens():
        yield "begin "
        gate.wait(PATIENCE_S)
        for n in range(pieces):
            time.sleep(0.01)
            yield f"{n} "

    stream = Stream(
        hosted(store), store.log(Here(store, "notebook", Limits()).begin(from_object(tokens()), Birth("k")))
    )
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.text(stream.id))
    assert runtime().unhurried(stream.id)
    end = stream.hold("reader")
    assert not runtime().unhurried(stream.id)
    end()
    gate.set()
    assert stream.wait(PATIENCE_S) == "complete"
    assert stream.text == "begin " + "".join(f"{n} " for n in range(pieces))
    assert stream.offset < pieces / 2
    page.until(lambda page: page.text(stream.id) == stream.text)


def test_a_page_that_never_acknowledges_does_not_stop_the_recording(store, complaints):
    """The recording goes on to its end; the page is sent what two pages hold, then one page a second."""
    text = "0123456789abcdef" * 65_536
    stream = start(store, [text[at : at + 4096] for at in range(0, len(text), 4096)] + [End()])
    page = Page(stream)
    page.session._upto = 0  # the answer to its `ask` would be most of it
    page.send("here")
    assert stream.wait(PATIENCE_S) == "complete"
    assert stream.text == text

    def pages(page):
        return [one for one in page.messages if one["upto"] > one["after"]]

    def sent(page):
        return sum(len(part["text"]) for one in pages(page) for part in one["parts"])

    page.until(lambda page: sent(page) >= 2 * LIVE_BYTES)
    began, before = time.monotonic(), len(pages(page))
    assert before <= 3
    page.until(lambda page: len(pages(page)) == before + 2)
    assert time.monotonic() - began > 1.5 * SILENT_S
    assert stream.status()["page_interval_why"] == "waiting for the page to paint what it has"
    page.session.close()


def test_a_closed_session_ends_its_answers(store, complaints):
    """What a page asked just before it went is not read to the end for nobody, and nothing is said any more."""
    stream = start(store, ["text", End()])
    stream.wait(PATIENCE_S)
    page = Page(stream)
    stream._log = held = HeldLog(stream.log)
    page.send("ask", after=-1)
    assert held.reached.wait(PATIENCE_S)
    page.session.close()
    runtime().submit(_turn()).result(PATIENCE_S)
    assert not page.session._answering
    held.go.set()
    runtime().submit(_turn()).result(PATIENCE_S)
    assert not page.messages


def test_a_stop_right_before_the_page_goes_is_a_stop(store, complaints):
    """Closing the view does not take back what was pressed in it."""
    stream = start(store, ["text", SILENCE])
    page = Page(stream)
    page.ask()
    page.send("stop", agent=None)
    page.session.close()
    assert stream.wait(PATIENCE_S) == "stopped"


async def _turn():
    """Let the loop take what was sent before, and what follows from it."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_an_ack_behind_the_goodbye_brings_nobody_back(store, complaints):
    """A page that is closed may still acknowledge what it painted: it holds its stream no longer."""
    stream = start(store, ["text", SILENCE])
    page = Page(stream)
    page.ask()
    page.until(lambda page: page.text(stream.id) == "text")
    page.send("bye")
    page.send("ack", offset=1, ms=1)
    runtime().submit(_turn()).result(PATIENCE_S)
    assert not runtime().attended(stream.id)
    page.session.audience._expected_until = 0.0
    assert not runtime().held(stream.id)
    page.ask(after=1)
    runtime().submit(_turn()).result(PATIENCE_S)
    assert runtime().attended(stream.id)


def later(page, seconds):
    """Let *seconds* pass for those who look."""
    page.session.audience._clock = lambda: time.monotonic() + seconds


def test_a_view_at_rest_is_there_when_its_stream_goes_on(store, complaints):
    """Long after an interrupt `resume()` in another cell brings page after page: at rest nobody says `here`."""
    gates = [Gate(), Gate()]
    second = ["one ", "two ", gates[0], "three ", gates[1], "four", End()]
    stream = start(store, ["one ", SILENCE], second, replayable=True)
    page = Page(stream)
    page.ask()
    stream.stop()
    upto = page.until(lambda page: page.state["state"] == "stopped")["upto"]
    page.send("ack", offset=upto, ms=1)
    runtime().submit(_turn()).result(PATIENCE_S)
    later(page, 2 * GONE_S)
    stream.resume()
    for gate, text in zip(gates, ("one two ", "one two three "), strict=True):
        page.until(lambda page, text=text: page.text(stream.id).startswith(text))
        gate.open()
    page.until(lambda page: page.state["state"] == "complete")
    assert page.text(stream.id) == "one two three four"


def test_a_view_that_leaves_its_pages_unanswered_is_gone_until_it_is_heard(store, complaints):
    """A crashed tab costs two minutes of pages; a frozen one that wakes up is there again with its first word."""
    gates = [Gate(), Gate()]
    stream = start(store, ["one ", gates[0], "two ", gates[1], "three ", SILENCE])
    page = Page(stream)
    page.ask()
    gates[0].wait()
    gates[0].open()
    page.until(lambda page: page.text(stream.id) == "one two ")
    later(page, GONE_S + 1)
    page.session.audience._views["v"].unanswered_at = time.monotonic()  # a live page, or the answer had it all
    assert runtime().page_interval(stream.id) == (None, "no page shows it")
    before = len(page.messages)
    gates[1].open()
    stream.log.wait(stream.offset, 0.5)
    assert len(page.messages) == before
    page.send("ack", offset=0, ms=1)
    page.until(lambda page: page.text(stream.id) == "one two three ")


def test_a_page_that_lost_the_last_message_learns_it_with_its_next_here(store, complaints):
    """`here` with the last record held is answered like an ask when more was sent, or the stream is at rest."""
    stream = start(store, ["one ", "two", End()])
    stream.wait(PATIENCE_S)
    page = Page(stream)
    tail = page.ask()["upto"]
    for have, text in ((0, "one two"), (tail, "")):
        before = len(page.messages)
        page.send("here", stream=stream.id, have=have)
        answer = page.until(lambda page, before=before: len(page.messages) > before)
        assert (answer["after"], answer["tail"], answer["state"]["state"]) == (have, tail, "complete")
        assert "".join(part.get("text", "") for part in answer["parts"]) == text
    before = len(page.messages)
    page.send("here", stream="another", have=500)
    assert page.until(lambda page: len(page.messages) > before)["after"] == -1, "it missed a switch"


def test_a_here_while_text_streams_is_not_answered(store, complaints):
    """A page that holds what was sent is sent nothing twice: live pages come by themselves."""
    stream = start(store, ["one ", SILENCE])
    page = Page(stream)
    page.ask()
    upto = page.until(lambda page: page.text(stream.id) == "one ")["upto"]

    def answers():
        return [message for message in page.messages if "tail" in message]

    before = len(answers())
    page.send("here", stream=stream.id, have=upto)
    page.ask(after=upto)
    assert len(answers()) == before + 1
    page.send("here", stream=stream.id, have=0)
    page.until(lambda page: len(answers()) == before + 2)
    assert (answers()[-1]["after"], answers()[-1]["upto"]) == (0, upto)


def test_a_shorter_new_answer_does_not_count_as_painted_unseen(store, complaints):
    """Acks of the old stream, before and behind Regenerate, say nothing of the new one: only its own end does."""
    stream = start(store, [*"a long old answer", End()], ["new", End()])
    stream.wait(PATIENCE_S)
    page = Page(stream)
    old = page.ask()["upto"]
    page.send("ack", stream=stream.id, offset=old, ms=1)
    page.send("regenerate", agent=None)
    page.until(lambda page: page.session.stream is not stream and page.state["state"] == "complete")
    new = page.session.stream
    page.send("ack", stream=stream.id, offset=old, ms=1)
    upto = page.ask()["upto"]
    assert runtime().was_painted(stream.id)
    assert not runtime().was_painted(new.id)
    page.send("ack", stream=new.id, offset=upto, ms=1)
    runtime().submit(_turn()).result(PATIENCE_S)
    assert runtime().was_painted(new.id)

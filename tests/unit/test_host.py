"""The kernel as host: what follows a stop, damage, an older answer, and what is kept in memory for it."""

import contextlib
import json
import sqlite3
import threading
import time

import pytest

from nbstream.errors import Fenced, LogDamaged, SourceRefused
from nbstream.host import KEPT, Host
from nbstream.log.disk import open_disk_store
from nbstream.log.memory import MemoryStore
from nbstream.recording import Here, Limits
from nbstream.records import Close, Open
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.sources.contract import End
from nbstream.testing import SILENCE, ScriptedSource

KEY = json.dumps(["/a.ipynb", "cell:1", 0])
ASK = Ask("scripted")
FRESH = Ask("scripted", fresh=True)
#: Races are run this often.
ROUNDS = 15


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    """Return an empty store of each kind."""
    made = MemoryStore() if request.param == "memory" else open_disk_store(tmp_path / "store")
    yield made
    runtime().close()
    made.close()


@pytest.fixture
def disk(tmp_path):
    """Return an empty store on disk."""
    made = open_disk_store(tmp_path / "store")
    yield made
    runtime().close()
    made.close()


def hosted(store):
    """Return the host of a notebook."""
    return Host(store, "/a.ipynb", lambda _: Here(store, "/a.ipynb", Limits()))


def until(true, within_s=5.0):
    """Wait until *true()*."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def begun(host, source, ask=ASK, text="one "):
    """Launch *source* and wait for its first text."""
    stream = host.launch(source, KEY, ask)
    until(lambda: stream.text == text)
    return stream


def silent(*more, **options):
    """Return a source that says "one " and no more; the connections behind it say *more*."""
    return ScriptedSource(["one ", SILENCE], *more, **options)


# Behind a stop


def test_resume_right_behind_a_stop_resumes(store):
    """`stop()` and at once `resume()`: the call is closed, then made again, and the message completes."""
    host = hosted(store)
    for _ in range(ROUNDS):
        source = silent(["one ", "two", End()], replayable=True)
        stream = begun(host, source, FRESH)
        stream.stop()
        again = stream.resume()
        assert again.wait(5) == "complete"
        assert (again.id, again.text) == (stream.id, "one two")
        assert len(source.connections) == 2


def test_running_again_right_behind_a_stop_asks_anew(store):
    """`stop()` and at once the cell again: stopped, so it is a new stream, and the old one stays stopped."""
    host = hosted(store)
    for _ in range(ROUNDS):
        old = begun(host, silent(), FRESH)
        old.stop()
        new = host.launch(ScriptedSource(["new", End()]), KEY, ASK)
        assert new.wait(5) == "complete"
        assert new.id != old.id
        assert new.text == "new"
        assert old.state == "stopped"


def test_running_again_right_behind_a_failure_resumes(store):
    """The cell again in the moment in which `close(failed)` can be read: its writer has let go before we look."""
    host = hosted(store)
    for _ in range(ROUNDS):
        source = ScriptedSource(["one ", SourceRefused("no")], ["one ", "two", End()], replayable=True)
        stream = host.launch(source, KEY, FRESH)
        while store.status(stream.id).close is None:
            pass
        again = host.launch(source, KEY, ASK)
        assert again.wait(5) == "complete"
        assert (again.id, again.text) == (stream.id, "one two")


def test_resume_waits_for_another_process_that_has_closed(disk):
    """Another process has closed the stream and lets go a moment later: resume waits for that moment."""
    host, other = hosted(disk), open_disk_store(disk.directory)
    source = ScriptedSource(["one ", SourceRefused("no")], ["one ", "two", End()], replayable=True)
    stream = host.launch(source, KEY, ASK)
    assert stream.wait(5) == "failed"
    until(lambda: runtime().recorder(stream.id) is None)
    lock = other.lock(stream.id)
    letting_go = threading.Timer(0.7, lock.release)
    letting_go.start()
    try:
        assert stream.resume().wait(5) == "complete"
    finally:
        letting_go.join()
        other.close()


def test_resume_of_a_stream_at_work_attaches(store):
    """Resume of a stream that is simply streaming is that stream, without a second call."""
    host, source = hosted(store), silent(replayable=True)
    stream = begun(host, source)
    assert stream.resume() is stream
    assert host.launch(source, KEY, ASK).id == stream.id
    assert len(source.connections) == 1
    assert stream.state == "streaming"


def test_a_stop_of_another_process_is_followed_too(disk):
    """Another process has asked for a stop that the recorder has not seen yet: resume goes on behind it."""
    host, other = hosted(disk), open_disk_store(disk.directory)
    source = silent(["one ", "two", End()], replayable=True)
    stream = begun(host, source)
    other.request_stop(stream.id, opened=0).result(5)
    other.close()
    assert stream.resume().wait(5) == "complete"
    assert stream.text == "one two"


# Damage


def overwrite(store, row):
    """Let another program overwrite a row."""
    with contextlib.closing(sqlite3.connect(store.directory / "cache.db")) as database, database:
        assert database.execute("UPDATE Cache SET value = ? WHERE key = ?", (b"?", row)).rowcount == 1


@pytest.mark.parametrize("row", ["{id}/0000000000", "!m:{id}", "{id}/0000000002"])
def test_fresh_leaves_a_damaged_stream_behind(disk, row):
    """
    The record, entry or end of what the cell names is damaged: run again, it says so in one line that names `--fresh`
    and makes no call; with it the cell asks anew, and from then on runs as ever. So does a Python object.
    """
    host = hosted(disk)
    old = host.launch(ScriptedSource(["one", End()]), KEY, ASK)
    assert old.wait(5) == "complete"
    until(lambda: runtime().recorder(old.id) is None)
    source = ScriptedSource(["two", End()], replayable=True)
    for ask, fingerprint in ((FRESH, "scripted"), (Ask(None), None)):
        overwrite(disk, row.format(id=old.id))
        with pytest.raises(LogDamaged, match="--fresh") as caught:
            host.launch(source, KEY, ASK)
        assert "clean" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        new = host.launch(ScriptedSource(["two", End()], fingerprint=fingerprint), KEY, ask)
        assert new.wait(5) == "complete"
        assert disk.find(KEY) == new.id != old.id
        until(lambda new=new: runtime().recorder(new.id) is None)
        old = new
    assert source.connections == []


def test_fresh_ends_the_call_of_a_damaged_stream(disk):
    """A stream that is damaged while it is recorded here is stopped before the new call is made."""
    host, source = hosted(disk), silent()
    old = begun(host, source)
    overwrite(disk, f"{old.id}/0000000000")
    new = host.launch(ScriptedSource(["new", End()]), KEY, FRESH)
    assert source.open_connections == 0
    assert new.wait(5) == "complete"


def test_a_damaged_end_leaves_the_rest_readable(disk):
    """The last record is damaged: the stream counts as interrupted, and what is before it is shown."""
    host = hosted(disk)
    stream = host.launch(ScriptedSource(["one", End()]), KEY, ASK)
    assert stream.wait(5) == "complete"
    until(lambda: runtime().recorder(stream.id) is None)
    overwrite(disk, f"{stream.id}/{stream.offset:010d}")
    shown = host.open(stream.id, from_store=True)
    assert shown.state == "interrupted"
    assert shown.transcript().joined("text") == "one"
    assert f"`%stream show {stream.id}`" in str(shown.damage)
    assert host.launch(ScriptedSource(), KEY, Ask("scripted", replay=True)).id == stream.id


# Regenerate


def test_regenerating_an_old_stream_stops_the_newer_one(store):
    """The key names a newer stream that is live here: it is stopped first, so that no call runs unowned."""
    host = hosted(store)
    asked = ScriptedSource(["old", End()], ["anew", End()])
    old = host.launch(asked, KEY, ASK)
    assert old.wait(5) == "complete"
    source = silent()
    newer = begun(host, source, FRESH)
    again = old.regenerate()
    assert source.open_connections == 0
    assert again.wait(5) == "complete"
    assert newer.state == "stopped"
    assert (again.text, store.find(KEY)) == ("anew", again.id)
    assert store.status(again.id).open.parent == old.id


def opening(stream, at=1.0):
    """Return the `open` of another kernel."""
    return Open(stream, KEY, "new", {"kind": "scripted"}, "scripted", "pid 1", "host", "boot", at)


def test_regenerating_leaves_another_kernels_stream_alone(disk):
    """The key names a stream that another kernel records: it goes on, and the key names the new one."""
    host, other = hosted(disk), open_disk_store(disk.directory)
    old = host.launch(ScriptedSource(["old", End()], ["anew", End()]), KEY, ASK)
    assert old.wait(5) == "complete"
    theirs = other.start(opening("theirs"), replaces=old.id)
    again = old.regenerate()
    assert again.wait(5) == "complete"
    assert disk.find(KEY) == again.id
    assert not disk.status("theirs").stop_requested
    theirs.log.append(1, Close("complete", 2.0))
    other.close()


class Contested:
    """A memory store in which somebody else takes the key *times* times, each time just before we do."""

    def __init__(self, store, times):
        self._store, self.times = store, times

    def __getattr__(self, name):
        return getattr(self._store, name)

    def start(self, first, *, replaces=None):
        if self.times:
            self.times -= 1
            theirs = self._store.start(opening(f"theirs{self.times}"), replaces=replaces)
            theirs.log.append(1, Close("complete", 2.0))
            theirs.lock.release()
        return self._store.start(first, replaces=replaces)


def test_a_lost_race_for_the_key_is_run_again():
    """Regenerate never hands out somebody else's stream: it tries again, and in the end says what is the matter."""
    store = MemoryStore()
    source = ScriptedSource(["old", End()], ["anew", End()])
    old = hosted(store).launch(source, KEY, ASK)
    assert old.wait(5) == "complete"
    again = hosted(Contested(store, 3)).regenerate(old)
    assert again.wait(5) == "complete"
    assert store.status(again.id).open.intent == "regenerate"
    with pytest.raises(Fenced, match="key="):
        hosted(Contested(store, 100)).regenerate(old)
    assert len(source.connections) == 2
    runtime().close()


# What is kept


def test_the_sources_of_the_last_streams_are_kept():
    """The last streams can be asked anew with their own sources; older sources, and what they hold, are let go."""
    from nbstream import host as module

    store = MemoryStore()
    host = hosted(store)
    first = host.launch(ScriptedSource(["x", End()], ["y", End()]), KEY, FRESH)
    for _ in range(KEPT):
        last = host.launch(ScriptedSource(["x", End()], ["y", End()]), KEY, FRESH)
    assert last.wait(5) == "complete"
    assert len(module._sources) == KEPT
    assert first.id not in module._sources
    assert last.regenerate().wait(5) == "complete"
    runtime().close()


# A page that was reloaded before it had shown all


def test_an_answer_that_no_page_has_shown_is_not_paid_for_twice(store):
    """Complete, but its page was gone before the end: the next run shows it without a call, the one after asks anew."""
    host, page = hosted(store), Ask("scripted", offers=True)
    first = host.launch(ScriptedSource(["one", End()]), KEY, page)
    assert first.wait(5) == "complete"
    unused = ScriptedSource(["two", End()])
    assert host.launch(unused, KEY, page).id == first.id
    assert not unused.connections
    new = host.launch(ScriptedSource(["two", End()]), KEY, page)
    assert new.wait(5) == "complete"
    assert new.id != first.id


def test_an_answer_that_was_shown_is_asked_anew(store):
    """Complete and painted to its end by a page: running the cell again in the same kernel is a new question."""
    host, page = hosted(store), Ask("scripted", offers=True)
    first = host.launch(ScriptedSource(["one", End()]), KEY, page)
    first.wait(5)
    runtime().painted(first.id)
    new = host.launch(ScriptedSource(["two", End()]), KEY, page)
    assert new.id != first.id
    new.wait(5)

"""A store that is full, damaged, foreign, in the way or out of time: one clear line, and what was shown is kept."""

import contextlib
import pickle
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from server_words import DONE, delta, until

import nbstream
from nbstream.log import stores
from nbstream.log.disk import open_disk_store
from nbstream.testing import Answer, Gate, Pause
from nbstream.view.static_output import saved_form


class LimitedFiles:
    """A limit that lets no file of this process be written while it is full; for whoever may not mount."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """Leave no room."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._before[1]))

    def make_room(self) -> None:
        """Leave room again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def end(self) -> None:
        """Take the limit away."""
        self.make_room()


class Tmpfs:
    """A file system of 1 MiB, and a file that takes what is left of it."""

    def __init__(self, directory) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True, capture_output=True)

    def fill(self) -> None:
        """Leave no room."""
        with contextlib.suppress(OSError), (self.directory / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(512)):
                pass

    def make_room(self) -> None:
        """Leave room again."""
        (self.directory / "filler").unlink()

    def end(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "--lazy", self.directory], check=True)


def can_mount() -> bool:
    """Say whether this machine and user may mount a file system."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            Tmpfs(Path(directory) / "disk").end()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True


@pytest.fixture(params=[LimitedFiles, Tmpfs] if can_mount() else [LimitedFiles])
def disk(request, home):
    """Return the disk that the home of this test is on."""
    disk = request.param(home)
    yield disk
    disk.end()


def fill(disk, store) -> None:
    """Fill the disk until not even a small row can be written."""
    disk.fill()
    log = store.log(store.list()[0].stream)

    def refused() -> bool:
        try:
            store.touch(log.stream)
        except nbstream.StoreFull:
            return True
        return False

    until(refused, "the disk to be full")


@pytest.mark.host("kernel")  # it is this process whose disk is full, or that ends
def test_a_disk_that_gets_full_pauses_the_stream(disk, store, server):
    """
    The disk gets full in the middle of a message: the line says that it is not saved, why and what to do; what was
    saved stays readable, what was not is not shown; with room again the message completes, exactly.
    """
    gate, more = Gate(), Gate()
    server.script([Answer.sse(delta("saved, "), gate, delta("waiting, "), more, delta("whole"), DONE)])
    stream = nbstream.start(nbstream.sse(server.url))
    gate.wait()
    until(lambda: stream.text == "saved, ", "the first text")
    fill(disk, store)
    gate.open()
    until(lambda: not stream.status()["saved"], "the refusal")
    line = stream.status()["line"]
    assert stream.text == "saved, "
    assert stream.state == "streaming"
    disk.make_room()
    more.open()
    assert f"not saved: saving in {store.directory} failed (" in line
    assert "set NBSTREAM_HOME to another directory" in line
    assert len(line.splitlines()) == 1
    assert stream.wait(10) == "complete"
    assert stream.text == "saved, waiting, whole"
    assert "not saved" not in stream.status()["line"]


@pytest.mark.host("kernel")  # it is this process whose disk is full, or that ends
def test_stop_on_a_full_disk_closes_the_call_all_the_same(disk, store, server):
    """
    Stop on a full disk: the connection is closed at once, the line says stopped and not saved; with room again the
    intent is stored, and the next kernel finds the stream stopped.
    """
    gate = Gate()
    server.script([Answer.sse(delta("so far"), gate)])
    stream = nbstream.start(nbstream.sse(server.url), key="k")
    gate.wait()
    until(lambda: stream.text == "so far", "the first text")
    fill(disk, store)
    began = time.monotonic()
    stream.stop()
    server.wait_closed(1.0)
    closed_s = time.monotonic() - began
    until(lambda: stream.state == "stopped", "stopped")
    until(lambda: "not saved" in stream.status()["line"], "the line")
    line = stream.status()["line"]
    disk.make_room()
    assert closed_s < 1.0
    assert line.startswith("stopped by you · 6 characters · not saved: saving in ")
    assert stream.state == "stopped"
    other = open_disk_store(store.directory)
    until(lambda: other.status(stream.id).close, "the close record")
    assert other.status(stream.id).close.how == "stopped"
    other.close()
    assert len(server.requests) == 1


@pytest.mark.host("kernel")  # it is this process whose disk is full, or that ends
def test_nothing_is_sent_when_nothing_can_be_saved(disk, store, server, cells):
    """A cell on a full disk makes no call: one line says why."""
    cells("%%stream -p tokens_per_s=0 -p max_tokens=3\nhi")
    fill(disk, store)
    gate = Gate()
    server.script([Answer.sse(gate)])
    with pytest.raises(nbstream.StoreFull) as caught:
        nbstream.start(nbstream.sse(server.url))
    text = nbstream.streams()[0].text
    disk.make_room()
    assert "nothing of this was saved" in str(caught.value)
    assert text.startswith("You asked")
    assert server.requests == []


def test_what_is_saved_is_shown_on_a_full_disk(disk, store, cells):
    """On a full disk every way to see a saved answer works: the magics, the functions, the command."""
    cell = "%%stream -p tokens_per_s=0 -p max_tokens=3\nhi"
    answer = cells(cell)
    (stream,) = nbstream.streams()
    fill(disk, store)
    shown = cells("%stream show"), cells(f"%stream replay {stream.id}"), cells(cell.replace("-p", "--replay -p", 1))
    resumed = nbstream.resume(stream.id).text
    command = cells(f"from nbstream.cli import streams; streams.show({stream.id!r}, follow=False)")
    disk.make_room()
    assert answer.startswith("You asked")
    for said in (*shown, resumed, command):
        assert said.startswith(resumed)


@pytest.mark.host("kernel")  # it is this process whose disk is full, or that ends
def test_unload_on_a_full_disk(disk, store, server, cells):
    """`%unload_ext` while the end of a stream cannot be saved: the call is closed, nothing raises, all is unloaded."""
    gate = Gate()
    server.script([Answer.sse(delta("so far"), gate)])
    stream = nbstream.start(nbstream.sse(server.url))
    gate.wait()
    until(lambda: stream.text == "so far", "the first text")
    fill(disk, store)
    said = cells("%unload_ext nbstream")
    threads = [thread.name for thread in threading.enumerate()]
    disk.make_room()
    assert said == ""
    assert "nbstream" not in cells.shell.extension_manager.loaded
    assert "nbstream" not in threads
    server.wait_closed(1.0)
    assert store.status(stream.id).state == "interrupted"


#: Fills its disk in the middle of a message, then ends.
LEAVER = """
import resource, sys, time
import nbstream

stream = nbstream.start(nbstream.sse(sys.argv[1]))
while stream.text != "so far":
    time.sleep(0.005)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, -1))
stream.stop()
"""


@pytest.mark.host("kernel")  # it is this process whose disk is full, or that ends
def test_the_end_of_a_process_on_a_full_disk(home, server):
    """A process ends while the end of its stream cannot be saved: nothing is printed, and the stream is interrupted."""
    server.script([Answer.sse(delta("so far"), Gate())])
    ended = subprocess.run(
        [sys.executable, "-c", LEAVER, server.url], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    (stream,) = nbstream.streams()
    assert (stream.state, stream.text) == ("interrupted", "so far")
    stream.store.close()


def overwrite(store, stream, offset, value, mode=1) -> None:
    """Let another program overwrite one record."""
    with contextlib.closing(sqlite3.connect(store.directory / "cache.db")) as database, database:
        key = f"{stream.id}/{offset:010d}"
        changed = database.execute("UPDATE Cache SET value = ?, mode = ? WHERE key = ?", (value, mode, key))
        assert changed.rowcount == 1


def pieces(server, cells) -> nbstream.Stream:
    """Record a stream of some records."""
    steps = [step for n in range(6) for step in (delta(f"piece {n} "), Pause(0.03))]
    server.script([Answer.sse(*steps, DONE)])
    cells(f"%stream --url {server.url}/x")
    (stream,) = nbstream.streams()
    assert stream.offset >= 5
    return stream


def test_what_is_before_a_damaged_record_is_shown(cells, store, server):
    """
    A damaged record in the middle: terminal, saved form and status show what is before it and say which record of which
    stream is damaged and what to do; `text` raises that line; nobody takes the message for complete.
    """
    stream = pieces(server, cells)
    overwrite(store, stream, 4, b"garbage")
    advice = f"record 4 of stream {stream.id} is damaged or foreign"
    said = cells("%stream show")
    assert said.startswith("piece 0 piece 1")
    assert "piece 5" not in said
    assert advice in said.splitlines()[-1]
    assert f"`%stream show {stream.id}`, or `%%stream --fresh` for a new answer" in said
    form = saved_form(nbstream.streams()[0])
    assert form.startswith("piece 0 piece 1")
    assert "damaged or foreign" in form.splitlines()[-1]
    assert stream.id in cells.line("%stream list")
    assert advice in cells("%stream status " + stream.id)
    assert cells.line("import nbstream; nbstream.streams()[0].text").startswith(f"LogDamaged: {advice}")
    again = cells(f"%stream --url {server.url}/x --replay --to answer")
    assert again.splitlines()[-1].startswith("LogDamaged: stream ")
    assert "answer" not in cells.shell.user_ns
    assert len(server.requests) == 1


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_a_foreign_pickle_is_never_executed(cells, store, server, tmp_path, offset):
    """A row that claims to be a pickle, as diskcache would load it: no verb runs it, each says it in one line."""
    stream = pieces(server, cells)
    overwrite(store, stream, offset, pickle.dumps(Trap(tmp_path / "loaded")), mode=4)
    for verb in ("show", "status", "resume", "regenerate", "stop", "replay"):
        said = cells(f"%stream {verb} {stream.id}")
        assert ".py" not in said, said
    assert "Traceback" not in cells("%stream list")
    cells("%stream clean --older-than 0")
    assert not (tmp_path / "loaded").exists()


def in_the_way(home) -> None:
    """Put a file where the home should be."""
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file")


def store_in_the_way(home) -> None:
    """Put a file where the store should be."""
    home.mkdir(parents=True)
    (home / "store").write_text("a file")


def garbage(home) -> None:
    """Let the store be no database."""
    (home / "store").mkdir(parents=True)
    (home / "store" / "cache.db").write_bytes(b"not a database, but long enough to look at" * 200)


def directory(home) -> None:
    """Put a directory where the store's file should be."""
    (home / "store" / "cache.db").mkdir(parents=True)


@pytest.mark.parametrize(
    ("damage", "kind", "advice"),
    [
        (in_the_way, nbstream.StoreFull, "Not a directory"),
        (store_in_the_way, nbstream.StoreFull, "move the file away that is in its place"),
        (garbage, nbstream.LogDamaged, "move it away, or set NBSTREAM_HOME to another directory"),
        (directory, nbstream.StoreFull, "unable to open database file"),
    ],
)
def test_a_directory_that_cannot_be_used_is_named(home, server, damage, kind, advice):
    """What lies where the store should be: one line names the place and says what to do, and no call is made."""
    damage(home)
    for ask in (lambda: nbstream.start(nbstream.sse(server.url)), nbstream.streams, lambda: nbstream.resume("x")):
        with pytest.raises(kind) as caught:
            ask()
        assert str(home / "store") in str(caught.value)
        assert advice in str(caught.value)
        assert "NBSTREAM_HOME" in str(caught.value)
        (line,) = caught.value._render_traceback_()
        assert len(line.splitlines()) == 1
    assert server.requests == []


@pytest.mark.parametrize("address", ["redis:127.0.0.1:1/0", "ftp://u:secret@x", "redis://u:secret@[x"])
def test_what_is_no_address_is_one_line_in_a_cell(cells, server, address):
    """A slip in the address of the store, from any cell: one line without our frames or a password, and no call."""
    cells(f"%config NbStream.store = '{address}'")
    for cell in (f"%stream --url {server.url}/x", "%stream list", "import nbstream; nbstream.streams()"):
        said = cells.line(cell)
        assert said.startswith("NoStore: ")
        assert "secret" not in said
    assert server.requests == []


def read_only(home):
    """Make *home* read-only for whoever runs this; return what undoes it."""
    if not can_mount():
        home.chmod(0o500)
        return lambda: home.chmod(0o700)
    subprocess.run(["mount", "--bind", home, home], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
    return lambda: subprocess.run(["umount", "--lazy", home], check=True)


def test_a_read_only_home_says_so(home, server):
    """A directory that cannot be written: one line says to make it writable or to take another; no call is made."""
    home.mkdir(parents=True)
    undo = read_only(home)
    try:
        with pytest.raises(nbstream.StoreFull, match="make the directory writable, or set NBSTREAM_HOME to another"):
            nbstream.start(nbstream.sse(server.url))
    finally:
        undo()
    assert server.requests == []
    stream = nbstream.start(nbstream.chat("hi", tokens_per_s=0, max_tokens=3))
    assert stream.wait(5) == "complete"
    stores.open_store().close()


def test_a_clock_that_was_set_back_loses_nothing(home, server, monkeypatch):
    """
    The clock is set back by ten days between two runs: old streams are found, shown and resumed, the times that would
    be wrong are not said, and cleaning deletes nothing.
    """
    cut = Answer.sse(f"id: 1\n{delta('one, ')}", end="cut")
    server.script([cut, Answer(status=400), Answer.sse(f"id: 2\n{delta('two')}", DONE)])
    old = nbstream.start(nbstream.sse(server.url), key="k")
    assert old.wait(5) == "failed"
    stores.open_store().close()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 10 * 86400)
    directory = home / "store"
    monkeypatch.setitem(stores._stores, str(directory), open_disk_store(directory, clock=time.time))
    again = nbstream.start(nbstream.sse(server.url), key="k")
    assert again.wait(5) == "complete"
    assert (again.id, again.text) == (old.id, "one, two")
    assert " -" not in again.status()["line"]
    assert nbstream.clean(days=1) == []
    new = nbstream.start(nbstream.chat("hi", tokens_per_s=0, max_tokens=3))
    assert new.wait(5) == "complete"
    assert {one.id for one in nbstream.streams()} == {old.id, new.id}
    stores.open_store().close()

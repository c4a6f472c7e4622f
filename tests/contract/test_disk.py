"""What the store on disk promises beyond the contract: other processes, damage, full disks, foreign openers."""

import contextlib
import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import diskcache
import psutil
import pytest
from samples import Child, a_close, a_delta, an_open

from nbstream.errors import Fenced, LogDamaged, StoreFull, StreamGone
from nbstream.log import home
from nbstream.log.disk import open_disk_store
from nbstream.log.readback import records_of
from nbstream.state import State


@contextlib.contextmanager
def database(store):
    """Another program that writes into the store's file."""
    connection = sqlite3.connect(store.directory / "cache.db")
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def overwrite(store, key, value, mode=1):
    """Let another program overwrite one row."""
    with database(store) as connection:
        changed = connection.execute("UPDATE Cache SET value = ?, mode = ? WHERE key = ?", (value, mode, key))
        assert changed.rowcount == 1


def filled(store, records=5):
    """Start a stream of a few records; return its log and lock."""
    log, lock = store.start(an_open())
    for offset in range(1, records):
        log.append(offset, a_delta(str(offset), offset))
    return log, lock


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_reading_a_long_log_holds_no_more_than_a_page(disk):
    """Whoever reads 16 MB through holds less than a quarter of it."""
    log, _ = disk.start(an_open())
    wanted = 1000
    for stored in [log.submit(n, a_delta("x" * 16_000, n)) for n in range(1, wanted + 1)]:
        stored.result()
    sum(1 for _ in records_of(log))  # what is made once is no page
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert sum(1 for _ in records_of(log)) == wanted + 1
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{(most - before) / 1e6:.1f} MB")
    assert most - before < wanted * 16_000 / 4


def test_writing_a_long_log_holds_little_of_it(child):
    """Whoever records 24 MB takes less than a third of it, of which SQLite's pages would be most."""
    child.do("kept.append(store.start(an_open()))")
    append = "[kept[0].log.append(n, a_delta('x' * 16_000, n)) for n in range({}, {})].clear()"
    process = psutil.Process(child.process.pid)
    child.do(append.format(1, 50))
    before = process.memory_info().rss
    child.do(append.format(50, 1550))
    grown = process.memory_info().rss - before
    print(f"{grown / 1e6:.1f} MB")
    assert child.do("kept[0].log.tail()") == "1549"
    assert grown < 1500 * 16_000 / 3


# Other processes


def test_another_process_reads_what_was_appended(disk, child):
    """What one process stored another one reads."""
    filled(disk)
    assert child.do("store.log('s1').read()") == repr(disk.log("s1").read())
    assert child.do("store.find('k')") == "'s1'"


def test_of_two_processes_that_start_at_once_one_wins(disk, child):
    """Compare-and-set holds between processes: one gets the lock, the other its stream."""
    other = Child(disk.directory)
    try:
        for n in range(30):
            for process, name in ((child, "a"), (other, "b")):
                process.send(f"began(store.start(an_open('{name}{n}', 'k{n}')))")
            answers = {eval(child.answer()), eval(other.answer())}
            winner = disk.find(f"k{n}")
            assert (winner, True) in answers
            assert len(answers) == 2
            assert {stream for stream, _ in answers} == {winner}
    finally:
        other.kill()


def test_a_second_process_is_fenced(disk, child):
    """Of two processes that append at one offset exactly one is accepted."""
    log, _ = disk.start(an_open())
    for offset in range(1, 30):
        child.send(f"store.log('s1').append({offset}, a_delta('theirs'))")
        try:
            log.append(offset, a_delta("ours"))
            ours = True
        except Fenced:
            ours = False
        theirs = child.answer()
        assert theirs.startswith("Fenced" if ours else "None")
    assert log.tail() == 29


def test_liveness_is_seen_by_another_process(disk, child):
    """A stream is live in every process while its writer holds it, and can be taken by the next one after."""
    _, lock = disk.start(an_open())
    assert child.do("store.status('s1').live, store.lock('s1')") == "(True, None)"
    lock.release()
    assert child.do("store.status('s1').state.value") == "'interrupted'"
    assert child.do("kept.append(store.lock('s1'))") == "None"
    assert disk.status("s1").live
    assert disk.lock("s1") is None


def test_two_stores_in_one_process_exclude_each_other(disk):
    """The hold on a stream counts between two stores of one process, too."""
    _, lock = disk.start(an_open())
    with contextlib.closing(open_disk_store(disk.directory)) as other:
        assert other.status("s1").live
        assert other.lock("s1") is None
        with pytest.raises(Fenced):
            other.delete("s1")
        lock.release()
        assert not other.status("s1").live
        theirs = other.lock("s1")
        assert disk.lock("s1") is None
        theirs.release()


def test_sigkill_ends_the_hold(disk, child):
    """A writer that was killed is not live, its stream is interrupted, and the next one may write on."""
    child.do("kept.append(store.start(an_open()))")
    child.do("kept[0].log.append(1, a_delta())")
    assert disk.status("s1").state is State.STREAMING
    child.kill()
    assert disk.status("s1").state is State.INTERRUPTED
    lock = disk.lock("s1")
    disk.log("s1").append(2, an_open(intent="resume"))
    lock.release()


def test_probing_does_not_get_in_the_way_of_a_writer(disk, child):
    """Others asking again and again whether a stream is live never keep its next writer out."""
    disk.start(an_open())[1].release()
    child.send("[store.status('s1').live for _ in range(2000)] and None")
    for _ in range(100):
        lock = disk.lock("s1")
        assert lock is not None
        lock.release()
    assert child.answer() == "None"


def test_probers_do_not_take_each_other_for_a_writer(disk, child):
    """A dead stream never looks live because somebody else asks at the same moment."""
    disk.start(an_open())[1].release()
    child.send("any(store.status('s1').live for _ in range(2000))")
    assert not any(disk.status("s1").live for _ in range(2000))
    assert child.answer() == "False"


def test_appends_of_another_process_are_noticed(disk, child):
    """`wait` and `subscribe` notice another process's append within 250 ms (once in a while later: a busy machine)."""
    log, _ = disk.start(an_open())
    heard = threading.Event()
    end = log.subscribe(heard.set)
    took = []
    for offset in range(1, 6):
        heard.clear()
        child.send(f"store.log('s1').append({offset}, a_delta())")
        began = time.monotonic()
        assert log.wait(offset - 1, 10)
        took.append(time.monotonic() - began)
        assert heard.wait(10)
        assert child.answer() == "None"
    end()
    print("noticed after", [f"{s * 1000:.0f} ms" for s in took])
    assert sorted(took)[2] < 0.25
    assert max(took) < 1


def test_what_happens_to_one_stream_wakes_only_its_own_listeners(disk, child):
    """Hundreds may wait for streams on which nothing happens: they do not go and look because another one goes on."""
    busy, idle = (disk.start(an_open(name, name))[0] for name in ("s1", "s2"))
    woken, heard = [], threading.Event()
    ends = idle.subscribe(lambda: woken.append("s2")), busy.subscribe(heard.set)
    assert heard.wait(10)  # the first look tells everybody, of what was there before
    for offset in range(1, 4):
        heard.clear()
        child.do(f"store.log('s1').append({offset}, a_delta())")
        assert heard.wait(10)
    assert woken == ["s2"]
    child.do("store.request_stop('s2', opened=0).result()")
    heard.clear()
    child.do("store.log('s1').append(4, a_delta())")
    assert heard.wait(10)
    assert woken == ["s2", "s2"]
    for end in ends:
        end()


def test_a_stop_of_another_process_is_heard(disk, child):
    """A stop row set by another process signals the writer's subscriber and is found."""
    log, _ = disk.start(an_open())
    stopped = threading.Event()

    def look():
        if disk.stop_requested("s1", opened=0):
            stopped.set()

    end = log.subscribe(look)
    assert child.do("store.request_stop('s1', opened=0).result()") == "None"
    assert stopped.wait(5)
    end()


def test_nothing_runs_for_listeners_that_are_gone(disk):
    """The thread that looks for other processes ends with the last subscription."""
    log, _ = disk.start(an_open())
    end = log.subscribe(lambda: None)
    (poller,) = [thread for thread in threading.enumerate() if thread.name == "nbstream-poll"]
    end()
    poller.join(5)
    assert not poller.is_alive()


def test_close_leaves_nothing_open(tmp_path):
    """After `close` no thread and no open file of the store is left, whoever used it."""
    before = set(threading.enumerate())
    store = open_disk_store(tmp_path / "store")
    log, _ = filled(store)
    readers = [threading.Thread(target=log.read) for _ in range(4)]
    for reader in readers:
        reader.start()
        reader.join()
    end = log.subscribe(lambda: None)
    store.close()
    end()
    left = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [file for file in left if file.is_relative_to(tmp_path)]
    assert not [thread.name for thread in threading.enumerate() if thread not in before]


def test_a_forked_child_may_use_the_store(disk):
    """After a fork both processes read and write; the parent's hold stays the parent's."""
    log, lock = filled(disk)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads forks: just what is tested
        pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            mine = disk.start(an_open("theirs", "theirs"))
            mine.log.append(1, a_close())
            assert disk.log("s1").tail() == 4
            assert disk.status("s1").live
            status = 0
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert disk.status("theirs").state is State.COMPLETE
    assert disk.lock("s1") is None
    log.append(5, a_close())
    lock.release()
    assert not disk.status("s1").live


# Damage and foreign rows


@pytest.mark.parametrize("value", [b"", b"{", b"null", b'{"v":2,"type":"open"}', b"\xff\xfe", b"[]", 7, "text", None])
def test_a_damaged_record_is_named(disk, value):
    """What is before a damaged record is read; the record itself raises `LogDamaged` with stream and offset."""
    log, _ = filled(disk)
    before = log.read(limit=3)
    overwrite(disk, "s1/0000000003", value)
    assert log.read() == before
    with pytest.raises(LogDamaged, match=r"3 of stream s1|s1/0000000003"):
        log.read(2)
    assert log.read(3) == [a_delta("4", 4)]
    assert log.tail() == 4


def test_a_missing_record_is_named(disk):
    """A hole in the log is damage, never skipped."""
    log, _ = filled(disk)
    with database(disk) as connection:
        connection.execute("DELETE FROM Cache WHERE key = 's1/0000000002'")
    assert len(log.read()) == 2
    with pytest.raises(LogDamaged, match="record 2 of stream s1 is missing"):
        log.read(1)


@pytest.mark.parametrize("opened_again", [False, True])
def test_a_damaged_last_record_counts_as_no_close(disk, opened_again):
    """The last record is damaged: the status is that of a stream without a close, from an `open` that can be read."""
    log, lock = filled(disk)
    if opened_again:
        log.append(5, an_open(intent="resume"))
    lock.release()
    overwrite(disk, f"s1/{log.tail():010d}", b"?")
    status = disk.status("s1")
    assert (status.state, status.close, status.tail) == (State.INTERRUPTED, None, log.tail())
    assert (status.open, status.opened) == (an_open(), 5 if opened_again else 0)
    assert [one.stream for one in disk.list()] == ["s1"]


@pytest.mark.parametrize("row", ["s1/0000000000", "!m:s1"])
def test_the_advice_of_damage_works(disk, row):
    """Damage to the beginning or the entry of a stream says only what helps: to ask anew."""
    _, lock = filled(disk)
    lock.release()
    overwrite(disk, row, b"?")
    with pytest.raises(LogDamaged, match=r"s1.*`%%stream --fresh`") as caught:
        disk.status("s1")
    assert "%stream clean" not in str(caught.value)
    assert "%stream show" not in str(caught.value)
    disk.delete("s1")
    with pytest.raises(StreamGone):
        disk.status("s1")


def test_a_damaged_stream_leaves_the_others_alone(disk):
    """A stream with a damaged record or entry is left out of the list, can be deleted, and harms no other."""
    filled(disk)
    for name in ("bad-record", "bad-entry"):
        disk.start(an_open(name, name)).lock.release()
    overwrite(disk, "bad-record/0000000000", b"?")
    overwrite(disk, "!m:bad-entry", b"?")
    assert [status.stream for status in disk.list()] == ["s1"]
    for name in ("bad-record", "bad-entry"):
        with pytest.raises(LogDamaged, match=name):
            disk.status(name)
    assert disk.log("bad-entry").read() == [an_open("bad-entry", "bad-entry")]
    for name in ("bad-record", "bad-entry"):
        disk.delete(name)
        assert disk.find(name) is None
        with pytest.raises(StreamGone):
            disk.log(name)


@pytest.mark.parametrize("row", ["s1/0000000001", "!m:s1", "!k:k", "!sweep"])
def test_a_pickle_in_a_row_is_never_loaded(disk, tmp_path, row):
    """A row that claims to be a pickle is damage to every call that meets it, and its code never runs."""
    _, lock = filled(disk)
    lock.release()
    overwrite(disk, row, pickle.dumps(Trap(tmp_path / "loaded")), mode=4)
    log = disk.log("s1")
    uses = [log.read, disk.list, disk.sweep]
    uses += [lambda: disk.find("k"), lambda: disk.start(an_open("s2")), lambda: disk.touch("s1")]
    uses += [lambda: log.append(5, a_close()), lambda: disk.delete("s1")]
    for use in uses:
        with contextlib.suppress(LogDamaged):
            use()
    assert not (tmp_path / "loaded").exists()


def test_pickled_rows_of_another_program_are_never_loaded(disk, tmp_path):
    """Pickled keys and values that another program stored here stay unread; the store goes on."""
    with diskcache.Cache(str(disk.directory)) as foreign:
        foreign[("a", 1)] = Trap(tmp_path / "loaded")
        foreign["zz/0000000000"] = Trap(tmp_path / "loaded")
    log, lock = filled(disk)
    lock.release()
    assert len(log.read()) == 5
    assert len(disk.list()) == 1
    disk.sweep()
    disk.delete("s1")
    assert not (tmp_path / "loaded").exists()


def test_settings_of_another_opener_are_put_back(tmp_path):
    """The last opener of a diskcache sets its settings: the store asserts its own at every opening."""
    with diskcache.Cache(
        str(tmp_path), size_limit=1000, cull_limit=10, eviction_policy="least-recently-used", disk_min_file_size=10
    ) as foreign:
        foreign["x"] = 1
    store = open_disk_store(tmp_path)
    log, lock = store.start(an_open())
    for n in range(1, 200):
        future = log.submit(n, a_delta("x" * 1000, n))
    future.result(timeout=10)
    assert len(log.read()) == 200
    assert not list(tmp_path.rglob("*.val"))
    with database(store) as connection:
        settings = dict(connection.execute("SELECT key, value FROM Settings"))
    assert (settings["eviction_policy"], settings["cull_limit"]) == ("none", 0)
    lock.release()
    store.close()


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
def test_power_durability_syncs_every_commit(tmp_path, durability, level):
    """`durability="power"` writes with SQLite's synchronous FULL, the default with NORMAL, whatever the file says."""
    open_disk_store(tmp_path, durability="power" if level == 1 else "process").close()
    store = open_disk_store(tmp_path, durability=durability)
    writer = store._here.writer
    found = writer.submit(lambda cache: cache._sql("PRAGMA synchronous").fetchone()).result(timeout=5)
    assert found == (level,)
    store.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 100, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    """Opening a directory whose file is no store raises `LogDamaged` with one line that names it."""
    (tmp_path / "cache.db").write_bytes(content)
    with pytest.raises(LogDamaged) as caught:
        open_disk_store(tmp_path)
    assert str(tmp_path / "cache.db") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "cache.db").read_bytes() == content


def test_a_foreign_schema_is_refused(tmp_path):
    """A database of another program, with a table of the same name, is not taken for a store."""
    connection = sqlite3.connect(tmp_path / "cache.db")
    connection.execute("CREATE TABLE Cache (something)")
    connection.close()
    with pytest.raises(LogDamaged, match=r"cache\.db"):
        open_disk_store(tmp_path)


# Disks


def test_what_is_made_is_private(tmp_path):
    """A new directory, and every file of the store, also in a directory that others may read, is its user's only."""
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide").chmod(0o775)
    for name, mode in (("wide", 0o775), ("new/deep", 0o700)):
        directory = tmp_path / name
        store = open_disk_store(directory)
        store.start(an_open()).lock.release()
        assert stat.S_IMODE(directory.stat().st_mode) == mode
        made = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
        assert made == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600, "locks": 0o700}
        store.close()


@pytest.mark.parametrize("what", ["link", "theirs"])
def test_what_lies_in_the_place_of_the_fallback_is_not_followed(tmp_path, monkeypatch, what):
    """Anybody may make a directory in /var/tmp: one that is a link, or somebody else's, is refused in one line."""
    monkeypatch.setattr(home, "_mounts", lambda: [("/", "ext4"), (str(tmp_path / "net"), "nfs4")])
    monkeypatch.setattr(home, "_SHARED", tmp_path)
    place = tmp_path / f"nbstream-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir()
    if what == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        somebody = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: somebody)
        (tmp_path / f"nbstream-{somebody}").mkdir()
    with pytest.warns(UserWarning, match="network"), pytest.raises(StoreFull, match="NBSTREAM_HOME") as caught:
        open_disk_store(tmp_path / "net" / "store")
    assert f"nbstream-{os.getuid()}" in str(caught.value)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    """Opening where nothing can be written raises `StoreFull` that names the directory and what to do."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreFull, match=r"file/store.*NBSTREAM_HOME") as caught:
        open_disk_store(tmp_path / "file" / "store")
    assert "\n" not in str(caught.value)


def test_a_store_that_another_program_locks_is_one_clear_line(disk, monkeypatch):
    """A locked file fails the append as `StoreFull`, readers go on, and the same append works afterwards."""
    log, lock = filled(disk)
    disk._here.writer.submit(lambda cache: cache._sql("PRAGMA busy_timeout = 100")).result(timeout=5)  # not 10 s
    with database(disk) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFull, match=r"locked.*end the program") as caught:
            log.append(5, a_delta())
        assert str(disk.directory) in str(caught.value)
        assert log.tail() == 4
        other.execute("ROLLBACK")
    log.append(5, a_delta())
    lock.release()


def test_a_removed_directory_is_a_new_store(disk):
    """Who clears the cache directory finds its streams gone and a new store there; nothing is written into the void."""
    log, lock = filled(disk)
    shutil.rmtree(disk.directory)
    with pytest.raises(StreamGone):
        log.append(5, a_delta())
    with pytest.raises(StreamGone):
        log.read()
    lock.release()
    disk.start(an_open("s2")).lock.release()
    assert len(disk.list()) == 1


class LimitedFiles:
    """No file may grow beyond 256 KiB: a real limit of the operating system that works for every user."""

    def __init__(self, directory):
        self.directory = directory

    def fill(self, child):
        child.do("__import__('resource').setrlimit(1, (256 * 1024, -1))")

    def make_room(self, child):
        child.do("__import__('resource').setrlimit(1, (-1, -1))")


class Tmpfs:
    """A file system of 1 MiB, and a file that takes what is left of it."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True, capture_output=True)

    def fill(self, child):
        del child
        with contextlib.suppress(OSError), (self.directory / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass

    def make_room(self, child):
        del child
        (self.directory / "filler").unlink()

    def end(self):
        subprocess.run(["umount", "--lazy", self.directory], check=True)


def can_mount():
    """Say whether this machine and user may mount a file system."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            Tmpfs(Path(directory) / "disk").end()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True


@pytest.fixture(params=[LimitedFiles, Tmpfs] if can_mount() else [LimitedFiles])
def small(request, tmp_path):
    """Return a disk that can be filled."""
    made = request.param(tmp_path / "disk")
    yield made
    if isinstance(made, Tmpfs):
        made.end()


def test_a_full_disk_loses_nothing_and_half_stores_nothing(small):
    """
    On a full disk appends and stop rows fail as `StoreFull` with one line that says what to do; what was acknowledged
    is there, nothing of the refused; and when there is room again the very same append is accepted.
    """
    child = Child(small.directory / "store")
    try:
        child.do("kept.append(store.start(an_open()))")
        small.fill(child)
        stored = 0
        while (answer := child.do(f"kept[0].log.append({stored + 1}, a_delta('x' * 10_000))")) == "None":
            stored += 1
            assert stored < 1000
        assert answer.startswith("StoreFull: ")
        assert str(small.directory / "store") in answer
        assert "nothing of this was saved" in answer
        assert child.do("kept[0].log.tail()") == str(stored)
        assert child.do(f"kept[0].log.append({stored + 1}, a_delta('y' * 200_000))").startswith("StoreFull: ")
        assert child.do(f"kept[0].log.append({stored + 2}, a_delta())").startswith(("StoreFull: ", "Fenced: "))
        assert child.do("len(kept[0].log.read())") == str(stored + 1)
        small.make_room(child)
        assert child.do(f"kept[0].log.append({stored + 1}, a_delta('room'))") == "None"
        assert child.do(f"kept[0].log.read({stored})[0].parts[0].text") == "'room'"
        assert child.do("store.request_stop('s1', opened=0).result()") == "None"
        print(f"full after {stored} records: {answer}")
    finally:
        child.kill()


def test_a_full_disk_can_be_read(small):
    """After a SIGKILL on a full disk the next process opens the store, reads everything and is refused to write."""
    first = Child(small.directory / "store")
    first.do("kept.append(store.start(an_open()))")
    first.do("kept[0].log.append(1, a_delta('kept'))")
    small.fill(first)
    first.kill()
    child = Child(small.directory / "store")
    try:
        small.fill(child)
        assert child.do("store.log('s1').read()[1].parts[0].text") == "'kept'"
        assert child.do("store.status('s1').state.value") == "'interrupted'"
        assert child.do("kept.append(store.lock('s1'))") == "None"
        assert child.do("store.log('s1').append(2, a_delta('x' * 300_000))").startswith("StoreFull: ")
        small.make_room(child)
        assert child.do("store.log('s1').append(2, a_delta('x' * 300_000))") == "None"
    finally:
        child.kill()

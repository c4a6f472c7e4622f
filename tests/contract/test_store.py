"""What every `Store` promises (nbstream.log.contract), on every store."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from samples import a_close, a_delta, an_open

from nbstream.errors import Fenced, StreamGone
from nbstream.log import stores
from nbstream.log.contract import Want
from nbstream.state import State

DAY = 86_400


def began(store, stream="s1", key="k"):
    """Start a stream, let its writer go, and return its log."""
    log, lock = store.start(an_open(stream, key))
    lock.release()
    return log


def test_the_first_start_wins(store):
    """Whoever starts under a named key gets the other's log and no lock, and stores nothing."""
    first = store.start(an_open("s1"))
    second = store.start(an_open("s2"))
    assert first.lock is not None
    assert second.lock is None
    assert second.log.stream == "s1"
    assert store.find("k") == "s1"
    with pytest.raises(StreamGone):
        store.log("s2")
    first.lock.release()


def test_of_many_that_start_at_once_one_wins(store):
    """Compare-and-set: under each key exactly one gets the lock, all others attach to its stream."""
    for n in range(10):
        together = threading.Barrier(8)

        def start(i, n=n, together=together):
            together.wait(10)
            return store.start(an_open(f"s{n}-{i}", f"k{n}"))

        with ThreadPoolExecutor(8) as pool:
            started = list(pool.map(start, range(8)))
        (winner,) = [one for one in started if one.lock is not None]
        assert {one.log.stream for one in started} == {winner.log.stream} == {store.find(f"k{n}")}
        winner.lock.release()
    assert len(store.list()) == 10


def test_a_start_replaces_what_it_names(store):
    """The key moves from the stream named as *replaces* to the new one; the old one stays readable."""
    began(store, "s1")
    log, lock = store.start(an_open("s2"), replaces="s1")
    assert lock is not None
    assert store.find("k") == "s2"
    assert store.log("s1").read() == [an_open("s1")]
    late = store.start(an_open("s3"), replaces="s1")
    assert late.lock is None
    assert late.log.stream == log.stream == "s2"
    lock.release()


def test_what_was_deleted_need_not_be_replaced(store):
    """A start that means to replace a stream which is gone by then succeeds."""
    began(store, "s1")
    store.delete("s1")
    assert store.start(an_open("s2"), replaces="s1").lock is not None


def test_an_id_is_used_once(store):
    """Starting with an id that is in use is refused as `Fenced`, under any key."""
    began(store, "s1")
    with pytest.raises(Fenced, match="s1"):
        store.start(an_open("s1", "other"))
    assert store.find("other") is None
    assert store.lock("s1") is not None


@pytest.mark.parametrize("bad", ["", "../up", "a/b", "a b", "!m:x", "ä", "a\x00", "x" * 129])
def test_an_id_is_url_safe(store, bad):
    """An id that could name another file or row is a `ValueError` to start, and simply unknown to all else."""
    with pytest.raises(ValueError, match="stream id"):
        store.start(an_open(bad))
    for use in (store.log, store.status, store.lock, store.touch):
        with pytest.raises(StreamGone):
            use(bad)
    store.delete(bad)
    assert store.list() == []


@pytest.mark.parametrize("key", ["", "päth/to nb.ipynb\ncell\x00\u2028", "!m:s1", "'\"%_*", "\U0001f600" * 200])
def test_a_key_is_any_text(store, key):
    """Keys are found as they were given, and name nothing else."""
    began(store, "s1", key)
    assert store.find(key) == "s1"
    assert store.find(key + " ") is None
    assert store.status("s1").open.key == key


def test_a_writer_excludes_the_next(store):
    """Only one holds a stream, in one process too; after its release (twice is harmless) the next one may."""
    _, first = store.start(an_open())
    assert store.lock("s1") is None
    first.release()
    second = store.lock("s1")
    first.release()
    assert store.lock("s1") is None
    second.release()


def test_a_lock_may_be_let_go_by_another_thread(store):
    """The thread that ends a stream need not be the one that began it."""
    _, lock = store.start(an_open())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.release).result(timeout=5)
    assert store.lock("s1") is not None


def test_status_tells_what_the_log_says(store, clock):
    """Status names the last `open` and its offset, the tail, the close, liveness and both times."""
    log, lock = store.start(an_open())
    status = store.status("s1")
    assert (status.stream, status.open, status.opened, status.tail) == ("s1", an_open(), 0, 0)
    assert (status.live, status.close, status.state, status.has_text) == (True, None, State.STREAMING, False)
    assert status.created == status.touched == clock.now
    log.append(1, a_delta())
    assert store.status("s1").has_text
    clock.now += 5
    log.append(2, a_close("interrupted"))
    lock.release()
    status = store.status("s1")
    assert (status.close, status.live, status.state) == (a_close("interrupted"), False, State.INTERRUPTED)
    assert (status.created, status.touched) == (clock.now - 5, clock.now)
    lock = store.lock("s1")
    log.append(3, an_open(intent="resume"))
    status = store.status("s1")
    assert (status.open, status.opened, status.close) == (an_open(intent="resume"), 3, None)
    assert (status.state, status.has_text) == (State.STREAMING, True)
    lock.release()


def test_without_a_writer_and_a_close_it_is_interrupted(store):
    """`open` without `close` and without a live writer is interrupted."""
    began(store)
    assert store.status("s1").state is State.INTERRUPTED


def test_with_a_stop_row_it_is_stopped(store):
    """`open` without `close` and without a live writer is stopped if a stop row stands for it."""
    began(store)
    store.request_stop("s1", opened=0).result(timeout=5)
    assert store.status("s1").stop_requested
    assert store.status("s1").state is State.STOPPED


def test_a_later_open_is_not_touched_by_an_older_stop_row(store):
    """A stop ends the call it was meant for; a resumed one is not stopped by it."""
    log = began(store)
    store.request_stop("s1", opened=0).result(timeout=5)
    log.append(1, a_close("stopped"))
    log.append(2, an_open(intent="resume"))
    status = store.status("s1")
    assert (status.opened, status.stop_requested, status.state) == (2, False, State.INTERRUPTED)
    assert store.stop_requested("s1", opened=0)
    assert not store.stop_requested("s1", opened=2)


def test_one_agent_is_stopped_alone(store):
    """A stop row for one agent stands for that agent only; one for all stands for every agent."""
    began(store)
    for agent in ("writer", "*"):
        assert not store.stop_requested("s1", opened=0, agent=agent)
        store.request_stop("s1", opened=0, agent=agent).result(timeout=5)
        store.request_stop("s1", opened=0, agent=agent).result(timeout=5)
        assert store.stop_requested("s1", opened=0, agent=agent)
    assert not store.stop_requested("s1", opened=0)
    assert not store.stop_requested("s1", opened=0, agent="critic")
    assert store.status("s1").state is State.INTERRUPTED
    store.request_stop("s1", opened=0).result(timeout=5)
    assert store.stop_requested("s1", opened=0, agent="critic")


def test_the_list_is_newest_first(store, clock):
    """Every stream is listed, the newest first, whatever is appended to the others."""
    logs = []
    for n in range(5):
        clock.now += 1
        logs.append(began(store, f"s{n}", f"k{n}"))
    clock.now += 1
    logs[0].append(1, a_close())
    assert [status.stream for status in store.list()] == ["s4", "s3", "s2", "s1", "s0"]


def test_what_was_left_is_listed(store):
    """A stream is left when nobody writes it and nothing says that it ended; whoever goes on with it takes it off."""
    error = {"type": "source_failed", "message": "a reason", "retryable": False}
    closes = [
        None, a_close("interrupted"), a_close("interrupted", error), a_close("failed", error), a_close("stopped"),
        a_close(),
    ]  # fmt: skip
    for n, close in enumerate(closes):
        log = began(store, f"s{n}", f"k{n}")
        if close is not None:
            log.append(1, close)
    lock = store.start(an_open("live", "k-live")).lock
    began(store, "stop", "k-stop")
    store.request_stop("stop", opened=0).result(timeout=5)
    assert {one.stream for one in store.left()} == {"s0", "s1"}
    assert {one.stream for one in store.left(key=lambda key: key == "k1")} == {"s1"}
    # Failed, then resumed by one who died in turn.
    store.log("s3").append(2, an_open("s3", "k3", "resume"))
    assert {one.stream for one in store.left()} == {"s0", "s1", "s3"}
    store.log("s3").append(3, a_close())
    again = store.lock("s1")
    assert {one.stream for one in store.left()} == {"s0"}
    again.release()
    store.delete("s0")
    assert {one.stream for one in store.left()} == {"s1"}
    lock.release()


def test_what_was_left_and_is_known_is_not_listed_again(store):
    """Who has looked at a stream with this tail is not told of it again; with another tail he is."""
    logs = {name: began(store, name, f"k-{name}") for name in ("one", "two")}
    logs["two"].append(1, a_delta())
    assert {one.stream for one in store.left(known={("one", 0), ("two", 0)})} == {"two"}
    assert store.left(known={("one", 0), ("two", 1)}) == []
    logs["one"].append(1, a_delta())
    assert [one.stream for one in store.left(known={("one", 0), ("two", 1)})] == ["one"]
    assert store.left(key=lambda key: key == "k-two", known={("two", 1)}) == []


def test_when_each_was_touched(store, clock):
    """Of several streams it is told at once when each was touched; those that are not there are left out."""
    first = clock.now
    for name in ("a", "b", "gone"):
        began(store, name, name)
    store.delete("gone")
    clock.now += 5
    store.touch("b")
    names = ["b", "gone", "a", "never", "../a", "b"]
    assert store.touched(names) == {"a": first, "b": first + 5}
    assert store.touched(names) == {name: store.status(name).touched for name in ("a", "b")}
    assert store.touched([]) == {}


def test_several_logs_are_read_at_once(store):
    """Each gets what it would have got alone: records, none, or the error, also where two want the same."""
    logs = {name: began(store, name, f"k-{name}") for name in ("a", "b", "gone")}
    for n in range(1, 30):
        logs["a"].append(n, a_delta(f"word {n} ", n))
    store.delete("gone")
    wants = [
        Want(logs["a"], 4, 10), Want(logs["gone"], -1, 10), Want(logs["a"], 4, 10), Want(logs["b"], -1, 10),
        Want(store.log("a"), 4, 10), Want(logs["a"], 29, 10), Want(logs["a"], -1, 1000),
    ]  # fmt: skip
    found = store.read(wants)
    assert isinstance(found[1], StreamGone)
    for want, records in zip(wants, found, strict=True):
        if want.log.stream != "gone":
            assert records == want.log.read(want.after, limit=want.limit)
    assert [len(one) for n, one in enumerate(found) if n != 1] == [10, 10, 1, 10, 0, 30]
    assert store.read([]) == []


def test_deletion_removes_a_stream_whole(store):
    """Log, key and stop rows are gone, other streams stay; deleting it again is fine."""
    log = began(store, "s1")
    began(store, "s10", "k10")
    for n in range(1, 2500):
        future = log.submit(n, a_delta())
    future.result(timeout=30)
    store.request_stop("s1", opened=0).result(timeout=5)
    store.delete("s1")
    store.delete("s1")
    assert store.find("k") is None
    assert [status.stream for status in store.list()] == ["s10"]
    for use in (store.log, store.status, store.lock, store.touch):
        with pytest.raises(StreamGone, match="s1"):
            use("s1")
    with pytest.raises(StreamGone):
        store.stop_requested("s1", opened=0)
    with pytest.raises(StreamGone):
        store.request_stop("s1", opened=0).result(timeout=5)
    began(store, "s1")
    assert store.log("s1").tail() == 0
    assert not store.stop_requested("s1", opened=0)


def test_deletion_leaves_a_key_that_names_another_stream(store):
    """An older stream of a key goes without taking the newer one's name."""
    began(store, "s1")
    store.start(an_open("s2"), replaces="s1").lock.release()
    store.delete("s1")
    assert store.find("k") == "s2"


def test_a_live_stream_is_not_deleted(store):
    """Deleting a stream that is written is refused as `Fenced`."""
    log, lock = store.start(an_open())
    with pytest.raises(Fenced, match="s1"):
        store.delete("s1")
    log.append(1, a_delta())
    lock.release()


def at(store, clock, days):
    """Let *days* pass and sweep every day but the last."""
    for _ in range(days - 1):
        clock.now += DAY
        assert store.sweep() == []
    clock.now += DAY


def test_a_sweep_takes_streams_of_30_days(store, clock):
    """Streams last touched more than 30 days ago go, whole; younger ones stay."""
    began(store, "old", "k1")
    clock.now += 1
    began(store, "young", "k2")
    at(store, clock, 30)
    assert store.sweep() == ["old"]
    assert [status.stream for status in store.list()] == ["young"]
    assert store.find("k1") is None
    assert store.sweep(days=29) == ["young"]


def test_display_and_close_count_as_touched(store, clock):
    """A stream that was displayed, closed or opened again within 30 days stays."""
    logs = {name: began(store, name, name) for name in ("shown", "closed", "opened", "left")}
    clock.now += DAY
    store.touch("shown")
    logs["closed"].append(1, a_close())
    logs["opened"].append(1, an_open("opened", "opened", "resume"))
    at(store, clock, 29)
    clock.now += 1
    assert store.sweep() == ["left"]


def test_a_live_stream_is_not_swept(store, clock):
    """A stream with a writer stays however old it is; without one it goes."""
    _, lock = store.start(an_open())
    at(store, clock, 40)
    assert store.sweep() == []
    lock.release()
    assert store.sweep() == ["s1"]


def test_a_clock_that_jumped_deletes_nothing(store, clock):
    """A sweep behind the last one or more than 7 days past it deletes nothing; the next sane one does."""
    began(store)
    began(store, "s2", "k2")
    clock.now += 40 * DAY
    assert store.sweep() == []
    assert store.sweep(now=clock.now - 1) == []
    assert store.sweep(now=clock.now + 7 * DAY + 1) == []
    assert store.sweep(now=clock.now) == []
    assert sorted(store.sweep(now=clock.now + 7 * DAY)) == ["s1", "s2"]


def test_a_closed_store_raises(store):
    """After `close` every call raises `RuntimeError`, and who waits is woken by it."""
    log, lock = store.start(an_open())
    assert not store.closed
    with ThreadPoolExecutor(1) as pool:
        subscribed = threading.Event()
        end = log.subscribe(lambda: None)
        waiting = pool.submit(lambda: (subscribed.set(), log.wait(0, 60)))
        assert subscribed.wait(5)
        store.close()
        assert isinstance(waiting.exception(timeout=5), RuntimeError)
    end()
    lock.release()
    store.close()
    assert store.closed
    for use in (store.list, log.read, log.tail, lambda: store.find("k"), lambda: log.submit(1, a_delta())):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_a_closed_store_is_opened_again(tmp_path, monkeypatch):
    """`open_store` gives the same store for the same address, until it is closed: then a new one."""
    monkeypatch.setattr(stores, "_stores", {})
    for url in (stores.MEMORY, str(tmp_path / "opened")):
        first = stores.open_store(url)
        assert stores.open_store(url) is first
        first.close()
        again = stores.open_store(url)
        assert again.list() == []
        assert stores.open_store(url) is again
        again.close()


def test_close_writes_what_is_waiting(store):
    """What was submitted before `close` is stored by it."""
    log, _ = store.start(an_open())
    futures = [log.submit(n, a_delta()) for n in range(1, 1000)]
    store.close()
    assert all(future.done() and future.exception() is None for future in futures)


def test_a_list_can_be_asked_by_key(store):
    """Only the streams whose key is accepted are listed, newest first."""
    for n in range(4):
        began(store, f"s{n}", f"{'even' if n % 2 == 0 else 'odd'} {n}")
    assert {one.stream for one in store.list(key=lambda key: key.startswith("even"))} == {"s0", "s2"}


def test_an_open_under_another_key_moves_the_stream(store):
    """Resumed under another key, a stream is found there and no longer under the old one."""
    log = began(store, "s1", "old")
    log.append(1, an_open("s1", "new", "resume"))
    assert (store.find("old"), store.find("new")) == (None, "s1")
    assert [one.stream for one in store.list(key=lambda key: key == "new")] == ["s1"]
    store.delete("s1")
    assert store.find("new") is None


def test_an_open_never_takes_another_streams_key(store):
    """A key that names somebody else stays theirs."""
    log = began(store, "s1", "mine")
    began(store, "s2", "theirs")
    log.append(1, an_open("s1", "theirs", "resume"))
    assert (store.find("mine"), store.find("theirs")) == ("s1", "s2")


def test_a_sweep_that_a_user_asked_for_believes_the_clock(store, clock):
    """Weeks after the last sweep an automatic one deletes nothing, one that was asked for does what it was told."""
    began(store, "s1")
    clock.now += 40 * DAY
    assert store.sweep() == []
    clock.now += 40 * DAY
    assert store.sweep(asked=True) == ["s1"]


def test_the_size_counts_what_is_kept(store):
    """A store is at least as large as what was appended to it, whichever stream that went to."""
    logs = began(store, "s1", "k1"), began(store, "s2", "k2")
    before = store.size()
    for log in logs:
        for n in range(1, 101):
            log.append(n, a_delta("x" * 10_000))
    assert before + 2_000_000 <= store.size() < before + 10_000_000
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.size()

"""A Redis that was put back: what its writers, its readers and those who would go on in their place make of it."""

import random
import threading
import time

import pytest
from samples import Child, a_close, a_delta, an_open, until

from nbstream.errors import Fenced, LogDamaged, RecordsLost, StreamGone
from nbstream.log import redis_holds
from nbstream.log.redis import open_redis_store
from nbstream.state import State


def lossy(own):
    """Return a server, a store in it, and a log of records 0 to 5, of which a crash will leave 0 to 3."""
    server = own()
    store = open_redis_store(server.url())
    log, _lock = store.start(an_open())
    for n in range(1, 6):
        log.append(n, a_delta(str(n)))
        if n == 3:
            with server.client() as client:
                client.save()
    return server, store, log


def test_a_writer_learns_that_redis_has_lost_records(own):
    """Behind a hole nothing is written: the writer is told what is left, the stream is resumed behind that."""
    server, store, log = lossy(own)
    server.kill()
    server.start()
    with pytest.raises(Fenced, match="record 6 of stream s1 was refused: the store ends before record 4"):
        log.append(6, a_delta("6"))
    assert store.log("s1").read(0) == [a_delta(str(n)) for n in (1, 2, 3)]
    store._own.here.holds.release_all()
    assert store.status("s1").state is State.INTERRUPTED
    assert store.lock("s1") is not None
    store.log("s1").append(4, an_open(intent="resume"))
    assert store.log("s1").tail() == 4
    store.close()


@pytest.mark.parametrize("grown", [0, 1, 2, 3, 10])
def test_a_reader_learns_that_what_it_has_is_lost(own, grown):
    """A reader that has more than Redis still has is told so, also when others have written on at its offsets."""
    server, store, log = lossy(own)
    knows, knew = store.log("s1"), store.log("s1")
    assert len(knows.read()) == 6
    assert len(knew.read(limit=4)) == 4
    server.kill()
    server.start()
    if grown:
        store._own.here.holds.release_all()
        store.lock("s1")
        for offset in range(4, 4 + grown):
            log.append(offset, an_open(intent="resume") if offset == 4 else a_delta("other"))
    for _ in range(2):
        with pytest.raises(LogDamaged, match="has lost records 4 to 5"):
            knows.read(5)
    assert len(knew.read(3)) == grown  # had nothing that is gone
    assert len(store.log("s1").read()) == 4 + grown
    store.close()


def test_a_reader_that_begins_at_the_end_learns_of_a_loss(own):
    """Who asks behind the last record has it, though nothing of it was read here."""
    server, store, log = lossy(own)
    reader = store.log("s1")
    assert reader.read(5) == []
    server.kill()
    server.start()
    store._own.here.holds.release_all()
    store.lock("s1")
    for offset in range(4, 14):
        log.append(offset, an_open(intent="resume") if offset == 4 else a_delta("other"))
    for _ in range(2):
        with pytest.raises(RecordsLost, match="has lost records 4 to 5"):
            reader.read(5)
    assert len(store.log("s1").read(5)) == 8, "who says no more than a number is believed"
    store.close()


def test_a_stream_that_redis_has_lost_whole_is_gone(own):
    """A stream started within the lost moment is gone, for its writer and for its readers."""
    server = own()
    store = open_redis_store(server.url())
    log, _lock = store.start(an_open())
    server.kill()
    server.start()
    for use in (log.read, lambda: log.append(1, a_delta())):
        with pytest.raises(StreamGone):
            use()
    store.close()


# -- the end of a stream is lost --------------------------------------------------------------------------------------


def put_back(server):
    """Start the Redis again from its last snapshot."""
    server.kill()
    server.start()


def snapshot(server):
    """Let it keep what there is now."""
    with server.client() as client:
        client.save()


def reckoned(store, before):
    """Wait until *store* has met another Redis than *before*."""
    until(lambda: store._own.here.holds.known != before, "the new Redis to be met")


def test_an_end_that_redis_has_lost_is_no_life(own):
    """What ended and was let go of is soon not live, though its process lives; nobody goes on with it by himself."""
    server = own()
    url = server.url()
    store, other = open_redis_store(url), open_redis_store(url)
    names = ("complete", "stopped", "told", "held")
    logs, locks = {}, {}
    for name in names:
        logs[name], locks[name] = store.start(an_open(name, name))
        logs[name].append(1, a_delta())
    logs["told"].append(2, a_close())
    store.start(an_open("left", "left")).lock.release()
    store._own.here.holds.settle()
    snapshot(server)
    logs["complete"].append(2, a_close())
    store.request_stop("stopped", opened=0).result(5)
    logs["stopped"].append(2, a_close("stopped"))
    for name in names[:3]:
        locks[name].release()
    store._own.here.holds.settle()
    put_back(server)

    def left():
        return {one.stream for one in other.left()}

    def settled():
        assert left() <= {"left"}, "somebody would go on with it"
        return not any(other.status(name).live for name in names[:3])

    until(settled, "the ends")
    assert other.status("told").state is State.COMPLETE
    until(lambda: other.status("stopped").state is State.STOPPED, "the stop row to be set again")
    assert other.status("complete").state is State.INTERRUPTED
    assert {one.stream for one in other.list()} == {*names, "left"}
    # What its process really has stays live, and goes on.
    until(lambda: other.status("held").live, "a beat")
    assert other.lock("held") is None
    logs["held"].append(2, a_delta())
    # The others are free, for whoever wants one of them.
    for name in names[:3]:
        other.lock(name).release()
    store.close()
    until(left, "what was left before")
    assert left() == {"left", "held"}, "its process is gone by now"
    other.delete("told")
    lock = other.lock("complete")
    other.log("complete").append(2, an_open("complete", "complete", "resume"))
    lock.release()
    assert left() == {"left", "held", "complete"}, "its user had resumed it, and it was left since"
    other.close()


def test_nothing_is_left_before_the_living_have_said_so(own):
    """Redis was away for longer than a beat lives: whose beat is not there again yet is not dead."""
    server = own()
    url = server.url()
    store, other = open_redis_store(url), open_redis_store(url)
    log, _lock = store.start(an_open())
    child = Child(url)
    child.do("began(kept.append(store.start(an_open('dead', 'dead'))) or kept[-1])")
    with server.client() as client:
        client.delete(*client.scan_iter(f"{url.rpartition('=')[2]}b:*"))
        client.save()
    put_back(server)
    child.kill()

    def the_dead_one():
        found = {one.stream for one in other.left()}
        assert "s1" not in found
        return found == {"dead"}

    began = time.monotonic()
    until(the_dead_one, "what a dead writer left")
    assert time.monotonic() - began > 1
    log.append(1, a_delta())
    store.close()
    other.close()


def test_a_reckoning_that_is_refused_is_made_again(own):
    """A Redis that comes back without memory cannot be told; as soon as there is some, it is."""
    server = own()
    store = open_redis_store(server.url())
    _log, lock = store.start(an_open())
    snapshot(server)
    lock.release()
    store._own.here.holds.settle()
    server._settings["maxmemory"] = "1"
    put_back(server)
    with server.client() as client:
        until(lambda: client.info("errorstats").get("errorstat_OOM", {}).get("count", 0) > 2, "some refusals")
        assert store.status("s1").live
        client.config_set("maxmemory", "0")
    until(lambda: not store.status("s1").live, "the end")
    store.close()


@pytest.mark.parametrize("what", ["other", "same"])
def test_a_stop_is_set_again_for_its_own_open_alone(own, what):
    """The `open` that was stopped is lost too, and its place taken: that one is not stopped."""
    server = own()
    url = server.url()
    store, other = open_redis_store(url), open_redis_store(url)
    store.start(an_open("beats", "beats"))
    other.start(an_open()).lock.release()
    other._own.here.holds.settle()
    lock = other.lock("s1") if what == "same" else None
    snapshot(server)
    lock = lock or other.lock("s1")
    other.log("s1").append(1, an_open(intent="resume"))
    store.request_stop("s1", opened=1).result(5)
    known = store._own.here.holds.known
    put_back(server)
    lock.release()
    other._own.here.holds.settle()
    assert other.lock("s1") is not None
    other.log("s1").append(1, an_open(intent="resume"))
    reckoned(store, known)
    store.request_stop("beats", opened=0).result(5)  # behind those that are set again
    assert not store.stop_requested("s1", opened=1)
    assert other.status("s1").live
    store.close()
    other.close()


def test_what_is_under_way_is_never_reckoned_as_lost(own, soak, seed, monkeypatch):
    """Streams start, end and are taken again while one reckoning follows the other: none that is held is let go of."""
    monkeypatch.setattr(redis_holds, "BEAT_S", 0.001)
    monkeypatch.setattr(redis_holds, "PIECE", 3)
    url = own().url()
    store, other = open_redis_store(url), open_redis_store(url)
    holds, over, met, wrong = store._own.here.holds, threading.Event(), [], []
    reckoned, holds._reckoned = holds._reckoned, lambda: (met.append(1), reckoned())
    _log, _lock = store.start(an_open("first", "first"))  # the beat begins

    def forget():
        while not over.wait(0.001):
            holds.known = "another"

    def write(number):
        choose = random.Random(f"{seed}-{number}")
        try:
            for turn in range(200 if soak else 40):
                name = f"s{number}-{turn}"
                log, lock = store.start(an_open(name, name))
                for offset in range(1, choose.randrange(2, 5)):
                    log.append(offset, a_delta())
                assert other.status(name).live
                last = log.submit(log.tail() + 1, a_delta())
                lock.release()
                if choose.random() < 0.5:
                    lock = store.lock(name)
                    assert other.lock(name) is None
                    log.append(log.tail() + 1, a_close())
                    lock.release()
                last.result(5)
        except BaseException as exc:  # noqa: BLE001 - the test tells
            wrong.append(exc)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    forgetful = threading.Thread(target=forget)
    for thread in (*threads, forgetful):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    forgetful.join()
    print(f"{len(met)} reckonings")
    assert not wrong
    assert len(met) > 10
    assert other.status("first").live
    store.close()
    other.close()

"""What every `Log` promises (nbstream.log.contract), on every store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from samples import a_close, a_delta, an_open

from nbstream.errors import Fenced, StreamGone
from nbstream.records import Delta, Part, whole_characters


@pytest.fixture
def log(store):
    """Return the log of a stream that was just started."""
    started, lock = store.start(an_open())
    yield started
    lock.release()


def test_a_started_log_holds_its_open(log):
    """The `open` is record 0, and the tail is 0."""
    assert log.stream == "s1"
    assert log.read() == [an_open()]
    assert log.tail() == 0


def test_offsets_are_dense(log):
    """Item i of a read has offset after + 1 + i, oldest first, up to the limit."""
    records = [an_open(), *(a_delta(str(n)) for n in range(1, 30))]
    for offset, record in enumerate(records[1:], 1):
        log.append(offset, record)
    for after in range(-1, 31):
        for limit in (1, 7, 1000):
            assert log.read(after, limit=limit) == records[after + 1 : after + 1 + limit]
    assert log.read(-7) == records
    assert log.tail() == 29


def test_nothing_yet_is_an_empty_list(log):
    """Reading behind the tail returns an empty list, however far behind."""
    assert log.read(0) == []
    assert log.read(10**9) == []


@pytest.mark.parametrize("offset", [-1, 0, 2, 3, 10**9])
def test_only_the_offset_behind_the_tail_is_accepted(log, offset):
    """An append anywhere else is refused as `Fenced`, names stream and offset, and stores nothing."""
    with pytest.raises(Fenced, match=rf"record {offset} of stream s1"):
        log.append(offset, a_delta())
    assert log.read() == [an_open()]


def test_records_submitted_in_order_are_stored_in_order(log):
    """One thread may submit without waiting; when the last future is done, all are stored, in order."""
    futures = [log.submit(n, a_delta(str(n), sequence=n)) for n in range(1, 2001)]
    futures[-1].result(timeout=30)
    assert all(future.done() for future in futures)
    assert [record.parts[0].text for record in log.read(0, limit=3000)] == [str(n) for n in range(1, 2001)]


def test_what_is_behind_a_refused_record_is_refused(log):
    """After one record fails, those submitted behind it fail too, and the log goes on behind its tail."""
    good, hole, behind = (log.submit(n, a_delta(str(n))) for n in (1, 3, 4))
    good.result(timeout=10)
    for future in (hole, behind):
        with pytest.raises(Fenced):
            future.result(timeout=10)
    log.append(2, a_delta("2"))
    assert log.tail() == 2


def test_a_refused_record_does_not_touch_other_streams(store, log):
    """What one stream is refused does not fail another one's record of the same moment."""
    other, lock = store.start(an_open("s2", "k2"))
    futures = []
    for n in range(1, 101):
        futures.append(log.submit(99, a_delta()))
        futures.append(other.submit(n, a_delta(str(n))))
    for refused, stored in zip(futures[::2], futures[1::2], strict=True):
        with pytest.raises(Fenced):
            refused.result(timeout=10)
        stored.result(timeout=10)
    assert other.tail() == 100
    assert log.tail() == 0
    lock.release()


def test_a_second_writer_is_refused(store, log):
    """Of many that append at one offset exactly one is accepted."""
    logs = [store.log("s1") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for offset in range(1, 30):
            futures = [pool.submit(log.append, offset, a_delta(str(n))) for n, log in enumerate(logs)]
            assert sum(future.exception(timeout=10) is None for future in futures) == 1
    assert log.tail() == 29


TEXTS = {
    "CR": "a\rb",
    "CRLF": "a\r\nb\r\n",
    "NUL": "\x00",
    "separators": "\u2028\u2029\x85",
    "BOM": "\ufeffx",
    "astral": "\U0001f600",
    "combining": "e\u0301",
    "replaced surrogate": whole_characters("\ud83d"),
    "empty": "",
    "JSON": '"\\{}',
    "long": "x" * 300_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_comes_back_as_it_went(log, text):
    """Every character comes back, line ends and NUL included."""
    record = Delta((Part("text", text, sequence=1, fields={"name": text}),), at=2.5, cursor={"id": text}, behind=3)
    log.append(1, record)
    assert log.read(0) == [record]


def test_a_reader_cannot_change_what_another_reads(log):
    """A record never changes once it is appended, whatever is done to the objects that went in or came out."""
    fields = {"id": "1"}
    log.append(1, Delta((Part("tool_call", sequence=1, fields=fields),), at=2.0))
    fields["id"] = "2"
    log.read(0)[0].parts[0].fields["id"] = "3"
    assert log.read(0)[0].parts[0].fields == {"id": "1"}


def test_a_deleted_stream_is_gone(store, log):
    """Reading, appending and waiting raise `StreamGone` once the stream was deleted."""
    store.start(an_open("s2", "k2")).lock.release()
    gone = store.log("s2")
    store.delete("s2")
    for use in (gone.read, gone.tail, lambda: gone.append(1, a_delta()), lambda: gone.wait(0, 1)):
        with pytest.raises(StreamGone, match="s2"):
            use()


def test_a_stream_may_be_deleted_while_it_is_read(store):
    """A reader in the middle gets whole records or `StreamGone`, never an error of another kind or a hole."""
    log, lock = store.start(an_open())
    for n in range(1, 3001):
        future = log.submit(n, a_delta(str(n)))
    future.result(timeout=30)
    lock.release()
    read = threading.Event()

    def reader():
        after = 0
        while True:
            for record in log.read(after, limit=10):
                after += 1
                assert record.parts[0].text == str(after)
            read.set()
            if after == 3000:
                after = 0

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(reader)
        assert read.wait(10)
        store.delete("s1")
        assert isinstance(ended.exception(timeout=10), StreamGone)


def test_wait_returns_at_once_for_what_is_there(log):
    """`wait` is True at once when there is a record behind the offset."""
    assert log.wait(-1, 0)
    assert not log.wait(0, 0)


def test_wait_ends_with_its_time(log):
    """`wait` is False when nothing came, not before its time."""
    began = time.monotonic()
    assert not log.wait(0, 0.2)
    assert 0.2 <= time.monotonic() - began < 2


def test_wait_is_woken_by_an_append(log):
    """`wait` returns when the record comes, long before its time."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(log.wait, 0, 60)
        log.append(1, a_delta())
        assert waiting.result(timeout=5)


def test_wait_is_woken_by_deletion(store):
    """Who waits for a stream that is deleted does not wait for ever."""
    log, lock = store.start(an_open())
    lock.release()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(log.wait, 0, 60)
        store.delete("s1")
        assert isinstance(waiting.exception(timeout=5), StreamGone)


def test_subscribers_hear_of_appends_and_stops(store, log):
    """Every subscriber is called after an append and after a stop request, and no more once it has ended."""
    heard = [threading.Semaphore(0), threading.Semaphore(0)]
    ends = [log.subscribe(one.release) for one in heard]
    log.append(1, a_delta())
    assert all(one.acquire(timeout=5) for one in heard)
    store.request_stop("s1", opened=0).result(timeout=5)
    assert all(one.acquire(timeout=5) for one in heard)
    for end in ends:
        end()
        end()  # twice is harmless


def test_the_record_is_there_when_the_subscriber_is_called(log):
    """A signal comes after the record: whoever looks then finds it."""
    seen = []
    done = threading.Event()

    def look():
        seen.append(log.tail())
        if seen[-1] == 1:
            done.set()

    end = log.subscribe(look)
    log.append(1, a_delta())
    assert done.wait(5)
    end()


def test_a_failing_subscriber_does_not_silence_the_others(log, caplog):
    """An exception in one listener is logged; the other listeners hear, and the writer goes on."""
    heard = threading.Semaphore(0)
    ends = [log.subscribe(lambda: 1 / 0), log.subscribe(heard.release)]
    log.append(1, a_delta())
    assert heard.acquire(timeout=5)
    log.append(2, a_close())
    for end in ends:
        end()
    assert "ZeroDivisionError" in caplog.text


def test_a_future_cancelled_in_time_was_never_submitted(store, log):
    """Of a future, either `cancel` says True and nothing is stored, or it says False and the record is."""
    for n in range(1, 50):
        future = log.submit(n, a_delta())
        if future.cancel():
            log.append(n, a_delta())
        else:
            future.result(timeout=10)
        assert log.tail() == n

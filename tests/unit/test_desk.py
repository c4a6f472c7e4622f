"""The thread that reads for all readers: what a round asks is read at once, and each gets its own answer."""

import asyncio

import pytest

from nbstream.errors import LogDamaged, StreamGone
from nbstream.log.contract import Want
from nbstream.log.memory import MemoryStore
from nbstream.records import Delta, Open, Part
from nbstream.relay.http.desk import Desk


class CountingStore(MemoryStore):
    """Notes how many logs are read at a time."""

    def __init__(self):
        super().__init__()
        self.rounds = []

    def read(self, wants):
        self.rounds.append(len(wants))
        return super().read(wants)


@pytest.fixture
def store():
    """Return a store with two streams of 20 records."""
    store = CountingStore()
    for name in ("a", "b"):
        log, lock = store.start(Open(name, f"k-{name}", "new", {}, "f", "w", "h", "b", 1.0))
        for n in range(1, 20):
            log.append(n, Delta((Part("text", f"{name}{n}", sequence=n),), at=1.0))
        lock.release()
    yield store
    store.close()


def by_fives(log, after=-1):
    """Read a log five records at a time; return how many there are."""
    count = 0
    while records := (yield Want(log, after, 5)):
        count, after = count + len(records), after + len(records)
    return count


def asked_together(desk, *questions):
    """Ask all in one round; return answers and errors."""

    async def ask():
        return await asyncio.gather(*map(desk.ask, questions), return_exceptions=True)

    return asyncio.run(ask())


def test_a_round_reads_at_once(store):
    """Questions that need several reads go on in step, beside those that need none."""
    desk, log = Desk(store), store.log("a")
    # The first one is asked alone; the others while it is answered.
    assert asked_together(desk, lambda: 0, *[lambda: by_fives(log)] * 3, lambda: by_fives(log, 14), lambda: 7) == [
        0, 20, 20, 20, 5, 7,
    ]  # fmt: skip
    assert store.rounds == [4, 4, 3, 3, 3]


def test_each_gets_its_own_error(store):
    """What is wrong with one question or its log is raised where it was asked; the others are answered."""
    desk, logs = Desk(store), [store.log("a"), store.log("b")]
    store.delete("b")

    def no_answer():
        raise ZeroDivisionError

    def late():
        yield Want(logs[0], -1, 1)
        raise ZeroDivisionError

    def despite():
        try:
            yield Want(logs[1], -1, 1)
        except StreamGone:
            return "gone"

    found = asked_together(desk, lambda: by_fives(logs[1]), no_answer, late, despite, lambda: by_fives(logs[0]))
    assert [type(one) for one in found[:3]] == [StreamGone, ZeroDivisionError, ZeroDivisionError]
    assert found[3:] == ["gone", 20]


@pytest.mark.parametrize("error", [LogDamaged("foreign"), RuntimeError("the store is closed")])
def test_a_store_that_fails_fails_those_who_read(store, monkeypatch, error):
    """Nobody waits for ever: whoever wanted to read is told, and the next round is another one."""

    def fail(wants):
        raise error

    desk, log = Desk(store), store.log("a")

    async def ask():
        with monkeypatch.context() as patch:
            patch.setattr(store, "read", fail)
            questions = [lambda: by_fives(log), lambda: 7, lambda: by_fives(log)]
            first = await asyncio.gather(*map(desk.ask, questions), return_exceptions=True)
        return first, await desk.ask(lambda: by_fives(log))

    assert asyncio.run(ask()) == ([error, 7, error], 20)

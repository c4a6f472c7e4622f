"""How a stream at rest stands: what its line says is counted from its records."""

import pytest

from nbstream.log.memory import MemoryStore
from nbstream.records import Close, Delta, Open, Part
from nbstream.standing import Standing


class Nowhere:
    """A place where nothing is recorded."""

    def __init__(self, store):
        self.store, self.runtime = store, self

    def at_work(self, stream):
        return None

    def recorder(self, stream):
        return None

    def note(self, stream):
        return None


def opened(at, intent="new"):
    """Return the beginning of a call at this moment."""
    return Open("s1", "k", intent, {"model": "demo:"}, "f", "w", "h", "b", at)


@pytest.mark.parametrize(
    ("ends", "took"), [(Close("interrupted", 103.0), 3.0), (Delta((Part("text", "x"),), 102.0), 2.0)]
)
def test_the_time_of_a_resumed_message_is_that_of_its_calls(ends, took):
    """Ten minutes between a cut and Resume are no time that the answer took."""
    store = MemoryStore()
    store.start(opened(100.0)).log.append(1, ends)
    log = store.log("s1")
    log.append(2, opened(700.0, "resume"))
    log.append(3, Close("complete", 704.5))
    facts = Standing(Nowhere(store), log, from_store=False, offered=False).facts()
    assert facts.took_s == took + 4.5
    assert facts.resumed == 1


def test_a_clock_that_was_set_back_tells_no_time():
    """Better none than a wrong one."""
    store = MemoryStore()
    store.start(opened(100.0)).log.append(1, Close("complete", 40.0))
    assert Standing(Nowhere(store), store.log("s1"), from_store=False, offered=False).facts().took_s is None


def test_the_models_name_stays_while_the_call_is_made_again():
    """A call that was resumed has not said yet who answers: it is who did before."""
    store = MemoryStore()
    store.start(opened(100.0)).log.append(1, Close("stopped", 103.0, model="demo-large"))
    log = store.log("s1")
    log.append(2, opened(700.0, "resume"))
    assert Standing(Nowhere(store), log, from_store=False, offered=False).facts().model == "demo-large"

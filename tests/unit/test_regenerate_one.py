"""One agent of a team is asked anew in a new stream; what the others said is taken over whole, whatever happens."""

import json
from dataclasses import replace

import pytest
from teams import event
from test_page_session import PATIENCE_S, hosted

import nbstream
from nbstream.errors import LogDamaged, StoreFull, StreamError, StreamGone
from nbstream.log.disk import open_disk_store
from nbstream.log.disk_log import DiskLog
from nbstream.log.readback import records_of
from nbstream.recorder.copying import take_over
from nbstream.recorder.progress import Progress
from nbstream.records import Delta, Open, encode
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.sources.contract import End
from nbstream.testing import ScriptedSource

KEY = json.dumps(["notebook", "cell:1", 0])


class Cell:
    """A cell that asks two agents, and what it asked."""

    def __init__(self, store):
        self.store = store
        said = [event(1, "one "), event(2, "two "), event(3, "three"), End()]
        self.sources = {name: ScriptedSource(said, said, said) for name in "ab"}

    def run(self, *, fresh=False):
        """Run it."""
        team = nbstream.merge(self.sources)
        return hosted(self.store).launch(team, KEY, Ask(team.fingerprint, fresh=fresh))

    @property
    def calls(self):
        return {name: len(source.connections) for name, source in self.sources.items()}


@pytest.fixture
def cell(tmp_path):
    """Return a cell on a store of this test."""
    store = open_disk_store(tmp_path / "store")
    yield Cell(store)
    runtime().close()
    store.close()


def others(log, agent="b"):
    """What everybody but *agent* has said, with numbers and places."""
    return [part for record in records_of(log) if isinstance(record, Delta) for part in record.parts
            if part.agent != agent]  # fmt: skip


@pytest.mark.parametrize("room", [0, 1, 2])
def test_the_store_is_full_while_the_others_are_taken_over(cell, monkeypatch, room):
    """It says so, nobody holds the new stream; the cell run again takes over the rest and asks that agent alone."""
    old = cell.run()
    assert old.wait(PATIENCE_S) == "complete"
    append, left = DiskLog.append, iter([True] * room)

    def full(log, offset, record):
        if not next(left, False):
            raise StoreFull("no space left on the device")
        append(log, offset, record)

    monkeypatch.setattr(DiskLog, "append", full)
    with pytest.raises(StoreFull, match=rf"agent b was not asked, as only {room} records .*no space left.*resume"):
        old.regenerate("b")
    monkeypatch.undo()
    new = cell.store.status(cell.store.find(KEY))
    assert (new.stream != old.id, new.live, new.state, cell.calls) == (True, False, "interrupted", {"a": 1, "b": 1})
    again = cell.run()
    assert (again.id, again.wait(PATIENCE_S)) == (new.stream, "complete")
    assert cell.calls == {"a": 1, "b": 2}
    assert others(again.log) == others(old.log)
    assert again.agents["b"].text == "one two three"


def test_a_spawned_agent_is_asked_anew_by_its_parent(cell):
    """No cell knows its source: that is said in one line, and nothing is begun."""

    def lead(team):
        team.spawn("helper", cell.sources["a"])
        return cell.sources["b"]

    team = nbstream.merge(lead=nbstream.Agent(lead))
    stream = hosted(cell.store).launch(team, KEY, Ask("team"))
    assert stream.wait(PATIENCE_S) == "complete"
    with pytest.raises(StreamError, match=r"agent helper .* was spawned by another agent"):
        stream.regenerate("helper")
    assert (cell.store.find(KEY), cell.calls) == (stream.id, {"a": 1, "b": 1})


def test_what_is_taken_over_whole_is_not_taken_over_again(cell):
    """Once its agent has had a turn, a stream takes nothing more over: its parent may have gone on by then."""
    old = cell.run()
    old.wait(PATIENCE_S)
    new = old.regenerate("b")
    assert new.wait(PATIENCE_S) == "complete"
    tail, (first,) = new.log.tail(), new.log.read(limit=1)
    assert (first.parent, first.agent, first.intent) == (old.id, "b", "regenerate")
    take_over(cell.store, first, new.log, Progress.of(new.log))
    assert new.log.tail() == tail


def test_a_parent_that_cannot_be_read(cell):
    """Nothing is begun, and the key still names the old stream; a parent that is gone is named."""
    old = cell.run()
    old.wait(PATIENCE_S)
    cell.store._here.writer.submit(lambda cache: cache.set(f"{old.id}/0000000002", b"{")).result()
    with pytest.raises(LogDamaged, match=rf"record 2 of stream {old.id}"):
        old.regenerate("b")
    assert cell.store.find(KEY) == old.id
    assert cell.calls == {"a": 1, "b": 1}
    first = replace(old.log.read(limit=1)[0], stream="new", parent="gone", agent="b")
    assert isinstance(first, Open)
    assert encode(first)
    with pytest.raises(StreamGone, match=r"stream new takes over .* stream gone, which is gone"):
        take_over(cell.store, first, old.log, Progress(tail=0, opens=1))

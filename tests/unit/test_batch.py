"""From parts to records: joined, numbered, cut at 16 KiB, with a cursor that is true at every record's end."""

import random

import pytest

from nbstream.recorder.batch import PENDING_CHARS, Batch
from nbstream.recorder.progress import Progress
from nbstream.records import Part, encode

KIB_16 = 16 * 1024


def text(string, agent="assistant", kind="text"):
    """A part."""
    return Part(kind, string, agent)


def records(batch, progress):
    """Store everything that waits, as the writer does."""
    out = []
    while batch:
        record = batch.take(0.0)
        progress.add(record)
        out.append(record)
    return out


def fill(*events):
    """Queue (cursor, parts...) events and return the records they become."""
    progress = Progress(tail=0)
    batch = Batch(progress)
    for cursor, *parts in events:
        batch.add(tuple(parts), cursor)
    return records(batch, progress)


def test_adjacent_text_of_one_agent_joins():
    """What waited together becomes one part an agent and kind; each agent counts its own sequence and offsets."""
    (record,) = fill(
        (None, text("a")), (None, text("b")), (None, text("c", "planner")), (None, text("d", "planner", "reasoning")),
        (None, text("e")),
    )  # fmt: skip
    assert [(part.agent, part.kind, part.text, part.sequence, part.off) for part in record.parts] == [
        ("assistant", "text", "ab", 1, 0),
        ("planner", "text", "c", 1, 0),
        ("planner", "reasoning", "d", 2, 0),
        ("assistant", "text", "e", 2, 2),
    ]


def test_other_kinds_stay_apart():
    """Two pieces of a tool call are two parts."""
    call = Part("tool_call", fields={"index": 0, "args_delta": "{"})
    (record,) = fill((None, call), (None, call))
    assert [(part.sequence, part.off) for part in record.parts] == [(1, 0), (2, 0)]


def test_progress_moves_when_the_record_is_stored():
    """Taking a record promises nothing: only storing it moves what is said to be saved."""
    progress = Progress(tail=0)
    batch = Batch(progress)
    batch.add((text("abc"),), None)
    batch.take(0.0)
    assert (progress.tail, progress.chars, progress.shown) == (0, 0, False)


@pytest.mark.parametrize("piece", ["x", "abcdefg ", "🙂", "ß\n", "long " * 900])
def test_a_flood_becomes_records_of_16_kib(piece):
    """A flood joins into few records, none larger than 16 KiB and (but for the last) none smaller than half of it."""
    events = [({"id": str(number)}, text(piece)) for number in range(100_000 // len(piece.encode()))]
    found = fill(*events)
    sizes = [len(encode(record)) for record in found]
    escapes = sum(part.text.count("\n") for record in found[:1] for part in record.parts)
    assert max(sizes) <= KIB_16 + escapes
    assert min(sizes[:-1]) >= KIB_16 // 2
    assert "".join(part.text for record in found for part in record.parts) == piece * len(events)


def test_many_small_parts_fill_a_record_too():
    """Agents that take turns character by character cost more than their text: that counts."""
    events = [(None, text("x", f"agent-{number % 7}")) for number in range(2000)]
    found = fill(*events)
    assert all(len(encode(record)) <= KIB_16 for record in found)


def test_large_fields_count():
    """Tool arguments count like text."""
    found = fill(*[(None, Part("tool_call", fields={"args_delta": "x" * 5000})) for _ in range(10)])
    assert all(len(encode(record)) <= KIB_16 for record in found)
    assert sum(len(record.parts) for record in found) == 10


def test_the_cursor_of_a_record_is_that_of_its_last_event():
    """A record that ends with an event carries the event's cursor and nothing behind it."""
    (record,) = fill(({"id": "1"}, text("a")), ({"id": "2"}, text("b")))
    assert (record.cursor, record.behind) == ({"id": "2"}, 0)


def test_an_event_without_a_cursor_counts_as_behind():
    """What came behind the last place the upstream knows is what a resume will send once more."""
    (record,) = fill(({"id": "1"}, text("a")), (None, text("bcd")), (None, Part("raw", fields={"type": "x"})))
    assert (record.cursor, record.behind) == ({"id": "1"}, 4)


def test_an_event_larger_than_a_record_keeps_the_cursor_before_it():
    """Only the record in which an event ends has its cursor; those before say how much of it they hold."""
    *middle, last = fill(({"id": "1"}, text("start")), ({"id": "2"}, text("é" * 100_000)))
    assert len(middle) > 5
    total = -len("start")
    for record in middle:
        total += sum(len(part.text) for part in record.parts)
        assert (record.cursor, record.behind) == ({"id": "1"}, total)
    assert (last.cursor, last.behind) == ({"id": "2"}, 0)


def test_a_large_event_of_many_parts():
    """An event of several parts may end in any record; what is behind the cursor is known for each agent and kind."""
    progress = Progress(tail=0)
    batch = Batch(progress)
    batch.add((text("a"),), {"id": "1"})
    batch.add((text("r" * 14_000, kind="reasoning"), text("t" * 14_000), text("p" * 14_000, "planner")), {"id": "2"})
    progress.add(batch.take(0.0))
    progress.add(batch.take(0.0))
    assert progress.cursor == {"id": "1"}
    behind = progress.behind_of
    assert set(behind) <= {("assistant", "reasoning"), ("assistant", "text"), ("planner", "text")}
    assert behind["assistant", "reasoning"] == progress.lengths["assistant", "reasoning"] == 14_000
    assert behind["assistant", "text"] == progress.lengths["assistant", "text"] - 1
    assert progress.behind == sum(behind.values())


def test_behind_is_the_same_when_the_log_is_read_back(seed):
    """The numbers of a stream follow from its records alone, whatever events they came from."""
    chance = random.Random(seed)
    for _ in range(200):
        progress = Progress(tail=0)
        batch = Batch(progress)
        stored = []
        for place in range(chance.randrange(1, 30)):
            parts = tuple(
                text("é" * chance.choice([1, 5, 4000, 9000]), chance.choice("ab"), chance.choice(["text", "reasoning"]))
                if chance.random() < 0.9 else Part("raw", agent="a", fields={"type": "x"})
                for _ in range(chance.randrange(1, 4))
            )  # fmt: skip
            batch.add(parts, {"id": str(place)} if chance.random() < 0.7 else None)
            if chance.random() < 0.5:
                stored += records(batch, progress)
        stored += records(batch, progress)
        again = Progress(tail=0)
        for record in stored:
            again.add(record)
            assert again.behind == record.behind
        assert again == progress


def test_ten_megabytes_in_one_event_cost_what_they_weigh():
    """A huge event is cut once, not again for every record: every character is looked at a few times only."""
    found = fill(({"id": "1"}, text("é" * 5_000_000)))
    assert sum(len(part.text) for record in found for part in record.parts) == 5_000_000


def test_the_queue_says_when_it_is_full():
    """At most 256 Ki code points wait, and small parts count for what they weigh in memory."""
    progress = Progress(tail=0)
    batch = Batch(progress)
    count = 1
    while not batch.add((text("12345678"),), None):
        count += 1
    assert batch.full
    assert count * 8 <= PENDING_CHARS
    assert count < 5000
    batch.take(0.0)
    assert not batch.full
    records(batch, progress)
    assert not batch

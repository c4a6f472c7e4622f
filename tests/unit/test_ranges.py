"""Ranges of text read back from a log, and words found in it, whatever was written between and taken back."""

import asyncio
import os
import random
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from recording import opening, run

from nbstream.errors import LogDamaged, StreamGone
from nbstream.log.memory import MemoryStore
from nbstream.records import Delta, Part
from nbstream.view import ranges
from nbstream.view.ranges import Place, RangeAnswers, TextIndex

SEED = int(os.environ.get("NBSTREAM_SEED") or random.randrange(2**32))
WORDS = ["river", "log", "**only**", "grows", "🦜", "naïve", "\r\n", "\n\n", "`code`", "a", "Ω"]


@pytest.fixture
def log():
    """Return the log of a new stream, its `open` in it."""
    return MemoryStore().start(opening()).log


def write(log, *parts):
    """Append one record."""
    log.append(log.tail() + 1, Delta(parts, 1.0))


def truncate(agent, length, of="text"):
    """Return a part that takes text back."""
    return Part("truncate", agent=agent, fields={"length": length, "of": of})


def index_of(log):
    """Return the notes on all of *log*."""
    index = TextIndex(log)
    while index.advance():
        pass
    return index


class Model:
    """Writes at random, and remembers what stands."""

    def __init__(self, log, dice):
        self.log, self.dice, self.texts = log, dice, {}

    def grow(self, records):
        """Append *records* records of a few parts each, some of which take text back."""
        for _ in range(records):
            write(self.log, *(self._part() for _ in range(self.dice.randint(1, 4))))

    def _part(self):
        dice = self.dice
        lane = dice.choice("AB"), dice.choices(["text", "reasoning"], [5, 1])[0]
        text = self.texts.setdefault(lane, "")
        if dice.random() < 0.1:
            stays = dice.randint(0, len(text)) if dice.random() < 0.3 else max(0, len(text) - dice.randint(0, 40))
            self.texts[lane] = text[:stays]
            return truncate(lane[0], stays, lane[1])
        if dice.random() < 0.1:
            return Part("tool_call", agent=lane[0], fields={"index": 0, "name": "look"})
        more = " ".join(dice.choices(WORDS, k=dice.randint(0, 12)))
        self.texts[lane] = text + more
        return Part(lane[1], more, agent=lane[0], off=len(text))


def test_every_range_is_the_text_that_stands(log, monkeypatch):
    """Any range of any agent's text equals that range of the text without what was taken back, while the log grows."""
    print(f"NBSTREAM_SEED={SEED}")
    dice = random.Random(SEED)
    monkeypatch.setattr(ranges, "RUN_CHARS", 200)
    monkeypatch.setattr(ranges, "RUN_RECORDS", 7)
    model, index = Model(log, dice), TextIndex(log)
    for _ in range(40):
        model.grow(dice.randint(1, 30))
        while index.advance():
            pass
        for (agent, kind), text in model.texts.items():
            assert index.length(agent, kind) == len(text)
            assert index.text(agent, kind, 0, len(text) + 10) == text
            for _ in range(20):
                start, end = sorted(dice.randint(0, len(text) + 3) for _ in "ab")
                assert index.text(agent, kind, start, end) == text[start:end]


def test_many_truncates_cost_no_more_than_the_text(log):
    """Taking text back 4,000 times leaves no notes behind: a range at the end costs a read of a few records."""
    length = 0
    for _ in range(4_000):
        write(log, Part("text", "some words that go " * 5, off=length), truncate("assistant", length + 19))
        length += 19
    index, reads = index_of(log), []
    log.read, read = (lambda after=-1, *, limit=1000: reads.append(limit) or read(after, limit=limit)), log.read
    assert index.text("assistant", "text", length - 19, length) == "some words that go "
    assert sum(reads) <= 32
    assert index.text("assistant", "text", 0, length) == "some words that go " * 4_000


def test_reading_all_by_ranges_is_linear(log):
    """Four times the text costs at most ten times the time to read range by range."""

    def seconds(chars):
        store = MemoryStore().start(opening()).log
        for off in range(0, chars, 4_096):
            write(store, Part("text", "x" * 4_096, off=off), Part("text", "y" * 4_096, agent="B", off=off))
        began = time.process_time()  # a busy machine counts for nothing
        index = index_of(store)
        total = sum(len(index.text("assistant", "text", at, at + 16_384)) for at in range(0, chars, 16_384))
        assert total == chars
        return time.process_time() - began

    small, large = seconds(1_048_576), seconds(4_194_304)
    print(f"1 MiB {1000 * small:.0f} ms, 4 MiB {1000 * large:.0f} ms")
    assert large < 10 * max(small, 0.01)


class _Stream:
    id = "s1"

    def __init__(self, log):
        self.log = log


def ask(log, **request):
    """Return the answers to one request."""
    sent = []
    run(RangeAnswers(sent.append).answer(_Stream(log), {"view": "v", "id": 1, "stream": "s1", **request}))
    return sent


def read(log, start, end, agent="assistant"):
    """Ask for a range; return the answer."""
    (reply,) = ask(log, type="read", agent=agent, kind="text", **{"from": start, "to": end})
    return reply


def find(log, text, after=None, **more):
    """Ask where a text is; return the place."""
    (reply,) = ask(log, type="find", text=text, after=after and after._asdict(), **more)
    return reply["at"] and Place(**reply["at"])


def test_an_answer_is_bounded(log):
    """One answer carries at most 256 KiB of UTF-8 and ends between two characters; asking on gives the rest."""
    text = "日本🦜" * 60_000
    for off in range(0, len(text), 4_000):
        write(log, Part("text", text[off : off + 4_000], off=off))
    got = ""
    while len(got) < len(text):
        reply = read(log, len(got), len(text))
        assert 0 < len(reply["text"].encode()) <= ranges.ANSWER_BYTES
        assert reply["from"] == len(got)
        got += reply["text"]
    assert got == text


def test_what_cannot_be_read_is_said(log):
    """Behind a damaged record there is no text but a reason; what lies before is answered; a stream gone says so."""
    write(log, Part("text", "before "))
    write(log, Part("text", "behind", off=7))
    whole = log.read

    def damaged(after=-1, *, limit=1000):
        if after >= 1:
            raise LogDamaged("record 2 of stream s1 is damaged")
        return whole(after, limit=min(limit, 1 - after))

    log.read = damaged
    assert read(log, 0, 13)["text"] == "before "
    assert (read(log, 7, 13)["text"], read(log, 7, 13)["reason"]) == ("", "record 2 of stream s1 is damaged")

    def gone(after=-1, *, limit=1000):
        raise StreamGone("deleted")

    log.read = gone
    assert read(log, 0, 7)["reason"] == "deleted"
    assert ask(log, type="find", text="before", after=None)[0]["reason"] == "deleted"


def test_another_stream_is_not_answered(log):
    """A question about a stream that is no longer shown gets no answer of this one."""
    write(log, Part("text", "this one"))
    assert ask(log, type="read", agent="assistant", kind="text", stream="s0", **{"from": 0, "to": 8}) == []


def test_find_walks_through_the_whole_message(log):
    """From match to match, forwards and back, through all agents and kinds; nothing that was taken back is found."""
    write(log, Part("text", "Rivers and a river. ", agent="A"), Part("reasoning", "the river?", agent="A"))
    write(log, Part("text", "no RIVER here", agent="B"), truncate("B", 3), Part("text", "log", agent="B", off=3))
    write(log, Part("text", "a last river", agent="B", off=6))
    expected = [("A", "reasoning", 4), ("A", "text", 0), ("A", "text", 13), ("B", "text", 13)]
    place, seen = None, []
    while (place := find(log, "river", place and place._replace(at=place.at + 1))) is not None:
        seen.append(place)
    assert seen == expected
    place, seen = None, []
    while (place := find(log, "river", place, back=True)) is not None:
        seen.append(place)
    assert seen == expected[::-1]


def test_find_walks_in_the_order_of_the_page(log):
    """Agents in their team's order; of each, what it thought and said before a call stands before the rest."""
    log.append(1, replace(opening(), source={"agents": {"B": {}, "A": {}}}))
    call = Part("tool_call", agent="A", fields={"index": 0, "name": "look"})
    write(log, Part("text", "x 1", agent="A"), Part("reasoning", "x 0", agent="A"))
    write(log, call, Part("text", " x 3", agent="A", off=3), Part("reasoning", " x 2", agent="A", off=3))
    write(log, Part("text", "x", agent="A/inner"), Part("text", "x", agent="B"))
    expected = [
        ("B", "text", 0),
        ("A", "reasoning", 0), ("A", "text", 0), ("A", "reasoning", 4), ("A", "text", 4), ("A/inner", "text", 0),
    ]  # fmt: skip
    place, seen = None, []
    while (place := find(log, "x", place and place._replace(at=place.at + 1))) is not None:
        seen.append(place)
    assert seen == expected
    place, seen = None, []
    while (place := find(log, "x", place, back=True)) is not None:
        seen.append(place)
    assert seen == expected[::-1]
    assert find(log, "3 x") is None
    assert find(log, "1 x 3") == ("A", "text", 2), "a call between does not hide it"


def test_find_looks_through_markup_and_across_blocks(log, monkeypatch):
    """Case, line breaks and emphasis between the words do not matter, nor where a block of the search ends."""
    monkeypatch.setattr(ranges, "BLOCK", 50)
    filler = "x" * 43
    write(log, Part("text", f"{filler} what is **Not**\n_in_ (a+b) text"))
    assert find(log, "is not in").at == 49
    assert find(log, "(A+B)").at == 65
    assert find(log, "is  notin") is None
    assert find(log, "  ") is None


def test_a_new_find_ends_the_old_one(log):
    """Whoever types on gets the answer to the last question only, and the loop stays free meanwhile."""
    for off in range(0, 4_000_000, 16_384):
        write(log, Part("text", "y" * 16_384, off=off))
    write(log, Part("text", "needle", off=16_384 * 245))
    sent, turns = [], []

    async def main():
        answers = RangeAnswers(sent.append)

        def question(number, text):
            request = {"type": "find", "view": "v", "id": number, "stream": "s1", "text": text, "after": None}
            return asyncio.ensure_future(answers.answer(_Stream(log), request))

        first = question(1, "nowhere")
        second = question(2, "needle")
        while not second.done():
            turns.append(time.perf_counter())
            await asyncio.sleep(0.001)
        await first

    run(main())
    assert [(one["id"], one["at"]["at"]) for one in sent] == [(2, 16_384 * 245)]
    longest = max(b - a for a, b in pairwise(turns))
    print(f"longest turn of the loop {1000 * longest:.0f} ms")
    assert longest < 1


def test_a_find_of_another_view_ends_none(log):
    """Two pages that search at once both get their answer; each one's newest question ends only its own last one."""
    for off in range(0, 4_000_000, 16_384):
        write(log, Part("text", "y" * 16_384, off=off))
    write(log, Part("text", "needle", off=16_384 * 245))
    sent = []
    answers = RangeAnswers(sent.append)

    async def main():
        questions = [("left", 1, "nowhere"), ("right", 1, "needle"), ("left", 2, "needle")]
        await asyncio.gather(*(
            answers.answer(
                _Stream(log), {"type": "find", "view": view, "id": number, "stream": "s1", "text": text, "after": None}
            )
            for view, number, text in questions
        ))  # fmt: skip

    run(main())
    assert sorted((one["view"], one["id"], one["at"]["at"]) for one in sent) == [
        ("left", 2, 16_384 * 245), ("right", 1, 16_384 * 245),
    ]  # fmt: skip
    assert not answers._finding, "a view that is gone leaves nothing behind"

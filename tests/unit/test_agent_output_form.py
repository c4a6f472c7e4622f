"""The relay's plain frames: text, what is taken back of it, and how much there is in the end."""

import json

from nbstream.records import Close, Delta, Open, Part
from nbstream.relay.http.forms import AgentOutput

OPEN = Open("s1", "k", "new", {"model": "demo:"}, "f", "w", "h", "b", 0.0)
RECORDS = [
    OPEN,
    Delta((Part("text", "one two", "a", 1), Part("reasoning", "so", "a", 2), Part("text", "😀", "b", 1)), 1.0),
    Delta((Part("truncate", "", "a", 3, fields={"length": 4}), Part("text", "2.", "a", 4)), 2.0),
    Delta((Part("truncate", "", "a", 5, fields={"length": 1, "of": "reasoning"}),), 2.0),
    Delta((Part("truncate", "", "b", 2, fields={"length": 9}),), 2.0),
    Close("complete", 3.0),
]


class Stored:
    def __init__(self, records=RECORDS):
        self._records = records

    def read(self, after, *, limit):
        return self._records[after + 1 :][:limit]


def frames(data):
    """Return the JSON of all `data:` lines."""
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]


def test_text_that_is_taken_back_is_a_frame_of_its_own():
    """A client that cannot take text back at least learns of it; one that can ends with the text that stays."""
    form, texts = AgentOutput(), {}
    for offset, record in enumerate(RECORDS):
        for frame in frames(form.record(offset, record)):
            said = texts.get(frame["agent"], "")
            if frame["type"] == "truncate":
                texts[frame["agent"]] = said[: frame["length"]]
            else:
                texts[frame["agent"]] = said + frame["content"]
    assert texts == {"a": "one 2.", "b": "😀"}
    assert frames(form.record(2, RECORDS[2])) == [
        {"type": "truncate", "agent": "a", "length": 4, "sequence": 3},
        {"type": "agent_output", "agent": "a", "content": "2.", "sequence": 4},
    ]
    assert form.record(3, RECORDS[3]) == b""  # of what these clients are never told


def test_a_late_piece_is_a_frame_that_names_its_place():
    """Text that came behind its gap is not lost: who puts it where it belongs holds as much as `done` says."""
    gap = Part("gap", "", "a", 2, fields={"expected": 2, "got": 3, "at": 4})
    records = [
        OPEN,
        Delta((Part("text", "one three", "a", 1), gap), 1.0),
        Delta((Part("late", "", "a", 3, fields={"number": 2, "at": 4, "text": "two ", "closes": True}),), 2.0),
        Close("complete", 3.0),
    ]  # fmt: skip
    (late,) = frames(AgentOutput().record(2, records[2]))
    assert late == {"type": "late", "agent": "a", "content": "two ", "at": 4, "number": 2, "sequence": 3}
    whole = "one three"[: late["at"]] + late["content"] + "one three"[late["at"] :]
    assert frames(AgentOutput().end(Stored(records), 3)) == [{"length": len(whole)}]


def test_done_counts_what_stays():
    """The length behind `done` is that of the text a reader of all frames holds."""
    assert frames(AgentOutput().end(Stored(), 5)) == [{"length": 7}]

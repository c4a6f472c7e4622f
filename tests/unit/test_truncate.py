"""Text that an upstream takes back: offsets go back with it, what stays is exact, also over cuts and repetitions."""

import random

import pytest
from recording import Recording, opening, run

from nbstream.errors import SourceLost
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import parts_of, records_of, spoken_range
from nbstream.recorder.progress import Progress
from nbstream.records import TEXT_KINDS, Delta, Part
from nbstream.relay.http.forms import AgentOutput
from nbstream.sources.contract import Arrival, End
from nbstream.sources.formats.speech import taken_back
from nbstream.testing import FakeClock, ScriptedSource
from nbstream.transcript import Transcript
from nbstream.truncation import Remaining, text_truncated, truncated
from nbstream.view.ranges import TextIndex
from nbstream.view.terminal import TerminalView

RUNS = 15
RUNS_SOAK = 1_000


def script(chance):
    """Return the parts of a run of two agents that take back some of what they said, and what stays."""
    parts, stays = [], {}
    for _ in range(chance.randrange(1, 40)):
        agent, kind = chance.choice(["a", "b"]), chance.choice(["text", "text", "reasoning"])
        said = stays.get((agent, kind), "")
        if said and chance.random() < 0.25:
            length = chance.randrange(len(said) + 1)
            parts.append(taken_back(agent, length, kind))
            stays[agent, kind] = said[:length]
        else:
            text = "".join(chance.choices("aé🙂\n", k=chance.randrange(1, 30)))
            parts.append(Part(kind, text, agent))
            stays[agent, kind] = said + text
    return parts, {name: text for name, text in stays.items() if text}


def stays(log):
    """Return what the log says in the end, and check that every part says where it begins."""
    lengths, transcript = {}, Transcript()
    for part in parts_of(log):
        if part.kind == "truncate":
            name = part.agent, part.fields.get("of", "text")
            lengths[name] = min(lengths.get(name, 0), part.fields["length"])
        else:
            assert part.off == lengths.get((part.agent, part.kind), 0)
            lengths[part.agent, part.kind] = part.off + len(part.text)
    transcript.add(records_of(log))
    told = {(one.name, kind): getattr(one, kind) for one in transcript.agents.values() for kind in TEXT_KINDS}
    return {name: text for name, text in told.items() if text}


def test_what_stays_is_exact_over_cuts_and_repetitions(seed, soak):
    """A GET that is cut anywhere and told again, in this process or the next: nothing lost, doubled or brought back."""
    for number in range(RUNS_SOAK if soak else RUNS):
        chance = random.Random(f"{seed}-{number}")
        parts, expected = script(chance)
        steps = [Arrival((part,)) for part in parts]
        cuts = [steps[: chance.randrange(len(steps) + 1)] for _ in range(chance.randrange(3))]
        source = ScriptedSource(*([*cut, SourceLost("cut")] for cut in cuts), [*steps, End()], replayable=True)

        async def main(source=source):
            recording = Recording(clock=FakeClock()).start(source)
            while not recording.task.done():
                await recording.after(0.3)
            await recording
            return recording

        recording = run(main())
        assert recording.close.how == "complete", (number, recording.close.error)
        assert stays(recording.log) == expected, number
        assert recording.close.chars == sum(map(len, expected.values())), number
        assert recording.recorder.progress.chars == recording.close.chars


def test_the_length_of_the_end_mark_is_that_of_what_stays():
    """An end mark that counts characters counts those that were not taken back."""

    async def main():
        steps = ["one two", taken_back("assistant", 4), "2", End(length=5)]
        return await Recording().start(ScriptedSource(steps))

    assert run(main()).how == "complete"


def test_what_was_taken_back_can_be_read_as_it_was_said():
    """A repetition is compared with what was said, not with what stays."""

    async def main():
        recording = Recording().start(ScriptedSource(["one two", taken_back("assistant", 4), "three", End()]))
        await recording
        return recording

    log = run(main()).log
    assert spoken_range(log, "assistant", "text", 0, 100) == "one twothree"
    assert spoken_range(log, "assistant", "text", 5, 9) == "woth"


@pytest.mark.parametrize(("length", "left"), [(0, []), (1, ["a"]), (5, ["a", "b"])])
def test_tool_calls_are_taken_back_by_number(length, left):
    """A step that is tried again makes its calls again."""
    transcript = Transcript()

    async def main():
        calls = [
            Part("tool_call", fields={"index": index, "id": str(index), "name": name, "args_delta": "{}"})
            for index, name in enumerate(["a", "b"])
        ]
        recording = Recording().start(ScriptedSource([*calls, taken_back("assistant", length, "tool_call"), End()]))
        await recording
        return recording

    transcript.add(records_of(run(main()).log))
    assert [call["name"] for call in transcript.agents["assistant"].tool_calls] == left


SAYS_NOTHING = [
    None, {}, {"length": None}, {"length": "2"}, {"length": 1.5}, {"length": True}, {"length": [1]},
    {"length": 1, "of": None}, {"length": 1, "of": ["text"]}, {"length": 1, "of": "raw"},
    {"of": "tool_call"}, {"of": "tool_call", "length": None}, {"of": "tool_call", "length": "0"},
]  # fmt: skip


@pytest.mark.parametrize("fields", SAYS_NOTHING, ids=str)
def test_a_truncate_without_a_length_takes_nothing_back(fields):
    """Whatever stands in its fields, nobody raises, and recorder, page, file and wire take back the same."""
    call = Part("tool_call", sequence=2, fields={"index": 0, "id": "c", "name": "look", "args_delta": "{}"})
    said = Delta((Part("text", "stays", sequence=1), call, Part("truncate", sequence=3, fields=fields)), 1.0)
    log = MemoryStore().start(opening()).log
    log.append(1, said)
    progress, transcript, index, remaining = Progress.of(log), Transcript(), TextIndex(log), Remaining([said])
    transcript.add(records_of(log))
    while index.advance():
        pass
    assert (progress.chars, progress.taken) == (5, {})
    assert [part for part in said.parts if remaining.of(part) is part] == list(said.parts)
    assert transcript.agents["assistant"].text == index.text("assistant", "text", 0, 9) == "stays"
    assert [one["id"] for one in transcript.agents["assistant"].tool_calls] == ["c"]
    assert b"truncate" not in AgentOutput().record(1, said)
    assert TerminalView()._part(said.parts[2]) == ""


def test_what_a_truncate_says():
    """Code points of text that stay, of another kind where `of` says so, or tool calls; less than none is none."""
    assert truncated(taken_back("a", -3)) == text_truncated(taken_back("a", 0)) == (("a", "text"), 0)
    assert text_truncated(taken_back("a", 2, "refusal")) == (("a", "refusal"), 2)
    assert truncated(taken_back("a", 2, "tool_call")) == (("a", "tool_call"), 2)
    assert text_truncated(taken_back("a", 2, "tool_call")) is None
    assert truncated(Part("text", fields={"length": 1})) is None


def test_a_log_with_a_truncate_that_says_nothing_can_be_resumed():
    """Such a part from a source costs nothing: it is recorded, numbered, and the end is that of the source."""

    async def main():
        steps = ["one ", Part("truncate", fields={"length": "x"}), "two", End(length=7)]
        return await Recording().start(ScriptedSource(steps))

    close = run(main())
    assert (close.how, close.chars) == ("complete", 7)

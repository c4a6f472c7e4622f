"""Text that an upstream takes back: offsets go back with it, what stays is exact, also over cuts and repetitions."""

import random

import pytest
from recording import Recording, run

from nbstream.errors import SourceLost
from nbstream.log.readback import parts_of, records_of, spoken_range
from nbstream.records import TEXT_KINDS, Part
from nbstream.sources.contract import Arrival, End
from nbstream.sources.voices import taken_back
from nbstream.testing import FakeClock, ScriptedSource
from nbstream.transcript import Transcript

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

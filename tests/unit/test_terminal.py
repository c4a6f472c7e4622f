"""A stream in a terminal: as it is saved, inert, and the state line at the end."""

import asyncio
import io
import random
import re

import pytest

from nbstream import words
from nbstream.records import Delta, Part
from nbstream.state import State
from nbstream.view.terminal import Strip, TerminalView, stream_to, strip
from nbstream.waiting import Interrupted

LINE = "[complete · demo: · 5 characters]"


class Parts:
    """A stream of given parts, at rest when they are said."""

    def __init__(self, *parts, interrupted=False, at_rest=False):
        self._parts, self._interrupted = parts, interrupted
        self.id, self.log = "s1", self
        self._stored = [Delta(parts, 1.0)] if at_rest else []

    async def __aiter__(self):
        for part in self._parts:
            yield part

    def read(self, after, *, limit):
        return self._stored[after + 1 :]

    def facts(self):
        return words.Facts(State.COMPLETE, 5, model="demo:")

    def wait(self):
        if self._interrupted:
            raise Interrupted("stopped by Interrupt")
        return State.COMPLETE


def shown(*parts, dim=False, at_rest=False):
    """Return what a terminal gets; *at_rest*: of a message that is over."""
    out = []
    asyncio.run(TerminalView(dim=dim).run(Parts(*parts, at_rest=at_rest), out.append))
    return "".join(out)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\ttext\nnext 漢字 😀", "plain\ttext\nnext 漢字 😀"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hup", "up"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;https://e.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGk=\x07x", "x"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x9b31mx\x9d0;t\x9cy", "xy"),
        ("\x1bcx\x1b(0y", "xy"),
        ("a\rb\x08c\x7fd\x00e\x07", "abcde"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("\x1b", ""),
        ("\x1b[", "["),
        ("\x1b]0;never ended\nnext line", "]0;never ended\nnext line"),
        ("\x1b]" + "x" * 5000, "]" + "x" * 5000),
    ],
)
def test_controls_are_stripped(text, seen):
    """Colours, titles, clipboard, cursor, bells and turned text go; everything that can be read stays."""
    assert strip(text) == seen


def test_stripping_does_not_depend_on_the_pieces(seed):
    """However the text is cut: no control character comes through, and the readable text is the same."""
    rand = random.Random(seed)
    atoms = [
        "\x1b",
        "[",
        "]",
        "31",
        "m",
        "0;t",
        "\x07",
        "\x1b\\",
        "\\",
        "word ",
        "\n",
        "\x9b",
        "\x9d",
        "\x9c",
        "P",
        "é",
        "\r",
    ]
    for _ in range(500):
        text = "".join(rand.choices(atoms, k=rand.randint(1, 60)))
        cut = Strip()
        out, at = "", 0
        while at < len(text):
            size = rand.randint(1, 5)
            out += cut.feed(text[at : at + size])
            at += size
        out += cut.end()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", out)
        assert out == strip(text), text


def test_text_is_written_as_it_came_and_the_state_line_ends_it():
    """One voice: its text, nothing before it, the state line behind it on its own line."""
    assert shown(Part("text", "Hel"), Part("text", "lo")) == f"Hello\n{LINE}\n"
    assert shown(Part("text", "Hello\n")) == f"Hello\n{LINE}\n"
    assert shown() == f"{LINE}\n"


def test_each_piece_is_written_when_it_comes():
    """Nothing waits for the end of the message."""
    out = []
    asyncio.run(TerminalView().run(Parts(Part("text", "a"), Part("text", "b")), out.append))
    assert out[:2] == ["a", "b"]


def test_several_agents_have_headings_where_the_speaker_changes():
    """A heading line says who speaks; the same speaker gets it once."""
    parts = [
        Part("text", "one", "plan\x1b[1mner"),
        Part("text", " two", "plan\x1b[1mner"),
        Part("text", "three\n", "reporter"),
    ]
    assert shown(*parts) == f"── planner ──\none two\n── reporter ──\nthree\n{LINE}\n"


def test_reasoning_and_tool_calls_are_faint_only_in_a_terminal():
    """A file or a pipe gets no escape sequences of ours."""
    call = [Part("tool_call", fields={"index": 0, "name": "look", "args_delta": '{"q"'})]
    call.append(Part("tool_call", fields={"index": 0, "args_delta": ": 1}"}))
    parts = [Part("reasoning", "hm"), *call, Part("text", "yes")]
    assert shown(*parts) == f'hm\ncalls look: {{"q": 1}}\nyes\n{LINE}\n'
    faint = shown(*parts, dim=True)
    assert "\x1b[2mhm\x1b[22m\n" in faint
    assert "\nyes\n" in faint
    assert "\x1b" not in shown(*parts)


def test_a_sequence_cut_by_the_end_is_no_sequence():
    """What was held back at the end of a message is shown as far as it can be read."""
    assert shown(Part("text", "a\x1b[3")) == f"a[3\n{LINE}\n"


def test_stream_to_a_file_that_cannot_show_everything():
    """A terminal with few characters gets question marks, not an error in the middle of the answer."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    stream_to(Parts(Part("text", "café 漢\n")), file)
    assert raw.getvalue().startswith(b"caf? ?\n[complete ")


def test_interrupt_reaches_the_caller_after_the_state_line():
    """Interrupt stops the stream and halts what follows; what came and how it ended is on screen first."""
    file = io.StringIO()
    with pytest.raises(Interrupted):
        stream_to(Parts(Part("text", "half"), interrupted=True), file)
    assert file.getvalue() == f"half\n{LINE}\n"


TAKEN_BACK = [
    Part("text", "The answer is 41"),
    Part("truncate", fields={"length": 14}),
    Part("reasoning", "no"),
    Part("truncate", fields={"length": 0, "of": "reasoning"}),
    Part("text", "42.\n"),
]


def test_text_that_was_taken_back_is_not_shown_or_said_to_be():
    """Of a message that is over only what stays is written; a terminal that has shown more says what is taken back."""
    assert shown(*TAKEN_BACK, at_rest=True) == f"The answer is 42.\n{LINE}\n"
    assert shown(*TAKEN_BACK[:2], TAKEN_BACK[4]) == (
        f"The answer is 41\n[taken back: 14 characters of the text above stay]\n42.\n{LINE}\n"
    )


def test_a_late_piece_is_said_to_be_one():
    """Text that belongs in a gap above is written where it comes, on lines of its own, and named."""
    late = [Part("late", fields={"number": 2, "at": 3, "text": text}) for text in ("tw", "o\x1b[1m")]
    parts = [
        Part("text", "one"), Part("gap", fields={"expected": 2, "got": 3, "at": 3}), Part("text", "three"),
        *late, Part("text", "four"),
    ]  # fmt: skip
    assert shown(*parts) == f"one\n[missing here: piece 2]\nthree\na late piece: two\nfour\n{LINE}\n"


def test_a_message_of_all_kinds_reads_well():
    """Reasoning, text, calls and their results, seams and gaps: each on lines of its own, nothing in them obeyed."""
    parts = [
        Part("agent_start", agent="plan\x1b[1mner", fields={"name": "planner"}),
        Part("reasoning", "hm\u202e", "planner"),
        Part("text", "Let me look.", "planner"),
        Part(
            "tool_call", "", "planner", fields={"index": 0, "id": "c1", "name": "lo\x1b]0;x\x07ok", "args_delta": "{}"}
        ),
        Part("tool_result", "", "planner", fields={"id": "c1", "name": "look", "content": "one\x1b[2J\ntwo"}),
        Part("gap", "", "planner", fields={"expected": 12, "got": 15}),
        Part("seam", "", "planner", fields={"why": "the con\x1bnection was cut"}),
        Part("text", "Two.", "planner"),
        Part("refusal", "No more.", "planner"),
        Part("raw", "", "planner", fields={"type": "image"}),
        Part("usage", "", "planner", fields={"output": 12}),
    ]
    assert shown(*parts) == (
        "── planner ──\nhm\nLet me look.\ncalls look: {}\nresult of look: one\ntwo\n"
        "[missing here: pieces 12 to 14]\n[continued here by a new generation: the connection was cut]\n"
        f"Two.\nNo more.\n{LINE}\n"
    )

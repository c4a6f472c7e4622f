"""The demo model: a pure function, a readable text, fast enough to skip through."""

import hashlib
import random
import re
import time
from collections import Counter

import pytest

from nbstream.demo import DemoModel
from nbstream.demo.ask import TEN_MB_TOKENS

PROMPTS = [
    "Why do rivers bend?",
    "",
    "Explain `logs` <b>now</b>\n\n# [x](javascript:1) 👩‍💻",
    "{braces} and $tex$",
    "\ud800",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_continuation_from_any_token_equals_the_uncut_text(prompt):
    """Whatever token a continuation starts at, in another instance, it is the rest of the uncut text."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    tokens = list(DemoModel(seed).tokens(prompt, max_tokens=3000))
    for start in random.Random(seed).sample(range(len(tokens) + 1), 20):
        assert list(DemoModel(seed).tokens(prompt, start=start, max_tokens=3000)) == tokens[start:]


def test_a_shorter_answer_is_a_prefix_of_a_longer_one():
    """For every limit: within it, a prefix, and at its end a whole sentence, item or block."""
    whole = list(DemoModel(7).tokens("How do letters travel?", max_tokens=2000))
    for limit in range(1, 1000):
        tokens = list(DemoModel(7).tokens("How do letters travel?", max_tokens=limit))
        assert 0 < len(tokens) <= limit
        assert tokens == whole[: len(tokens)]
        text = "".join(tokens)
        assert text.count("```") % 2 == 0
        if limit > 20:  # the first sentence fits
            last = text.splitlines()[-1]
            assert re.search(r"[.?!|]\W*$", last) or last == "```", text[-80:]
            assert not last.startswith("#")


def test_every_offset_is_found_in_its_token():
    """`locate` names the token that holds a code point, and the code points before it."""
    model = DemoModel(3)
    tokens = list(model.tokens("maps", max_tokens=300))
    offset = 0
    for index, token in enumerate(tokens):
        for inside in range(len(token)):
            assert model.locate("maps", offset + inside, max_tokens=300) == (index, offset)
        offset += len(token)
    assert model.locate("maps", offset, max_tokens=300) == (len(tokens), offset)
    assert model.locate("maps", offset + 99, max_tokens=300) == (len(tokens), offset)


def test_seed_prompt_and_voice_make_the_text():
    """Each of the three changes the text; the same three repeat it."""
    texts = [
        DemoModel(seed, voice=voice).text(prompt)
        for seed in (0, 1)
        for voice in ("answer", "planner")
        for prompt in ("rivers", "rivers?")
    ]
    assert len({text.split("\n", 1)[1] for text in texts}) == len(texts)
    assert DemoModel(1, voice="planner").text("rivers?") == texts[-1]
    with pytest.raises(ValueError, match="unknown voice 'bass': use one of answer, planner, reporter"):
        DemoModel(voice="bass")


def test_the_text_never_changes():
    """A stream on disk is resumed by a later version, too: whoever edits the corpus gives up this promise knowingly."""
    text = DemoModel(0).text("x", max_tokens=20_000)
    assert hashlib.sha256(text.encode()).hexdigest().startswith("1a1b5173475a6648")


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("Why?", "`Why?`"),
        ("  two\n\nlines ", "`two lines`"),
        ("`code` and ```", "`'code' and '''`"),
        ("a\u202eb\x00c\ud800d", "`abcd`"),
        ("x" * 200, "`" + "x" * 79 + "…`"),
        ("", "`nothing in particular`"),
    ],
)
def test_the_answer_begins_with_the_prompt(prompt, shown):
    """The prompt is named in a code span, cut short, without control characters."""
    assert DemoModel().text(prompt).startswith(f"You asked: {shown} Let us begin with ")


def test_ten_megabytes_read_like_a_text():
    """10 MiB: no paragraph fills the text, Markdown stays whole, tokens are word pieces, at more than 2 MB/s."""
    started = time.perf_counter()
    tokens = list(DemoModel(5).tokens("a long one", max_tokens=TEN_MB_TOKENS))
    seconds = time.perf_counter() - started
    text = "".join(tokens)
    size = len(text.encode())
    print(f"{size} bytes, {size / seconds / 1e6:.1f} MB/s, {len(text) / len(tokens):.2f} characters a token")
    assert size >= 10 << 20
    assert size / seconds > 2e6
    assert 4 <= len(text) / len(tokens) <= 8
    assert text.count("\n```") % 2 == 0
    blocks = text.split("\n\n")
    prose = Counter(block for block in blocks if re.match(r"[A-Z][^\n]{80,}$", block))
    assert prose.total() > 20_000
    assert prose.most_common(1)[0][1] <= prose.total() / 500
    headings = [block for block in blocks if block.startswith("## ")]
    assert len(headings) == len(set(headings)) > 1000
    assert len(re.findall(r"[^\x00-\x7f]", text)) > 1000
    assert "§" not in text

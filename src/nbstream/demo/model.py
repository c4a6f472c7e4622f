"""The demo model: an endless, readable Markdown answer that is a pure function of seed, prompt and position."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from nbstream.demo.corpus import Topic, tokenize, topics

VOICES: Final = {"answer": "You asked:", "planner": "The plan for", "reporter": "The report on"}
"""How an answer begins, by voice. Another voice is also another text."""

_LEADS: Final = ("In short:", "To keep in mind:", "What follows from this:", "A short list:")
_PROMPT_CHARS: Final = 80


class _Part(NamedTuple):
    tokens: list[str]
    may_end: bool = True  # an answer does not end on a heading or on the line that announces a list


class _Dice:
    """
    A linear congruential generator, written out.

    `random` promises its sequence for `random()` only, and a text that changes with the Python version would break
    every stream that is resumed after an upgrade.
    """

    __slots__ = ("_state",)

    def __init__(self, *seed: object) -> None:
        spelled = "\0".join(map(str, seed)).encode("utf-8", "surrogatepass")
        self._state = int.from_bytes(hashlib.blake2b(spelled, digest_size=8).digest(), "big")

    def __call__(self, sides: int) -> int:
        """Return the next number from 0 to *sides* - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & 0xFFFF_FFFF_FFFF_FFFF
        return (self._state >> 33) % sides


class DemoModel:
    """
    A small n-gram generator over a text of ours.

    The text is made section by section, and each section from a hash of seed, voice, prompt and section number. So a
    continuation from any position equals the uncut text, on every machine and in every process, and memory stays flat.
    A text with fewer *max_tokens* is a prefix of a text with more.
    """

    def __init__(self, seed: int = 0, *, voice: str = "answer") -> None:
        if voice not in VOICES:
            raise ValueError(f"unknown voice {voice!r}: use one of {', '.join(VOICES)}")
        self.seed = seed
        self.voice = voice

    def spans(self, prompt: str, *, max_tokens: int = 400) -> Iterator[list[str]]:
        """
        Yield the answer as lists of tokens, each a sentence, list item or block.

        The answer ends behind the last whole span within *max_tokens*; only if not even the first one fits is it cut
        at exactly *max_tokens*, as other models do.
        """
        sent = 0
        held: list[str] = []
        for part in self._parts(prompt):
            if sent + len(held) + len(part.tokens) > max_tokens:
                if not sent:
                    yield (held + part.tokens)[:max_tokens]
                return
            held += part.tokens
            if part.may_end:
                yield held
                sent += len(held)
                held = []

    def tokens(self, prompt: str, *, start: int = 0, max_tokens: int = 400) -> Iterator[str]:
        """Yield the tokens of the answer from number *start* on; *max_tokens* counts from the beginning of it."""
        passed = 0
        for span in self.spans(prompt, max_tokens=max_tokens):
            if passed >= start:
                yield from span
            elif passed + len(span) > start:
                yield from span[start - passed :]
            passed += len(span)

    def text(self, prompt: str, *, max_tokens: int = 400) -> str:
        """Return the whole answer."""
        return "".join(self.tokens(prompt, max_tokens=max_tokens))

    def locate(self, prompt: str, offset: int, *, max_tokens: int = 400) -> tuple[int, int]:
        """Return the number of the token that holds code point *offset*, and the code points before that token."""
        index = chars = 0
        for span in self.spans(prompt, max_tokens=max_tokens):
            size = sum(map(len, span))
            if chars + size <= offset:
                index, chars = index + len(span), chars + size
                continue
            for token in span:
                if chars + len(token) > offset:
                    return index, chars
                index, chars = index + 1, chars + len(token)
        return index, chars

    def _parts(self, prompt: str) -> Iterator[_Part]:
        essays = topics()
        dice = _Dice(self.seed, self.voice, "plan", prompt)
        # A prompt that names a topic starts there. Odd steps visit all topics, as their number is a power of two.
        named = [n for n, topic in enumerate(essays) if topic.name.lower().rstrip("s") in prompt.lower()]
        first, step, shape = named[0] if named else dice(len(essays)), 1 + 2 * dice(len(essays) // 2), dice(3)
        yield _Part(list(tokenize(f"{self._opening(prompt)} Let us begin with {essays[first].name.lower()}.")))
        section = 0
        while True:
            topic = essays[(first + section * step) % len(essays)]
            dice = _Dice(self.seed, self.voice, section, prompt)
            if section:
                heading = topic.headings[dice(len(topic.headings))]
                yield _Part(_block(tokenize(f"## {section}. {heading}")), may_end=False)
            yield from _section(topic, section + shape, dice)
            section += 1

    def _opening(self, prompt: str) -> str:
        """Name the prompt in a code span: nothing in there is a link, a tag or a formula."""
        words = "".join(char for char in prompt if char.isspace() or unicodedata.category(char)[0] != "C").split()
        shown = " ".join(words).replace("`", "'")
        if len(shown) > _PROMPT_CHARS:
            shown = shown[: _PROMPT_CHARS - 1].rstrip() + "…"
        return f"{VOICES[self.voice]} `{shown or 'nothing in particular'}`"


def _section(topic: Topic, shape: int, dice: _Dice) -> Iterator[_Part]:
    """A paragraph, a list or figure or second paragraph, and a paragraph or quote."""
    used: set[int] = set()
    yield from _paragraph(topic, used, 3 + dice(2), dice)
    if shape % 3 == 0:
        yield from _list(topic, dice)
    elif shape % 3 == 1:
        yield _Part(_block(_drawn(topic.figures[dice(len(topic.figures))], dice)))
    else:
        yield from _paragraph(topic, used, 3 + dice(2), dice)
    if dice(8) == 0:
        yield _Part(_block(topic.quotes[dice(len(topic.quotes))]))
    else:
        yield from _paragraph(topic, used, 3 + dice(3), dice)


def _paragraph(topic: Topic, used: set[int], count: int, dice: _Dice) -> Iterator[_Part]:
    """Sentences of one topic, none twice in a section: the next one in the essay, or a jump."""
    total = len(topic.sentences)
    at = topic.openings[dice(len(topic.openings))]
    for number in range(count):
        if number:
            at += 1 if dice(2) else dice(total)
        while at % total in used:
            at += 1
        used.add(at % total)
        run = topic.sentences[at % total]
        sentence = list(run.tokens)
        while run.choices:
            run = run.choices[dice(len(run.choices))]
            sentence += run.tokens
        yield _Part(sentence if number else _block(sentence))


def _list(topic: Topic, dice: _Dice) -> Iterator[_Part]:
    yield _Part(_block(tokenize(_LEADS[dice(len(_LEADS))])), may_end=False)
    start, numbered = dice(len(topic.items)), dice(3) == 0
    for number in range(3 + dice(2)):
        mark = f"{number + 1}." if numbered else "-"
        item = topic.items[(start + number) % len(topic.items)]
        yield _Part([("\n" if number else "\n\n") + mark, *item])


def _block(tokens: list[str] | tuple[str, ...]) -> list[str]:
    first, *rest = tokens
    return ["\n\n" + first.lstrip(), *rest]


def _drawn(tokens: tuple[str, ...], dice: _Dice) -> list[str]:
    """Draw a digit for each `§`."""
    return ["".join(str(1 + dice(9)) if char == "§" else char for char in token) for token in tokens]

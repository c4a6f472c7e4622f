"""
Where a new generation joins on to a text that was cut: between two words, and without what the model says again.

A model that goes on inside a word writes wrong words. So the last word, which may be half of one, is taken back, and
the white space before it stays: nobody else knows what it was. Text is compared by code points, as everywhere.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from nbstream.records import ASSISTANT, Part, whole_characters
from nbstream.sources.formats.speech import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Longer than any word: a text without white space (Thai, base64) that is not to be lost as a whole.
WORD_CHARS = 64
#: How far back a model begins that says the last sentences once more.
OVERLAP_CHARS = 4000
#: A handful of characters may well follow itself ("ha" by "ha!", a row of a table by one like it).
LEAST_CHARS, LEAST_DIFFERENT = 8, 5

_JOINER = "\u200d"


def word_boundary(text: str) -> int:
    """
    Return how many code points of *text* stay when the word it ends in is taken back.

    All, if it ends in white space. Chinese and Japanese have no spaces: there the last character goes, with all its
    marks, as an emoji does, to which more may belong. The same in a word longer than `WORD_CHARS`.
    """
    start = len(text)
    while start and not text[start - 1].isspace():
        start -= 1
    wide = next((at for at in range(len(text) - 1, start - 1, -1) if _is_word(text[at])), None)
    if wide is not None:
        behind = _end_of_character(text, wide)
        return behind if behind < len(text) else _begin_of_character(text, wide, start)
    if len(text) - start > WORD_CHARS:
        return _begin_of_character(text, len(text) - 1, start)
    return start


def whole_words(text: str) -> str:
    """Return what stays of *text* to go on behind; empty where not a whole word has come."""
    return text[: word_boundary(text)].rstrip()


def _is_word(char: str) -> bool:
    """Whether *char* is a word by itself: an ideograph, kana, an emoji. Korean is wide too, and has spaces."""
    if char.isascii() or unicodedata.east_asian_width(char) != "W":
        return False
    return "HANGUL" not in unicodedata.name(char, "")


def _extends(char: str) -> bool:
    """Whether *char* belongs to the character before it: marks, variation selectors, joiners, tones of skin."""
    return char == _JOINER or unicodedata.category(char)[0] == "M" or "\U0001f3fb" <= char <= "\U0001f3ff"


def _end_of_character(text: str, at: int) -> int:
    at += 1
    while at < len(text) and (_extends(text[at]) or text[at - 1] == _JOINER):
        at += 1
    return at


def _begin_of_character(text: str, at: int, least: int) -> int:
    while at > least and (_extends(text[at]) or text[at - 1] == _JOINER):
        at -= 1
    return at


class Overlap:
    """
    Finds out how much of what a model says stands at the end of *said* already, as it comes.

    *whole*: only a model that begins with all of it says it again; the same words once more are its own.
    """

    def __init__(self, said: str, *, whole: bool = False) -> None:
        self._said = said
        #: Where in *said* it may have begun.
        self._starts = [0] if whole else [0, *range(max(1, len(said) - OVERLAP_CHARS), len(said))]
        self._came = 0
        self._found = 0

    def feed(self, text: str) -> bool:
        """Take more of it; return whether it takes still more to tell."""
        said, starts = self._said, []
        for start in self._starts:
            expected = said[start + self._came : start + self._came + len(text)]
            if text.startswith(expected) and len(expected) < len(text):
                self._note(len(said) - start)
            elif text == expected:
                starts.append(start)
        self._starts, self._came = starts, self._came + len(text)
        return bool(starts)

    def end(self) -> int:
        """Return how much was said again, now that no more comes (or no more is needed)."""
        for start in self._starts:
            if start + self._came == len(self._said):
                self._note(self._came)
        return self._found

    def _note(self, length: int) -> None:
        again = self._said[len(self._said) - length :]
        if length >= LEAST_CHARS and len(set(again)) >= LEAST_DIFFERENT:
            self._found = max(self._found, length)


class Seam:
    """
    Joins what a new generation says to *text*, of which *stays* code points stay; *why* is shown at the place.

    *prefilled*: the model was given the text as its own beginning, and does not say its end again.
    """

    def __init__(self, text: str, stays: int, why: str, *, prefilled: bool) -> None:
        said = text[:stays].rstrip()
        head = [] if stays == len(text) else [taken_back(ASSISTANT, stays)]
        self._head = [*head, Part("seam", fields={"why": why})]
        #: A word is to be taken back, and nothing has come yet that stands in its place.
        self.unanswered = bool(head)
        self._space = text[len(said) : stays]
        self._overlap: Overlap | None = Overlap(said, whole=prefilled)
        self._held: list[str] = []
        #: The first half of a character whose other half comes with the next piece.
        self._half = ""

    def take(self, parts: Iterable[Part], *, over: bool = False) -> tuple[Part, ...]:
        """Return what of *parts*, and of what was held back before, is new; *over*: no more comes."""
        return tuple(self._new(parts, over=over))

    def _new(self, parts: Iterable[Part], *, over: bool) -> Iterator[Part]:
        for part in parts:
            if self._overlap is not None and (part.agent, part.kind) == (ASSISTANT, "text"):
                text = self._whole(part.text)
                self._held.append(text)
                # White space may be the beginning of what stands there, too.
                if not self._overlap.feed(text) and self._fresh(self._overlap).strip():
                    yield from self._release()
                continue
            if self._held:
                yield from self._release()
            yield from self._begin()
            self.unanswered = self.unanswered and part.kind == "reasoning"
            yield part
        if over:
            yield from self._release()

    def _fresh(self, overlap: Overlap) -> str:
        return "".join(self._held)[overlap.end() :]

    def _whole(self, text: str) -> str:
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole_characters(text)

    def _release(self) -> Iterator[Part]:
        text = ""
        if self._overlap is not None:
            text, self._overlap = self._without_space(self._fresh(self._overlap)) + self._half, None
        if self.unanswered and not text.strip():
            return
        self.unanswered = False
        yield from self._begin()
        if text:
            yield Part("text", text)

    def _begin(self) -> Iterator[Part]:
        head, self._head = self._head, []
        yield from head

    def _without_space(self, text: str) -> str:
        """Return *text* without the white space at its beginning that stands before it already."""
        doubled = (at for at in range(min(len(self._space), len(text)), 0, -1) if self._space.endswith(text[:at]))
        return text[next(doubled, 0) :]

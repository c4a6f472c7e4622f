"""
An answer as a model writes one: Markdown of any length, the same for the same seed, and its tokens.

ASCII, so that characters are bytes. It ends with `END`, a paragraph of its own: seen on screen, all of it is there.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

END = "Here the answer is over, 5e0d"
TOKEN = 8

_NOUNS = (
    "river", "log", "hill", "bridge", "harbour", "winter", "letter", "garden", "machine", "lantern", "paper", "stone",
    "market", "engine", "window", "field",
)  # fmt: skip
_VERBS = (
    "carries", "keeps", "follows", "returns", "measures", "crosses", "remembers", "gathers", "loses", "repairs",
    "opens", "counts", "names", "turns",
)  # fmt: skip
_JOINTS = ("and", "but", "while", "because", "until", "where", "before", "after")


class Author:
    """Writes pieces of Markdown, each from the next random numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def sentence(self) -> str:
        """Return one sentence, now and then with something inline in it."""
        pick = self._random.choice
        clauses = [f"the {pick(_NOUNS)} {pick(_VERBS)} the {pick(_NOUNS)}" for _ in range(self._random.randint(1, 3))]
        said = f" {pick(_JOINTS)} ".join(clauses)
        noun, n = pick(_NOUNS), self._random.randint(1, 99)
        inline = ("", "", "", "", f"**{noun} {n}**", f"*{noun}*", f"`{noun}_{n}`", f"[{noun}](https://example.org/{n})",
                  f"$x_{{{n}}}^2$")  # fmt: skip
        extra = pick(inline)
        return f"{said[0].upper()}{said[1:]}{' near ' + extra if extra else ''}. "

    def paragraph(self) -> str:
        """Return some sentences."""
        return "".join(self.sentence() for _ in range(self._random.randint(2, 6))).strip()

    def rows(self, count: int) -> str:
        """Return rows of a table of three columns."""
        pick, number = self._random.choice, self._random.randint
        return "".join(f"| {pick(_NOUNS)} | {number(1, 9999)} | {self.sentence().strip()} |\n" for _ in range(count))

    def code(self, lines: int) -> str:
        """Return lines of Python."""
        pick, number = self._random.choice, self._random.randint
        return "".join(f"{pick(_NOUNS)}_{number(1, 99)} = {pick(_VERBS)}({number(1, 9999)}, key={pick(_NOUNS)!r})\n"
                       for _ in range(lines))  # fmt: skip

    def block(self) -> str:  # noqa: PLR0911 - one a kind
        """Return one block of any kind, mostly paragraphs."""
        number = self._random.randint
        kind = number(1, 20)
        if kind == 1:
            return f"## The {self._random.choice(_NOUNS)}, part {number(2, 99)}"
        if kind <= 4:
            return "\n".join(f"- {self.sentence().strip()}" for _ in range(number(3, 7)))
        if kind == 5:
            return f"{_TABLE}{self.rows(number(3, 8))}".rstrip()
        if kind <= 7:
            return f"```python\n{self.code(number(4, 16))}```"
        if kind == 8:
            return f"$$\n\\sum_{{k=1}}^{{{number(2, 99)}}} \\frac{{x_k}}{{k + {number(1, 9)}}}\n$$"
        if kind == 9:
            return f"> {self.sentence().strip()}"
        return self.paragraph()


_TABLE = "| what | how many | why |\n|---|---:|---|\n"


def _mixed(author: Author, size: int) -> str:
    return _fill(size, lambda: author.block() + "\n\n")


def _list(author: Author, size: int) -> str:
    return _fill(size, lambda: f"- {author.sentence().strip()}\n")


def _table(author: Author, size: int) -> str:
    return _TABLE + _fill(size, lambda: author.rows(1))


def _one_paragraph(author: Author, size: int) -> str:
    return _fill(size, author.sentence).strip() + "\n"


def _fence(author: Author, size: int) -> str:
    return "```python\n" + _fill(size, lambda: author.code(1)) + "```\n"


def _fill(size: int, piece: Callable[[], str]) -> str:
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(piece())
        length += len(pieces[-1])
    return "".join(pieces)


SHAPES = {"mixed": _mixed, "list": _list, "table": _table, "paragraph": _one_paragraph, "fence": _fence}


def answer(size: int, shape: str = "mixed", seed: int = 7) -> str:
    """Return about *size* characters of *shape*, and `END` behind them."""
    return f"{SHAPES[shape](Author(seed), size).rstrip()}\n\n{END}\n"


def tokens(text: str, rate: float = 0.0, size: int = TOKEN) -> Iterator[str]:
    """Yield *text* in tokens of *size* characters, *rate* of them a second (0: as fast as they are taken)."""
    began = time.monotonic()
    for n, at in enumerate(range(0, len(text), size)):
        if rate and (wait := began + n / rate - time.monotonic()) > 0:
            time.sleep(wait)
        yield text[at : at + size]

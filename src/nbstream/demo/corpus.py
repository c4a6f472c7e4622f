"""
The text behind the demo model, read once from `corpus.md`: topics, and an n-gram graph over all their sentences.

`corpus.md` is an ordinary Markdown file. In its code blocks and tables `§` stands for a digit that the model draws.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

# A token is a word piece: up to ten characters with the white space before them, as in a real tokenizer.
_TOKEN = re.compile(r"\s*\S{1,10}")
# A blank line ends a block, except inside a code fence.
_BLOCK = re.compile(r"^```.*?^```$|^(?:(?!```)[^\n]+\n?)+", re.MULTILINE | re.DOTALL)

# Sentences with these first words speak of the sentence before them.
_REFERS_BACK = frozenset(
    ["And", "Both", "But", "By", "He", "It", "Nobody", "None", "Not", "Nothing", "On", "So", "That", "Then", "These"]
).union(["They", "This", "To", "You"])

_ORDER = 3
_Words = tuple[str, ...]


class Run(NamedTuple):
    """
    Tokens that follow each other without a choice, and the runs to choose from behind them.

    After most words the text knows one next word only. Such words are joined once, here, so that the model
    draws a number per choice and not per word; this is where its speed comes from.
    """

    tokens: tuple[str, ...]
    choices: list[Run]  # empty: the sentence ends here


class Topic(NamedTuple):
    """One essay, taken apart."""

    name: str
    headings: tuple[str, ...]
    sentences: tuple[Run, ...]  # how its sentences begin; how they go on is common to all topics
    openings: tuple[int, ...]  # the sentences that may begin a paragraph
    items: tuple[tuple[str, ...], ...]
    figures: tuple[tuple[str, ...], ...]  # code blocks and tables, whole
    quotes: tuple[tuple[str, ...], ...]


def tokenize(text: str) -> tuple[str, ...]:
    """Cut *text* into word pieces; joined they are *text* again, without white space at its end."""
    return tuple(_TOKEN.findall(text))


@functools.cache
def topics() -> tuple[Topic, ...]:
    """Return all topics. The first call costs some milliseconds, all others nothing."""
    essays = []
    for essay in re.split(r"^# ", Path(__file__).with_name("corpus.md").read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name, _, rest = essay.partition("\n")
        essays.append((name, [block.strip("\n") for block in _blocks(rest)]))
    graph = _Graph([sentence for _, blocks in essays for block in blocks for sentence in _sentences(block)])
    return tuple(_topic(name, blocks, graph) for name, blocks in essays)


def _topic(name: str, blocks: list[str], graph: _Graph) -> Topic:
    lines = [line for block in blocks if block.startswith(("## ", "- ")) for line in block.splitlines()]
    sentences = [sentence for block in blocks for sentence in _sentences(block)]
    return Topic(
        name=name,
        headings=tuple(line[3:] for line in lines if line.startswith("## ")),
        sentences=tuple(map(graph.opening, sentences)),
        openings=tuple(number for number, words in enumerate(sentences) if words[0] not in _REFERS_BACK),
        items=tuple(tokenize(line[1:]) for line in lines if line.startswith("- ")),
        figures=tuple(tokenize(block) for block in blocks if block.startswith(("```", "|"))),
        quotes=tuple(tokenize(block) for block in blocks if block.startswith(">")),
    )


def _blocks(text: str) -> list[str]:
    return [match.group() for match in _BLOCK.finditer(text)]


def _sentences(block: str) -> list[tuple[str, ...]]:
    """Return the sentences of a paragraph as words; other blocks have none."""
    if block.startswith(("#", "-", "|", ">", "`")):
        return []
    sentences: list[tuple[str, ...]] = []
    words: list[str] = []
    for word in block.split():
        if not words and sentences and not any(map(str.isalnum, word)):
            sentences[-1] += (word,)  # an emoji behind the full stop belongs to the sentence before it
            continue
        words.append(word)
        if word.endswith((".", "?", "!")):
            sentences.append(tuple(words))
            words = []
    return sentences


class _Graph:
    """What may follow three words, with runs of single choices joined. After two words the text soon made no sense."""

    def __init__(self, sentences: list[tuple[str, ...]]) -> None:
        self._next: dict[_Words, list[str]] = {}
        self._forks: dict[_Words, list[Run]] = {}
        for sentence in sentences:
            for words, following in _followers(sentence):
                self._next.setdefault(words, []).append(following)
        # Forks refer to each other in circles, so all of them exist before the first is filled.
        for words, candidates in self._next.items():
            if len(set(candidates)) > 1:
                self._forks[words] = []
        for words, fork in self._forks.items():
            fork.extend(self._run(words, word) for word in self._next[words])

    def opening(self, sentence: tuple[str, ...]) -> Run:
        words, _ = _followers(sentence)[0]
        tokens = tokenize(" " + " ".join(words))
        if words in self._forks:
            return Run(tokens, self._forks[words])
        run = self._run(words, self._next[words][0])
        return Run(tokens + run.tokens, run.choices)

    def _run(self, words: _Words, word: str) -> Run:
        run = []
        while word:
            run.append(word)
            words = (*words[1:], word)
            if words in self._forks:
                break
            word = self._next[words][0]
        return Run(tuple(token for word in run for token in tokenize(f" {word}")), self._forks[words] if word else [])


def _followers(sentence: tuple[str, ...]) -> list[tuple[_Words, str]]:
    """Return each three words of *sentence* with the word behind them, "" at its end. A shorter one is one step."""
    if len(sentence) <= _ORDER:
        return [(sentence, "")]
    return [(sentence[at - _ORDER : at], word) for at, word in enumerate((*sentence, "")) if at >= _ORDER]

"""
Whether a message that was cut can be continued, and the source that does so. Continuing is a new generation.

| the message ends in | continued |
|---|---|
| text, of which at least one word is whole | yes |
| reasoning, or nothing but that | no: a model goes on behind what it said, not behind what it thought |
| a tool call or its result | no: half of a call is no call, and what a tool has answered belongs to another request |
| text of several agents, text with a gap, a refusal | no: it is not one text |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import SourceRefused
from nbstream.log.readback import parts_of
from nbstream.records import ASSISTANT
from nbstream.sources.continuing import continuing
from nbstream.sources.seam import WORD_CHARS, whole_words
from nbstream.transcript import AgentText

if TYPE_CHECKING:
    from nbstream.log.contract import Log
    from nbstream.recorder.progress import Progress
    from nbstream.sources.continuing import Continuing
    from nbstream.sources.contract import Source

#: So often a message is continued without being asked: a filter may cut it at the same word for ever, for money.
MOST_UNASKED = 3
#: A longer text has a whole word in it, even if white space stands before it.
MOST_OF_A_WORD = 4 * WORD_CHARS


def hindrance(progress: Progress) -> str | None:
    """Return why what is stored cannot be continued, in words; None if it can."""
    kinds = {kind for _, kind in progress.lengths}
    if {"tool_call", "tool_result"} & kinds:
        return "it was cut in a message with tool calls"
    if progress.team or any(agent != ASSISTANT for agent, _ in progress.lengths):
        return "several agents speak in it"
    if "refusal" in kinds:
        return "the model refused"
    if progress.last == (ASSISTANT, "reasoning"):
        return "it was cut inside its reasoning"
    if progress.gapped:
        return "pieces of its text are missing"
    return None if progress.chars else "no text has come"


def half_a_word(log: Log, progress: Progress) -> str | None:
    """Return, as `hindrance` does, that not a whole word of text has come (blocking: it is read)."""
    name = ASSISTANT, "text"
    if progress.lengths.get(name, 0) - progress.taken.get(name, 0) > MOST_OF_A_WORD or whole_words(_text(log)):
        return None
    return "not a whole word has come"


def continued(source: Source, log: Log, progress: Progress) -> Continuing:
    """
    Return the source that goes on behind the text of *log*, counted by *progress*, by asking *source* (blocking).

    Raises `SourceRefused` with one line where that cannot be done.
    """
    why = hindrance(progress)
    if why is not None:
        raise SourceRefused(f"{why}, where no other generation can go on: Regenerate asks anew")
    return continuing(source, _text(log), progress.usage)


def _text(log: Log) -> str:
    said = AgentText(ASSISTANT)
    for part in parts_of(log):
        said.add(part)
    return said.text

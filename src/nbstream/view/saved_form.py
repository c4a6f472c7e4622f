"""
The saved form: the answer as Markdown, readable on GitHub, in nbconvert, without a kernel.

Everything stands in the order in which it came: text, calls and results folded away, and where a new generation goes
on. What a model wrote stays Markdown but is made inert (`view.harmless`), and the last line says how the message ended.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nbstream import words
from nbstream.log.readback import intact, records_of
from nbstream.records import Part
from nbstream.transcript import Call, Section, result_of
from nbstream.view.excerpt import Fences, excerpts, shortened
from nbstream.view.harmless import code_block, harmless, plain
from nbstream.view.terminal import strip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbstream.records import Record
    from nbstream.stream import Stream
    from nbstream.transcript import AgentText, Transcript

#: Characters that go into the notebook file whole.
LIMIT = 2_000_000
#: Of a longer message the texts are kept as blocks of their Markdown source. JupyterLab renders this output too, though
#: it is hidden: 144 KB hold the page up for 0.1 s, 1 MB for 1.6 to 9 s, and as a block not at all (measured, JupyterLab
#: 4.6.6). (The two ends kept of a text above `LIMIT` stay below.)
RENDERED = 144 * 1024

#: Text by kind, or what stands between texts.
Piece: TypeAlias = "dict[str, str] | Call | Part"


def markdown(
    transcript: Transcript, line: str, *, stream: str, limit: int = LIMIT, states: Mapping[str, str] | None = None
) -> str:
    """
    Return the saved form of *transcript* as Markdown.

    Args:
        transcript: what was said.
        line: the state line (`words.line`); it is the last line.
        stream: id of the stream, for the command that shows all of it.
        limit: characters above which only both ends of each text are kept.
        states: how agents stand, where they stand differently.

    """
    transcript = _fitting(transcript, stream, limit)
    agents = transcript.agents.values()
    blocks = _length(transcript) > RENDERED
    pieces = []
    for agent in agents:
        if len(agents) > 1:
            pieces.append(f"### {plain(_heading(agent, transcript, states))}")
        pieces += _agent(agent, blocks=blocks)
    return "\n\n".join([*pieces, f"*{plain(line)}*"]) + "\n"


def plain_text(
    transcript: Transcript, line: str, *, stream: str, limit: int = LIMIT, states: Mapping[str, str] | None = None
) -> str:
    """Return the same as plain text, for consoles: as it was written, but for what a terminal would obey."""
    transcript = _fitting(transcript, stream, limit)
    agents = transcript.agents.values()
    pieces = []
    for agent in agents:
        if len(agents) > 1:
            pieces.append(f"── {' '.join(strip(_heading(agent, transcript, states)).split())} ──")
        pieces += filter(str.strip, _plain_agent(agent))
    return "\n\n".join([*pieces, f"[{strip(line)}]"]) + "\n"


def saved_form(stream: Stream) -> str:
    """Return the saved form of what *stream* has said so far; reads the log, so not for the loop's thread."""
    facts = stream.facts()
    return markdown(_saved(stream, facts), words.saved_line(facts), stream=stream.id, states=_states(stream))


def document(stream: Stream) -> dict[str, str]:
    """Return the saved form by media type, for those who show no Markdown (consoles) too. Blocks as `saved_form`."""
    facts = stream.facts()
    said, line = _saved(stream, facts), words.saved_line(facts)
    return {
        "text/markdown": markdown(said, line, stream=stream.id, states=_states(stream)),
        "text/plain": plain_text(said, line, stream=stream.id, states=_states(stream)),
    }


def in_order(agent: AgentText) -> Iterator[Piece]:
    """
    Yield what *agent* said, text by kind between what stands between texts.

    A block of code stays whole: what came inside of one stands behind it.
    """
    texts: dict[str, list[str]] = {}
    waiting: list[Call | Part] = []
    fences = Fences()
    for one in [*agent.said, None]:
        if isinstance(one, Section):
            for kind in one.passages:
                texts.setdefault(kind, []).append(one.text(kind))
            fences.feed(one.text("text"))
            if not waiting or fences.inside:
                continue
        elif one is not None:
            if isinstance(one, Part) and one.kind == "gap":
                at = (one.fields or {}).get("at", -1)
                late = agent.came_late(at)
                texts.setdefault("text", []).append(late)
                fences.feed(late)
                if at in agent.closed:
                    continue  # nothing is missing here any more
            waiting.append(one)
            if fences.inside:
                continue
        if texts:
            yield {kind: "".join(text) for kind, text in texts.items()}
        yield from waiting
        texts, waiting, fences = {}, [], Fences()


def result_title(part: Part, agent: AgentText) -> str:
    """Return what a result is called: by its call, where the call is known."""
    fields = part.fields or {}
    names = (one.name for one in agent.said if isinstance(one, Call) and one.id and one.id == fields.get("id"))
    name = str(fields.get("name") or next(names, ""))
    return f"result of {name}" if name else "tool result"


def _heading(agent: AgentText, transcript: Transcript, states: Mapping[str, str] | None) -> str:
    ended = (states or {}).get(agent.name) or agent.status or (transcript.close.how if transcript.close else "")
    return f"{agent.name} ({ended})" if ended else agent.name


def _agent(agent: AgentText, *, blocks: bool) -> Iterator[str]:
    def text(source: str) -> str:
        return code_block(source, "text") if blocks else harmless(source).strip("\n")

    for piece in in_order(agent):
        if isinstance(piece, dict):
            if piece.get("reasoning", "").strip():
                yield _details("reasoning", text(piece["reasoning"]))
            yield from (text(piece[kind]) for kind in ("text", "refusal") if piece.get(kind, "").strip())
        elif isinstance(piece, Call):
            yield _details(f"tool call {plain(piece.name)}".strip(), code_block(piece.arguments, "json"))
        elif piece.kind == "tool_result":
            yield _details(plain(result_title(piece, agent)), code_block(result_of(piece.fields or {}), "text"))
        else:
            yield f"*{plain(words.mark(piece))}*"


def _plain_agent(agent: AgentText) -> Iterator[str]:
    for piece in in_order(agent):
        if isinstance(piece, dict):
            yield from (strip(piece.get(kind, "")).strip("\n") for kind in ("reasoning", "text", "refusal"))
        elif isinstance(piece, Call):
            yield strip(f"calls {piece.name or 'a tool'}: {piece.arguments}").strip("\n")
        elif piece.kind == "tool_result":
            yield strip(f"{result_title(piece, agent)}: {result_of(piece.fields or {})}").strip("\n")
        else:
            yield f"[{words.mark(piece)}]"


def _details(summary: str, inside: str) -> str:
    # Markdown inside HTML is rendered only between blank lines.
    return f"<details><summary>{summary}</summary>\n\n{inside.strip(chr(10))}\n\n</details>"


def _states(stream: Stream) -> dict[str, str]:
    return {name: str(facts.state) for name, facts in stream.agent_facts().items()}


def _saved(stream: Stream, facts: words.Facts) -> Transcript:
    # What is too long is read past, so that 100 MB never lie in memory.
    if facts.chars <= LIMIT:
        return stream.transcript()
    return excerpts(partial(_records, stream), stream=stream.id)


def _records(stream: Stream) -> Iterator[Record]:
    return intact(records_of(stream.log))


def _fitting(transcript: Transcript, stream: str, limit: int) -> Transcript:
    return transcript if _length(transcript) <= limit else shortened(transcript, stream=stream, limit=limit)


def _length(transcript: Transcript) -> int:
    return sum(_size(one) for agent in transcript.agents.values() for one in agent.said)


def _size(one: Section | Call | Part) -> int:
    if isinstance(one, Section):
        return sum(len(one.text(kind)) for kind in one.passages)
    return len(one.arguments) if isinstance(one, Call) else len(result_of(one.fields or {}))

"""
The saved form: the answer as Markdown in the notebook file, readable on GitHub, in nbconvert, without a kernel.

It stands beside the widget, hidden while that lives. What a model wrote stays Markdown but is made inert
(`view.harmless`), and the last line says how the message ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nbstream import words
from nbstream.clock import Clock
from nbstream.log.bell import bell
from nbstream.log.readback import intact, records_of
from nbstream.view.excerpt import excerpts, shortened
from nbstream.view.harmless import code_block, harmless, plain
from nbstream.view.terminal import strip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbstream.stream import Stream
    from nbstream.transcript import AgentText, Transcript
    from nbstream.view.publish import Display

#: Characters that go into the notebook file whole.
LIMIT = 2_000_000
#: A longer text is kept as a block of its Markdown source. JupyterLab renders this output too, though it is hidden:
#: 144 KB hold the page up for 0.1 s, 1 MB for 1.6 to 9 s, and as a block not at all (measured, JupyterLab 4.6.6).
#: (The two ends kept of a text above `LIMIT` stay below.)
RENDERED = 144 * 1024
#: While the message grows it is refreshed up to this size, each time it has doubled, and after a pause that
#: doubles from the first of these to the second: a file saved after a second holds most of that second, too.
LIVE_LIMIT = 64 * 1024
GROWTH = 2.0
PAUSES_S = (0.5, 2.0)
#: How long a long message that was there already waits for the page to paint it.
LATE_S = 1.0
LOOK_S = 0.25


def markdown(transcript: Transcript, line: str, *, stream: str, limit: int = LIMIT) -> str:
    """
    Return the saved form of *transcript* as Markdown.

    Args:
        transcript: what was said.
        line: the state line (`words.line`); it is the last line.
        stream: id of the stream, for the command that shows all of it.
        limit: characters above which only both ends of each text are kept.

    """
    transcript = _fitting(transcript, stream, limit)
    agents = transcript.agents.values()
    pieces = [piece for agent in agents for piece in _agent(agent, alone=len(agents) == 1)]
    return "\n\n".join([*pieces, f"*{plain(line)}*"]) + "\n"


def plain_text(transcript: Transcript, line: str, *, stream: str, limit: int = LIMIT) -> str:
    """Return the same as plain text, for consoles: as it was written, but for what a terminal would obey."""
    transcript = _fitting(transcript, stream, limit)
    agents = transcript.agents.values()
    pieces = [f"── {' '.join(strip(agent.name).split())} ──" if len(agents) > 1 else "" for agent in agents]
    for at, agent in enumerate(agents):
        calls = (f"calls {call['name'] or 'a tool'}: {call['arguments']}" for call in agent.tool_calls)
        said = (strip(text).strip("\n") for text in (agent.reasoning, agent.text, agent.refusal, *calls))
        pieces[at] = "\n\n".join(filter(str.strip, (pieces[at], *said)))
    return "\n\n".join([*filter(None, pieces), f"[{strip(line)}]"]) + "\n"


def _fitting(transcript: Transcript, stream: str, limit: int) -> Transcript:
    return transcript if _length(transcript) <= limit else shortened(transcript, stream=stream, limit=limit)


def _length(transcript: Transcript) -> int:
    return sum(
        sum(len(piece) for pieces in agent.pieces.values() for piece in pieces)
        + sum(len(call["arguments"]) for call in agent.tool_calls)
        for agent in transcript.agents.values()
    )


def _agent(agent: AgentText, *, alone: bool) -> Iterator[str]:
    if not alone:
        yield f"### {plain(agent.name)}"
    if agent.reasoning.strip():
        yield _details("reasoning", harmless(agent.reasoning))
    for text in (agent.text, agent.refusal):
        if text.strip():
            yield harmless(text).strip("\n") if len(text) <= RENDERED else code_block(text, "text")
    for call in agent.tool_calls:
        yield _details(f"tool call {plain(call['name'])}".strip(), code_block(call["arguments"], "json"))


def _details(summary: str, inside: str) -> str:
    # Markdown inside HTML is rendered only between blank lines.
    return f"<details><summary>{summary}</summary>\n\n{inside.strip(chr(10))}\n\n</details>"


def saved_form(stream: Stream) -> str:
    """Return the saved form of what *stream* has said so far; reads the log, so not for the loop's thread."""
    facts = stream.facts()
    return markdown(_saved(stream, facts), words.saved_line(facts), stream=stream.id)


def document(stream: Stream) -> dict[str, str]:
    """Return the saved form by media type, for those who show no Markdown (consoles) too. Blocks as `saved_form`."""
    facts = stream.facts()
    said, line = _saved(stream, facts), words.saved_line(facts)
    return {
        "text/markdown": markdown(said, line, stream=stream.id),
        "text/plain": plain_text(said, line, stream=stream.id),
    }


def _saved(stream: Stream, facts: words.Facts) -> Transcript:
    # What is too long is read past, so that 100 MB never lie in memory.
    long = facts.chars > LIMIT
    return excerpts(intact(records_of(stream.log)), stream=stream.id) if long else stream.transcript()


class SavedOutput:
    """
    Keeps the saved form of one cell's stream in the notebook file.

    `show` makes the output in the cell; `follow` brings it up to date until the stream is at rest. After a resume or a
    regenerate, follow (the new stream) again: it stays the same output.
    """

    def __init__(self, display: Display, *, clock: Clock | None = None) -> None:
        self._display = display
        self._clock = clock or Clock()
        self._last: str | None = None
        self._late = False
        self._chars, self._at, self._pause = 0, float("-inf"), PAUSES_S[0]

    def show(self, stream: Stream) -> None:
        """
        Make the output with what there is now. To be called in the cell's thread, once.

        Of a long message that is there already only the last line: `follow` brings the rest when the page has painted
        the widget, whose text would else come behind a megabyte that nobody sees.
        """
        facts = stream.facts()
        long = facts.chars > LIVE_LIMIT
        self._last = f"*{plain(words.saved_line(facts))}*\n" if long else saved_form(stream)
        self._display.show({"text/markdown": self._last})
        self._late = long

    async def follow(self, stream: Stream) -> None:
        """Publish what is new, seldom while the message grows and once when it is at rest."""
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        end = stream.subscribe(bell(moved))
        self._chars, self._pause = 0, PAUSES_S[0]
        if self._late:
            self._late = False
            await self._clock.sleep(LATE_S)
        try:
            while not await asyncio.to_thread(lambda: stream.settled):
                moved.clear()
                facts = await asyncio.to_thread(stream.facts)
                if self._due(facts.chars):
                    await asyncio.to_thread(self.update, stream)
                    self._chars, self._at = facts.chars, self._clock.monotonic()
                    self._pause = min(2 * self._pause, PAUSES_S[1])
                # A signal comes with every record; to look four times a second is enough.
                await self._clock.sleep(LOOK_S)
                # No `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the news.
                due = loop.call_later(PAUSES_S[1], moved.set)
                try:
                    await moved.wait()
                finally:
                    due.cancel()
        finally:
            end()
        await asyncio.to_thread(self.update, stream)

    def _due(self, chars: int) -> bool:
        grown = self._chars * GROWTH < chars <= LIVE_LIMIT
        return grown and self._clock.monotonic() - self._at >= self._pause

    def update(self, stream: Stream) -> None:
        """Publish what there is now, if it is news. Reads the log, so not for the loop's thread."""
        text = saved_form(stream)
        if text != self._last:
            self._last = text
            self._display.update({"text/markdown": text})

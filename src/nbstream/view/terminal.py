"""A stream in a terminal: new text as it is saved, nothing in it that a terminal would obey, and the state line."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from nbstream import words
from nbstream.errors import LogDamaged
from nbstream.log.readback import intact, records_of
from nbstream.records import ASSISTANT, TEXT_KINDS
from nbstream.transcript import result_of
from nbstream.truncation import Remaining

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.records import Part
    from nbstream.stream import Stream

#: What a reader is told of between the texts. Text that was written already stays on a terminal.
MARKS = frozenset({"seam", "gap", "truncate"})

_DIM, _PLAIN = "\x1b[2m", "\x1b[22m"

#: Longest escape sequence that is taken for one. Behind a longer "sequence" there is text, and text is never lost.
_LONGEST = 256
#: Control sequences (colours, cursor, screen), strings (title, clipboard, links), and the short ones: parts of each.
_CSI = r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}"
_STRING = rf"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{{0,{_LONGEST}}}"
_SHORT = r"\x1b[ -/]{0,8}"
#: And C0 but newline and tab, DEL, C1, and what turns the direction of text so that it reads as something else.
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_UNWANTED = re.compile(
    rf"{_CSI}[@-~]|{_STRING}(?:\x07|\x1b\\|\x9c)|{_SHORT}[0-OQ-WYZ\\`-~]"
    rf"|(?P<unfinished>(?:{_CSI}|{_STRING}\x1b?|{_SHORT})\Z)|{_CONTROL}"
)


class Strip:
    """Takes control characters and escape sequences out of text that comes in pieces, also where a piece cuts one."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what of *text* may be written now."""
        text, self._held = self._held + text, ""
        return _UNWANTED.sub(self._hold, text)

    def _hold(self, found: re.Match[str]) -> str:
        self._held = found["unfinished"] or ""
        return ""

    def end(self) -> str:
        """Return what was held back and turned out to be no sequence."""
        held, self._held = self._held, ""
        return re.sub(_CONTROL, "", held)


def strip(text: str) -> str:
    """Return *text* without control characters and escape sequences."""
    one = Strip()
    return one.feed(text) + one.end()


class TerminalView:
    """Writes one stream. *dim*: the terminal knows faint text; reasoning and tool calls are shown so."""

    def __init__(self, *, dim: bool = False) -> None:
        self._dim = dim
        self._strip = Strip()
        self._voice: tuple[str, str, object] | None = None
        self._speaker = ASSISTANT
        self._fresh = True

    async def run(self, stream: Stream, write: Callable[[str], None]) -> None:
        """Write what *stream* says from its beginning until it is at rest, then its state line."""
        with suppress(LogDamaged):  # the state line says what is damaged
            remaining = await asyncio.to_thread(lambda: Remaining(intact(records_of(stream.log))))
            async for part in stream:
                stays = remaining.of(part)
                if stays is not None and (out := self._part(stays)):
                    write(out)
        facts = await asyncio.to_thread(stream.facts)
        write(self._ends() + self._faint(f"[{strip(words.line(facts, buttons=False))}]") + "\n")

    def _part(self, part: Part) -> str:
        fields = part.fields or {}
        if part.kind == "tool_call":
            heading, text = f"calls {fields.get('name') or 'a tool'}: ", fields.get("args_delta") or ""
        elif part.kind == "tool_result":
            name = fields.get("name")
            heading, text = f"result of {name}: " if name else "tool result: ", result_of(fields)
        elif part.kind in TEXT_KINDS:
            heading, text = "", part.text
        elif part.kind == "late":
            # Where it belongs is written already; on a terminal nothing moves.
            heading, text = "a late piece: ", str(fields.get("text") or "")
        elif part.kind in MARKS and (said := words.mark(part)):
            heading, text = "", f"[{said}]"
        else:
            return ""
        voice = part.agent, part.kind, fields.get("index", fields.get("id", fields.get("number")))
        begins = ""
        if voice != self._voice or part.kind in MARKS:
            begins = self._ends() + self._speaks(part.agent) + self._faint(strip(heading))
            self._voice = voice
        shown = self._strip.feed(text)
        if shown:
            self._fresh = shown.endswith("\n")
        return begins + (shown if part.kind in ("text", "refusal", "late") else self._faint(shown))

    def _speaks(self, agent: str) -> str:
        """Return the heading that says who speaks now, if that changes."""
        if agent == self._speaker:
            return ""
        self._speaker = agent
        return f"── {' '.join(strip(agent).split())} ──\n"

    def _ends(self) -> str:
        """Return what brings the voice that spoke to an end, at the beginning of a line."""
        if self._voice is None:
            return ""
        held = self._strip.end()
        fresh = self._fresh and not held
        self._fresh = True
        return held if fresh else f"{held}\n"

    def _faint(self, text: str) -> str:
        return f"{_DIM}{text}{_PLAIN}" if self._dim and text else text


def stream_to(stream: Stream, file: TextIO) -> None:
    """
    Write *stream* to *file* as it is saved; returns when it is at rest.

    Interrupt stops the stream and raises `waiting.Interrupted`, after its state line.
    """
    encoding = file.encoding or "utf-8"

    def write(text: str) -> None:
        # A terminal that cannot show a character shows a question mark; it does not end the answer.
        file.write(text.encode(encoding, "replace").decode(encoding))
        file.flush()

    # Another thread writes, so that this one can take the Interrupt at any moment.
    writer = ThreadPoolExecutor(1, thread_name_prefix="nbstream-terminal")
    work = TerminalView(dim=file.isatty()).run(stream, write)
    written = writer.submit(asyncio.run, work)
    try:
        stream.wait()
    finally:
        writer.shutdown(wait=False)
        written.result()

r"""
A model's Markdown made inert, for a file that others will render: GitHub, nbconvert, JupyterLab.

Renderers disagree about what is code: lists, tables, math and unclosed fences move the borders. So nothing here relies
on them. Outside code no `<` stays that could begin a tag, no `![`, no link to a scheme that is not listed. In code:

- a span or a block that holds nothing active stays as the model wrote it, whatever a renderer takes it for;
- an active span becomes `<code>` with entities, an active block in a list or a quote `<pre><code>` on one line: both
  are inert even where a renderer thinks that it reads text;
- an active block at the margin stays a fence (it keeps its colours) behind a blank line, with a language behind the
  opening marks and no line inside that looks like a fence: then no renderer can take its content for text, not even
  one that believes another fence to be open, since neither the first line nor the content can close that one;
- formulas and link definitions can swallow that first line for some renderers, as they go on across blank lines and
  fences. So a block whose content could end one that was left open, wherever that was, is no fence either.

Everything is one pass, linear in the text. Prose without any of this comes out as it went in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from nbstream import words
from nbstream.view.paragraph import DELICATE, MONEY, SPECIAL, entity, in_code, is_active, paragraphs

#: The opening line of a fenced block.
FENCE = re.compile(
    r"^(?P<lead>(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t]))*[ \t]*)"
    r"(?P<marks>`{3,}(?=[^`\n]*$)|~{3,})(?P<info>[^\n]*)$",
    re.MULTILINE,
)
_FENCE_LIKE = re.compile(r"^[ \t>\-*+\d.)]*(?:```|~~~)", re.MULTILINE)
#: nbconvert looks for the end of display math before it looks for fences.
_MATH_END = re.compile(r"\$\$|\\\\\]|\\end\{")
#: The end of a link definition, that of its label (nbconvert, JupyterLab) or of its title (JupyterLab): the first
#: bracket is `]:`, or the first quote or parenthesis ends a line. One behind a backslash may count or not.
_DEFINITION_END = re.compile(
    r"""[^\[\]]*(?:(?<=\\)[\[\]][^\[\]]*)*\]:"""
    r"""|[^"]*(?:(?<=\\)"[^"]*)*"[ \t]*$"""
    r"""|[^']*(?:(?<=\\)'[^']*)*'[ \t]*$"""
    r"""|[^()]*(?:(?<=\\)[()][^()]*)*\)[ \t]*$""",
    re.MULTILINE,
)
#: No quotes: JupyterLab 4.6.6 writes the language into an attribute as it is, and a trusted file is not cleaned.
_PLAIN_INFO = re.compile(r"[\w+#. =:,{}()/-]*")
_LANGUAGE = re.compile(r"[\w+#.-]+")

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INDENTED = re.compile(r"(?:\A|(?<=\n\n))(?: {4}|\t)[^\n]*(?:\n(?: {4}|\t)[^\n]*)*")
_IN_LIST = re.compile(r"[ \t]|[-*+>][ \t]|\d{1,9}[.)][ \t]")

_NAME = re.compile(r"[&<>*_`\[\]\\$!|~#\"]")


class Fence(NamedTuple):
    """The opening line of a fenced block: what stands before the marks, the marks, what stands behind them."""

    lead: str
    marks: str
    info: str

    @property
    def margin(self) -> str:
        """What further lines of the block begin with: list markers become the room that they took."""
        return re.sub(r"[^>\s]", " ", self.lead)

    @property
    def closing(self) -> str:
        """The line that ends the block."""
        return self.margin + self.marks


def harmless(text: str) -> str:
    """Return *text* with nothing active in it and with its last fence closed; otherwise the same Markdown."""
    text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    out: list[str] = []
    at = 0
    while found := FENCE.search(text, at):
        out.append(_prose(text[at : found.start()], first=at == 0))
        fence = Fence(found["lead"], found["marks"], found["info"])
        end = _closing_line(fence.marks[0], len(fence.marks)).search(text, found.end())
        inside = text[found.end() + 1 : end.start() if end else len(text)]
        out.append(_block(fence, inside, text[end.start() : end.end()] if end else None))
        at = end.end() if end else len(text)
    out.append(_prose(text[at:], first=at == 0))
    return "".join(out)


def plain(text: str) -> str:
    """Return *text* (a name, an error, a state line) as one line that reads the same in Markdown and in HTML."""
    line = words.plain(" ".join(_CONTROLS.sub("", text).split()))
    return _NAME.sub(lambda found: MONEY if found[0] == "$" else entity(found), line)


def code_block(code: str, language: str) -> str:
    """Return *code* as a block of Markdown that nothing inside can leave."""
    code = _CONTROLS.sub("", code.replace("\r\n", "\n").replace("\r", "\n"))
    fence = Fence("", "```", language)
    if _FENCE_LIKE.search(code) or (is_active(code) and _ends_another(code)):
        return _as_html(fence, code)
    return f"```{language}\n{_ended(code)}```"


@lru_cache(maxsize=64)
def _closing_line(mark: str, length: int) -> re.Pattern[str]:
    return re.compile(rf"^[ \t>]*{mark}{{{length},}}[ \t]*$", re.MULTILINE)


def _block(fence: Fence, inside: str, closing: str | None) -> str:
    """Return one fenced block; *inside* are its lines, *closing* its last line if it has one."""
    language = _LANGUAGE.match(fence.info.strip())
    # nbconvert writes diagrams into the page as they are, and diagrams can hold remote images.
    drawn = fence.info.strip().lower().startswith("mermaid")
    plain_info = _PLAIN_INFO.fullmatch(fence.info) is not None and not drawn
    active = is_active(inside)
    if not active and plain_info:
        return fence.lead + fence.marks + fence.info + "\n" + (inside + closing if closing else _closed(fence, inside))
    name = language[0] if language and not drawn else "text"
    if not active:
        kept = fence._replace(info=name)
        return kept.lead + kept.marks + name + "\n" + (inside + closing if closing else _closed(kept, inside))
    if fence.lead or _FENCE_LIKE.search(inside) or _ends_another(inside):
        return _as_html(fence, inside)
    return f"\n```{name}\n{_ended(inside)}```\n"


def _ends_another(code: str) -> bool:
    """Tell whether *code* could end what text before it has left open, for a renderer that does not see its fence."""
    return _MATH_END.search(code) is not None or _DEFINITION_END.match(code) is not None


def _closed(fence: Fence, inside: str) -> str:
    return _ended(inside) + fence.closing


def _ended(code: str) -> str:
    return code if code.endswith("\n") or not code else code + "\n"


def _as_html(fence: Fence, inside: str) -> str:
    margin = len(fence.margin.expandtabs(4)) if ">" not in fence.margin else 0
    lines = inside.rstrip("\n").split("\n")
    if ">" in fence.margin:
        lines = [re.sub(r"^[ \t]*>[ ]?", "", line) for line in lines]
    elif margin:
        lines = [line[min(margin, len(line) - len(line.lstrip(" \t"))) :] for line in lines]
    return f"{fence.lead}<pre><code>{'&#10;'.join(in_code(line) for line in lines)}</code></pre>"


def _prose(text: str, *, first: bool) -> str:
    """Return what stands between fences; *first*: it begins the message."""
    if not SPECIAL.search(text):
        return text
    out: list[str] = []
    at = 0
    for block in _INDENTED.finditer(text):
        active = is_active(block[0])
        if (active or not DELICATE.search(block[0])) and _is_code(text, block.start(), first=first):
            out.append(paragraphs(text[at : block.start()]))
            at = block.end()
            if not active:
                out.append(block[0])
                continue
            lines = (re.sub(r"^(?: {4}|\t)", "", line) for line in block[0].split("\n"))
            out.append(_block(Fence("", "```", "text"), "\n".join(lines), "```"))
    out.append(paragraphs(text[at:]))
    return "".join(out)


def _is_code(text: str, at: int, *, first: bool) -> bool:
    """Tell whether the indented block at *at* is code, rather than a further paragraph of a list item."""
    if at == 0:
        return first
    before = text.rfind("\n\n", 0, at - 2)
    start = before + 2 if before >= 0 else 0
    return not _IN_LIST.match(text, start) and (before >= 0 or first)

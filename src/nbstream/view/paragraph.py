r"""
Paragraphs of a model's Markdown made inert: tags, images and links outside code; spans of code; formulas.

Code spans and formulas are recognised so that they keep their meaning; that nothing in the result is active does not
depend on it (see `view.harmless`).
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right

#: Links that a reader may follow. A target without a scheme stays too: no `:` before its first `/`, `?` or `#`, nor `&`
#: or `\`, which could spell a hidden one.
_SAFE = r"(?:(?:https?|mailto|ftp|tel):|[^\s:/?#)&\\<>]{0,256}(?:[/?#)\s]|\Z))"
_SAFE_TARGET = re.compile(_SAFE, re.IGNORECASE)
_TAG = r"<+(?=[A-Za-z/!?])"
#: A fence whose content nbconvert writes into the page as it is (or whose language is hidden in entities).
_DIAGRAM = r"(?:```|~~~)[ \t]*(?:mermaid|[^\n`~]*[&\\])"
#: Anything in code that would be active if a renderer took the code for text.
ACTIVE = re.compile(rf"<[A-Za-z/!?]|!\[|\][(:][\s>]*(?!{_SAFE})|{_DIAGRAM}", re.IGNORECASE)
#: Text in which a renderer could find what is none of ours, or an end that reaches across what follows.
DELICATE = re.compile(rf"{_TAG}|!\[|\][(:]|\$\$|```|~~~|\\begin\{{|\\\\\[")
#: Text that needs a closer look.
SPECIAL = re.compile(rf"{DELICATE.pattern}|\$|\\[(\[]")

#: A picture that needs no request, as long as it is small.
PICTURE_CHARS = 32 * 1024
_PICTURE = rf"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]{{1,{PICTURE_CHARS}}}"

_BREAK = re.compile(r"(\n(?:[ \t]*\n)+)")
_TOKEN = re.compile(
    r"(?P<badge>\[!\[(?P<alt>[^\]\[<`\\$&!\n]+)\]\([^()\n]*\)(?=\]\())"
    r"|(?P<auto><(?P<address>(?:https?://|mailto:)[^\s<>\"'`\\]+|[\w.+-]+@[\w.-]+)>)"
    # What has no attributes does nothing; an open one could take the rest of the page along.
    r"|(?P<kept><(?:br ?/?|(?P<pair>sub|sup|kbd)>[^<>\n]*</(?P=pair))>)"
    rf"|(?P<tag>{_TAG})"
    rf"|(?P<picture>!\[[^\]\[<`\\$&!\n]*\]\({_PICTURE}\))"
    r"|(?P<named>!\[(?P<name>[^\]\[<`\\$&!\n]*)\]"
    r"\(data:(?P<type>[a-z]+/[a-z0-9.+-]+)[;,](?P<bytes>[^()\s<>`\\]*)\))"
    r"|(?P<image>!+\[)"
    r"|(?P<link>\][(:])"
    r"|(?P<ticks>`+)"
    r"|(?P<tildes>~{3,})"
    r"|(?P<begin>\\begin\{(?P<env>[a-z]*\*?)\})"
    r"|(?P<bracket>\\\\\[)"
    r"|(?P<formula>\\(?P<opening>[(\[]))"
    r"|(?P<escape>\\[!-/:-\\^-`{-~])"
    r"|(?P<dollars>\$+)",
)
#: Not inside of an address: there a `$` has another spelling.
_ADDRESS = re.compile(r"(?:\]\(|://)[^()<>]*\Z")
_ADDRESS_CHARS = 2000
_DOLLAR = re.compile(r"(?<!\\)\$")
#: Between `\[` and `\]`; escaped brackets around words are no formula.
_LIKE_MATH = re.compile(r"[=\\^_+\n]")
_NOWHERE = sys.maxsize
_GAP = re.compile(r"[\s>]*")
_ANGLED = re.compile(r"<([^<>\n\t]*)>")
_IMAGE_REST = re.compile(r"[^\[\]\n]*\][(\[]")
#: A closing `$` as Pandoc, JupyterLab and GitHub see it: behind no space, before no digit.
_MATH_CLOSE = re.compile(r"(?<![\s\\$])\$(?![\d$])")
_DISPLAY = re.compile(r"(?<!\\)\$\$")
_IN_MATH = re.compile(r"<(?=[A-Za-z/!?<])|!(?=\[)|\](?=[(:])")
_MATH_INERT = {"<": r"\lt ", "!": "! ", "]": "] "}


#: What Markdown or a link finder could see in text between tags.
_PUNCTUATION = re.compile(r"[&<>*_`\[\]\\$!|~:@#{}\"]|(?<=www)\.")


def paragraphs(text: str) -> str:
    """Return *text* (no fences in it) with nothing active."""
    return "".join(_Paragraph(piece).inert() if SPECIAL.search(piece) else piece for piece in _BREAK.split(text))


def in_code(text: str) -> str:
    """Return *text* for the inside of an HTML `<code>` element amid Markdown."""
    return _PUNCTUATION.sub(entity, text)


#: Money: a `$` that no renderer takes for the beginning of a formula, whatever follows (measured: an escaped one, or an
#: entity, is one again for the MathJax of nbconvert's page and of JupyterLab).
MONEY = "<span>&#36;</span>"


def entity(found: re.Match[str]) -> str:
    """Return the HTML entity of a matched character."""
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found[0]) or f"&#{ord(found[0])};"


class _Paragraph:
    """Text without a blank line: code spans and math end in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._runs: dict[int, list[int]] = {}
        for run in re.finditer("`+", text):
            self._runs.setdefault(len(run[0]), []).append(run.start())
        self._closers = [found.start() for found in _MATH_CLOSE.finditer(text)]
        self._displays = [found.start() for found in _DISPLAY.finditer(text)]
        self._dollars = [found.start() for found in _DOLLAR.finditer(text)]
        # One alone opens no formula for anybody.
        self._priced = text.count("$") > 1
        self._last: dict[str, int] = {}
        self._places: dict[str, list[int]] = {}

    def inert(self) -> str:
        """Return the paragraph with nothing active in it."""
        out: list[str] = []
        at = 0
        while found := _TOKEN.search(self._text, at):
            out.append(self._text[at : found.start()])
            # Each token's group is named after the method that writes it.
            piece, at = getattr(self, found.lastgroup or "")(found)
            out.append(piece)
        out.append(self._text[at:])
        return "".join(out)

    def badge(self, found: re.Match[str]) -> tuple[str, int]:
        """Take a picture that is a link for the link alone."""
        return f"[{found['alt']}", found.end()

    def auto(self, found: re.Match[str]) -> tuple[str, int]:
        return found["address"], found.end()

    def kept(self, found: re.Match[str]) -> tuple[str, int]:
        end = found.start() + found[0].index(">") + 1
        if found["pair"] is None:
            return found[0], found.end()
        inside = self._text[end : found.end() - len(found["pair"]) - 3]
        return f"<{found['pair']}>{paragraphs(inside)}</{found['pair']}>", found.end()

    def tag(self, found: re.Match[str]) -> tuple[str, int]:
        return "&lt;" * len(found[0]), found.end()

    def picture(self, found: re.Match[str]) -> tuple[str, int]:
        before, after = self._text[: found.start()][-1:], self._text[found.end() : found.end() + 1]
        if before.strip() or after.strip(" \t\n.,;:"):
            # Glued to an address or a bracket it is a link to its bytes, for some renderers.
            name, _, data = found[0][2:-1].partition("](data:")
            return self._not_shown(name, *data.split(";base64,")), found.end()
        return found[0], found.end()

    def named(self, found: re.Match[str]) -> tuple[str, int]:
        """Name a picture that is too large for the file, or of a kind that can do more than show."""
        return self._not_shown(found["name"], found["type"], found["bytes"]), found.end()

    @staticmethod
    def _not_shown(name: str, kind: str, data: str) -> str:
        return f"&#91;{name or 'image'}: {kind}, {len(data):,} characters, not shown&#93;"

    def image(self, found: re.Match[str]) -> tuple[str, int]:
        bangs, at = len(found[0]) - 1, found.end()
        if not _IMAGE_REST.match(self._text, at):
            return "&#33;" * bangs + "[", at
        # An image without a name would be a link that nobody sees.
        return "&#33;" * (bangs - 1) + ("[image" if self._text.startswith("]", at) else "["), at

    def link(self, found: re.Match[str]) -> tuple[str, int]:
        gap = _GAP.match(self._text, found.end())
        target = gap.end() if gap else found.end()
        angled = _ANGLED.match(self._text, target)
        if angled and _SAFE_TARGET.match(angled[1]):
            address = angled[1].replace(" ", "%20").replace("(", "%28").replace(")", "%29")
            return self._text[found.start() : target] + address, angled.end()
        if not _SAFE_TARGET.match(self._text, target):
            return f"]&#{ord(found[0][1])};", found.end()
        return found[0], found.end()

    def ticks(self, found: re.Match[str]) -> tuple[str, int]:
        starts = self._runs.get(len(found[0]), [])
        after = bisect_right(starts, found.start())
        if after == len(starts):
            return self.tildes(found) if len(found[0]) > 2 else (found[0], found.end())
        inside, end = self._text[found.end() : starts[after]], starts[after] + len(found[0])
        active = ACTIVE.search(inside)
        if not active and len(found[0]) < 3:
            return self._text[found.start() : end], end
        # On one line: three marks at the beginning of a line could open a fence.
        inside = re.sub(r"[ \t]*\n[ \t>]*", " ", inside)
        if not active:
            return found[0] + inside + found[0], end
        if inside.startswith(" ") and inside.endswith(" ") and inside.strip():
            inside = inside[1:-1]
        return f"<code>{in_code(inside)}</code>", end

    def tildes(self, found: re.Match[str]) -> tuple[str, int]:
        """Keep what is no fence for us from being one behind some mark that we do not know."""
        return f"&#{ord(found[0][0])};" * len(found[0]), found.end()

    def begin(self, found: re.Match[str]) -> tuple[str, int]:
        return self._environment(found, f"\\end{{{found['env']}}}")

    def bracket(self, found: re.Match[str]) -> tuple[str, int]:
        return self._environment(found, "\\\\]")

    def _environment(self, found: re.Match[str], mark: str) -> tuple[str, int]:
        if mark not in self._last:
            self._last[mark] = self._text.rfind(mark)
        if self._last[mark] < found.end():
            # Open, it would reach across what follows, in nbconvert even across fences.
            return "&#92;" + found[0].lstrip("\\"), found.end()
        # A bracket at its end may be that of a link.
        end = self._text.find(mark, found.end()) + len(mark.rstrip("]"))
        return self._math(found.start(), end), end

    def formula(self, found: re.Match[str]) -> tuple[str, int]:
        r"""Write `\(x\)` and `\[x\]` with dollars: GitHub, nbconvert and JupyterLab see escaped brackets there."""
        opening, closing, dollars = ("\\(", "\\)", "$") if found["opening"] == "(" else ("\\[", "\\]", "$$")
        start, end = found.end(), self._next(closing, found.end())
        nested = min(self._next(mark, start) for mark in (opening, "$", "`"))
        inside = self._text[start:end] if end < nested else ""
        if not inside.strip() or (dollars == "$$" and not _LIKE_MATH.search(inside)):
            return self.escape(found)
        if dollars == "$":
            inside = inside.strip()
        inert = _IN_MATH.sub(lambda found: _MATH_INERT[found[0]], inside)
        # Two formulas side by side are not to share a `$$`.
        before = " " if self._text.startswith("$", start - 3) and start > 2 else ""
        after = " " if self._text.startswith(("$", "\\(", "\\["), end + 2) else ""
        return f"{before}{dollars}{inert}{dollars}{after}", end + 2

    def _next(self, mark: str, at: int) -> int:
        """Return where *mark* stands next, far behind the end if it does not; asked for often, it looks once."""
        places = self._places.get(mark)
        if places is None:
            places = self._places[mark] = [found.start() for found in re.finditer(re.escape(mark), self._text)]
        after = bisect_left(places, at)
        return places[after] if after < len(places) else _NOWHERE

    def escape(self, found: re.Match[str]) -> tuple[str, int]:
        if found[0] == "\\$":
            return (MONEY if self._priced else found[0]), found.end()
        return ("&lt;" if found[0] == "\\<" else found[0]), found.end()

    def dollars(self, found: re.Match[str]) -> tuple[str, int]:
        if self._in_address(found.start()):
            return "%24" * len(found[0]), found.end()
        several = len(found[0]) > 1
        ends = self._displays if several else self._closers
        after = bisect_right(ends, found.end() - (0 if several else 1))
        if several:
            opens = after < len(ends)
        else:
            # The next one closes it or it is none: "$5 and $x$" has one formula.
            further = bisect_right(self._dollars, found.start())
            opens = (
                self._text[found.end() : found.end() + 1].strip() != ""
                and after < len(ends)
                and self._dollars[further] == ends[after]
            )
        if opens:
            end = ends[after] + (2 if several else 1)
            return self._math(found.start(), end), end
        # Open, `$$` would reach across what follows, like an environment.
        return (MONEY * len(found[0]) if several or self._priced else "$"), found.end()

    def _in_address(self, at: int) -> bool:
        word = self._text[max(0, at - _ADDRESS_CHARS) : at].rsplit(maxsplit=1)
        return bool(word) and not self._text[at - 1].isspace() and _ADDRESS.search(word[-1]) is not None

    def _math(self, start: int, end: int) -> str:
        """Return a formula: what looks active in it is written in a way that means the same in TeX."""
        return _IN_MATH.sub(lambda found: _MATH_INERT[found[0]], self._text[start:end])

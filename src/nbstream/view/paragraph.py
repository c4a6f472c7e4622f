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
_ACTIVE = re.compile(rf"<[A-Za-z/!?]|!\[|\][(:][\s>]*(?!{_SAFE})|{_DIAGRAM}", re.IGNORECASE)
#: What begins a formula for JupyterLab. It takes formulas out of the source before it looks for Markdown and puts them
#: back into the page: inside of an attribute their quotes would end it.
_OPENING = re.compile(r"\$|\\\\[(\[]|\\begin\{")
_LINK = re.compile(r"\][(:]")
#: What renderers make links of by themselves, as far as the word goes.
_ADDRESS = re.compile(r"://|www\.", re.IGNORECASE)
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
_DOLLAR = re.compile(r"(?<!\\)\$")
#: Between `\[` and `\]`; escaped brackets around words are no formula.
_LIKE_MATH = re.compile(r"[=\\^_+\n]")
_NOWHERE = sys.maxsize
_GAP = re.compile(r"[\s>]*")
_ANGLED = re.compile(r"<([^<>\n\t]*)>")
#: What could end an address that stands without angles, or begin another link in it.
_ENCODED = {ord(mark): f"%{ord(mark):02X}" for mark in " ()[]`$\"'\\"}
_TITLE = re.compile(r"[ \t\n]+([\"'(])")
#: There a `$` has another spelling.
_PLAIN_ADDRESS = re.compile(r"(?:\]\(|://)[^()<>]*\Z")
_ADDRESS_CHARS = 2000
_IMAGE_REST = re.compile(r"[^\[\]\n]*\][(\[]")
#: A closing `$` as Pandoc, JupyterLab and GitHub see it: behind no space, before no digit.
_MATH_CLOSE = re.compile(r"(?<![\s\\$])\$(?![\d$])")
_DISPLAY = re.compile(r"(?<!\\)\$\$")
_IN_MATH = re.compile(r"<(?=[A-Za-z/!?<])|!(?=\[)|\](?=[(:])")
_MATH_INERT = {"<": r"\lt ", "!": "! ", "]": "] "}


#: What Markdown or a link finder could see in text between tags.
_PUNCTUATION = re.compile(r"[&<>*_`\[\]\\$!|~:@#{}\"]|(?<=www)\.")


def is_active(code: str) -> bool:
    """Tell whether anything in *code* would be active if a renderer took it for text."""
    if _ACTIVE.search(code):
        return True
    opening = _OPENING.search(code)
    link = _LINK.search(code)
    if not opening and not link:
        return False
    if link and _OPENING.search(code, link.end()):
        return True
    words = re.split(r"[ \t\n]+", code)
    if opening and any((at := _ADDRESS.search(word)) and _OPENING.search(word, at.end()) for word in words):
        return True
    # The title of a link may take in what comes behind the code.
    behind = zip(words, [*words[1:], ""], [*words[2:], "", ""], strict=False)
    return any(
        _LINK.search(word) and (one.startswith(("<", '"', "'", "(")) or two.startswith(('"', "'", "(")))
        for word, one, two in behind
    )


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


def _closes(address: str) -> bool:
    """Tell whether the parenthesis before *address* ends in it."""
    depth = 0
    for found in re.finditer(r"\(|(?<!\\)\)", address):
        depth += 1 if found[0] == "(" else -1
        if depth < 0:
            return True
    return False


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
        self._quoted = '"' in text and _OPENING.search(text) is not None
        self._addresses = [found.end() for found in _ADDRESS.finditer(text)]
        self._spaces = [found.start() for found in re.finditer(r"[ \t\n]", text)]
        #: Where the address and the title of the last link end.
        self._attributes_end = 0
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
        return re.sub(r"[\[\]$]", lambda mark: _ENCODED[ord(mark[0])], found["address"]), found.end()

    def kept(self, found: re.Match[str]) -> tuple[str, int]:
        if self._in_attribute(found.start()):
            return "&lt;", found.start() + 1
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
        if angled and angled[1].strip() and _SAFE_TARGET.match(angled[1]):
            if self._title_stays_open(found[0][1], angled.end(), self._word_end(angled.end())):
                return f"]&#{ord(found[0][1])};", found.end()
            return self._text[found.start() : target] + angled[1].translate(_ENCODED), angled.end()
        safe = _SAFE_TARGET.match(self._text, target)
        if not safe or self._title_stays_open(found[0][1], target, self._word_end(target)):
            return f"]&#{ord(found[0][1])};", found.end()
        return found[0], found.end()

    def _title_stays_open(self, kind: str, target: int, at: int) -> bool:
        """
        Note how far the attributes of a link can go whose address begins at *target* and ends at *at*.

        True for a title that does not end here: that of a definition goes on for JupyterLab, whatever follows, and any
        does on the first line of a block that cannot begin amid a paragraph.
        """
        self._attributes_end = max(self._attributes_end, at)
        title = _TITLE.match(self._text, at)
        if title is None or (kind == "(" and _closes(self._text[target : min(at, target + _ADDRESS_CHARS)])):
            return False
        # Its quotes can hide in a formula, so where it ends nobody knows.
        self._attributes_end = len(self._text)
        closing = ")" if title[1] == "(" else title[1]
        return self._next(rf"(?<!\\){re.escape(closing)}", title.end()) == _NOWHERE

    def _word_end(self, at: int) -> int:
        after = bisect_left(self._spaces, at)
        return self._spaces[after] if after < len(self._spaces) else len(self._text)

    def ticks(self, found: re.Match[str]) -> tuple[str, int]:
        starts = self._runs.get(len(found[0]), [])
        after = bisect_right(starts, found.start())
        if after == len(starts):
            return self.tildes(found) if len(found[0]) > 2 else (found[0], found.end())
        inside, end = self._text[found.end() : starts[after]], starts[after] + len(found[0])
        active = is_active(inside) or (self._in_attribute(found.start()) and _OPENING.search(inside))
        # Where the span begins and ends, renderers may see otherwise: what is a link then must not reach a formula.
        active = active or (self._quoted and (_LINK.search(inside) or _ADDRESS.search(inside)))
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
        if self._in_attribute(found.start()):
            return "&#92;" + found[0].lstrip("\\"), found.end()
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
        start, end = found.end(), self._next(re.escape(closing), found.end())
        nested = min(self._next(re.escape(mark), start) for mark in (opening, "$", "`"))
        inside = self._text[start:end] if end < nested else ""
        if (
            not inside.strip()
            or self._in_attribute(found.start())
            or (dollars == "$$" and not _LIKE_MATH.search(inside))
        ):
            return self.escape(found)
        if dollars == "$":
            inside = inside.strip()
        inert = _IN_MATH.sub(lambda found: _MATH_INERT[found[0]], inside)
        if self._quoted:
            inert = _ADDRESS.sub(lambda found: f"{found[0][:-1]}{{}}{found[0][-1]}", inert)
        # Two formulas side by side are not to share a `$$`.
        before = " " if self._text.startswith("$", start - 3) and start > 2 else ""
        after = " " if self._text.startswith(("$", "\\(", "\\["), end + 2) else ""
        return f"{before}{dollars}{inert}{dollars}{after}", end + 2

    def _next(self, mark: str, at: int) -> int:
        """Return where a pattern stands next, far behind the end if it does not; asked for often, it looks once."""
        places = self._places.get(mark)
        if places is None:
            places = self._places[mark] = [found.start() for found in re.finditer(mark, self._text)]
        after = bisect_left(places, at)
        return places[after] if after < len(places) else _NOWHERE

    def escape(self, found: re.Match[str]) -> tuple[str, int]:
        if found[0] == "\\\\" and self._in_attribute(found.start()):
            return "&#92;", found.end()
        if found[0] == "\\$":
            return (MONEY if self._priced else found[0]), found.end()
        return ("&lt;" if found[0] == "\\<" else found[0]), found.end()

    def dollars(self, found: re.Match[str]) -> tuple[str, int]:
        if self._in_attribute(found.start()):
            word = self._text[max(0, found.start() - _ADDRESS_CHARS) : found.start()].rsplit(maxsplit=1)[-1:]
            mark = "%24" if word and _PLAIN_ADDRESS.search(word[0]) else "&#36;"
            return mark * len(found[0]), found.end()
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

    def _in_attribute(self, at: int) -> bool:
        """Tell whether *at* is in the address or the title of a link, or in a word that may become one."""
        if at < self._attributes_end:
            return True
        before = bisect_right(self._addresses, at) - 1
        space = bisect_left(self._spaces, at) - 1
        return before >= 0 and (space < 0 or self._spaces[space] < self._addresses[before])

    def _math(self, start: int, end: int) -> str:
        """Return a formula: what looks active in it is written in a way that means the same in TeX."""
        inert = _IN_MATH.sub(lambda found: _MATH_INERT[found[0]], self._text[start:end])
        # Another formula may begin in the address, for JupyterLab.
        return _ADDRESS.sub(lambda found: f"{found[0][:-1]}{{}}{found[0][-1]}", inert) if self._quoted else inert

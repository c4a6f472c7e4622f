"""The wire of a stream as its log has it: calls, records, the places an upstream named, what came once more."""

from __future__ import annotations

from collections import deque
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream import words
from nbstream.errors import LogDamaged
from nbstream.log.readback import records_of
from nbstream.pictures import said
from nbstream.pictures.calls import Calls
from nbstream.records import TEXT_KINDS, Close, Delta, Open

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Cursor, Part, Record

#: Rows kept from the beginning, and as many from the end.
MOST_ROWS = 60
#: Of a record: parts told one by one, and characters of text shown of each.
PARTS = 3
SHOWN = 40
LONGEST = 240
HEAD = ("record", "at", "since", "what", "place")


class Row(NamedTuple):
    """
    One line of the table.

    `record` is the offset in the log, empty for what happened between two records; `at` counts from the beginning,
    `since` from the record before; `place` is what the upstream needs to go on behind the record.
    """

    record: str
    at: str
    since: str
    what: str
    place: str


class Wire:
    """
    The wire of one stream. Made by `nbstream.inspect(stream)`, shown as a table; `str()` is the same as text.

    Of a long stream the first and the last rows are kept; `counts` is of all of it.
    """

    def __init__(self, stream: str, log: Log) -> None:
        """Read *log* through, to its tail or to what is damaged (blocking; about a second for 100 MB)."""
        self._stream = said.line(stream)
        self._first: list[Row] = []
        self._last: deque[Row] = deque(maxlen=MOST_ROWS)
        self._rows = 0
        self._calls = Calls()
        #: How many calls, those among them made again by themselves, records, characters, characters that came once
        #: more and were dropped, pings and comments.
        self.counts = dict.fromkeys(("calls", "again", "records", "chars", "dropped", "pings"), 0)
        #: The longest time between two records of one call, in seconds.
        self.longest_s = 0.0
        self.damage: LogDamaged | None = None
        self._began = self._before = 0.0
        try:
            for offset, record in enumerate(records_of(log)):
                self._add(offset, record)
        except LogDamaged as exc:
            self.damage = exc

    @property
    def rows(self) -> list[Row]:
        """The rows that are kept, in order."""
        return [*self._first, *self._last]

    @property
    def left_out(self) -> int:
        """Rows in the middle that are not kept."""
        return self._rows - len(self._first) - len(self._last)

    @property
    def summary(self) -> str:
        """The counts in words."""
        counts = self.counts
        dropped = f", {counts['dropped']:,} that came once more dropped" if counts["dropped"] else ""
        pings = f", {counts['pings']:,} pings or comments" if counts["pings"] else ""
        longest = f", at most {said.seconds(self.longest_s)} between two" if self.longest_s else ""
        records = f"{counts['records']:,} record{'' if counts['records'] == 1 else 's'}{longest}"
        return f"{self._calls}, {records}, {words.size(counts['chars'])} of text{dropped}{pings}"

    def __str__(self) -> str:
        """Return the table as text."""
        rows = [Row(*HEAD), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = []
        for place, row in enumerate(rows):
            if place == len(self._first) + 1 and self.left_out:
                lines.append(f"... {self._more} ...")
            numbers = "  ".join(cell.rjust(width) for cell, width in zip(row[:3], widths, strict=True))
            place_words = f"  [{row.place}]" if row.place and row.record != HEAD[0] else ""
            lines.append(f"{numbers}  {row.what}{place_words}")
        return "\n".join([f"Stream {self._stream}: {self.summary}", *lines, *self._damaged])

    __repr__ = __str__

    def to_json(self) -> dict[str, Any]:
        """Return it as docs/protocol.md has it."""
        return {
            "head": list(HEAD),
            "first": [list(row) for row in self._first],
            "more": self._more if self.left_out else "",
            "last": [list(row) for row in self._last],
            "summary": " ".join([f"{self.summary}.", *self._damaged]),
        }

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self._html(), "text/plain": str(self)}

    def _html(self) -> str:
        left = "text-align:left"

        # As code: notebooks look for formulas in all other text, and what a model wrote stands here.
        def code(text: str) -> str:
            return f'<code style="background:none;padding:0">{escape(text)}</code>' if text else ""

        def row(one: Row) -> str:
            numbers = "".join(f"<td>{escape(cell).replace(' ', '&nbsp;')}</td>" for cell in one[:3])
            words = "".join(f'<td style="{left}">{code(cell)}</td>' for cell in one[3:])
            return f"<tr>{numbers}{words}</tr>"

        head = "".join(f'<th style="{left}">{name}</th>' for name in HEAD)
        middle = (
            f'<tr><td colspan="{len(HEAD)}" style="{left}">... {escape(self._more)} ...</td></tr>'
            if self.left_out
            else ""
        )
        below = "".join(f"<p>{code(line)}</p>" for line in self._damaged)
        return (
            f'<table><caption style="{left}">{escape(f"Stream {self._stream}: {self.summary}")}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(map(row, self._first))}{middle}"
            f"{''.join(map(row, self._last))}</tbody></table>{below}"
        )

    @property
    def _more(self) -> str:
        return f"{self.left_out:,} more"

    @property
    def _damaged(self) -> list[str]:
        return [said.line(f"It ends here: {self.damage}", 400)] if self.damage is not None else []

    # -- reading ------------------------------------------------------------------------------------------------

    def _add(self, offset: int, record: Record) -> None:
        if offset == 0:
            self._began = self._before = said.moment(record.at, 0.0)
        self.counts["records"] += 1
        if isinstance(record, (Delta, Close)):
            self._between(record)
        at = said.moment(record.at, self._before)
        since = at - self._before
        joins = isinstance(record, Open) and self._calls.joins(record)
        if not isinstance(record, Open) or joins:
            self.longest_s = max(self.longest_s, since)
        if isinstance(record, Open):
            if self._calls.open and not joins:
                self._keep(Row("", "", "", said.cut(at).says, ""))
            event = said.opened(record, first=offset == 0, at=at)
            what, place = f"{event.says} · {self._upstream(record)}", ""
        elif isinstance(record, Delta):
            self.counts["chars"] += sum(map(said.chars_of, record.parts))
            what, place = _parts(record), _place(record.cursor, record.behind)
        else:
            what, place = said.closed(record, at).says, ""
        self._calls.add(record)
        self.counts["calls"], self.counts["again"] = self._calls.made, self._calls.again
        shown = f"{since:,.3f} s" if since >= 0 else "the clock was set back"
        self._keep(Row(str(offset), self._at(at), shown if offset else "", what, place))
        self._before = at

    def _between(self, record: Delta | Close) -> None:
        for event in said.meanwhile(record, self._before):
            who = f"{said.line(event.agent, SHOWN)}: " if event.agent else ""
            self._keep(Row("", self._at(event.at), "", f"{who}{event.says}", ""))
        told = record.meanwhile
        for note in told if isinstance(told, (list, tuple)) else ():
            if isinstance(note, dict):
                self.counts["dropped"] += _count(note, "dropped", "chars")
                self.counts["pings"] += _count(note, "pings", "count")

    def _at(self, at: float) -> str:
        return f"{max(0.0, at - self._began):,.3f} s"

    def _upstream(self, record: Open) -> str:
        """Return whom a call goes to: the log has no secrets, and neither has this."""
        source = record.source
        agents = source.get("agents")
        if isinstance(agents, dict):
            return said.line(f"{len(agents)} agents: {', '.join(map(str, agents))}")
        named = [source.get(name) for name in ("method", "url", "model", "format", "type")]
        return said.line(" ".join(str(one) for one in named if one) or source.get("kind", ""))

    def _keep(self, row: Row) -> None:
        self._rows += 1
        row = Row(*(said.line(cell, LONGEST) for cell in row))
        if len(self._first) < MOST_ROWS:
            self._first.append(row)
        else:
            self._last.append(row)


def _parts(record: Delta) -> str:
    """Return what a record holds: the first parts of it, each with the beginning of its text."""
    told = [_part(part) for part in record.parts[:PARTS]]
    more = len(record.parts) - PARTS
    return said.line(" | ".join([*told, *([f"{more:,} more parts"] if more > 0 else [])]), LONGEST)


def _part(part: Part) -> str:
    who = f"{said.line(part.agent, SHOWN)} #{part.sequence} {said.line(part.kind, SHOWN)}"
    if part.kind in TEXT_KINDS:
        shown = repr(part.text[:SHOWN]) + ("…" if len(part.text) > SHOWN else "")
        return f"{who} {part.off:,}+{len(part.text):,} {shown}"
    event = said.marked(part, 0.0)
    fields = part.fields or {}
    says = event.says if event else " ".join(str(fields.get(name) or "") for name in ("name", "args_delta", "type"))
    return f"{who} {said.line(says, SHOWN)}".rstrip()


def _place(cursor: Cursor | None, behind: int) -> str:
    if not isinstance(cursor, dict):
        return ""
    voices = cursor.get("voices")
    if isinstance(voices, dict):
        named = (
            f"{name}: {_place(one.get('cursor'), said.count(one.get('behind')))}"
            for name, one in voices.items()
            if isinstance(one, dict)
        )
        return said.line("; ".join(named))
    known = [f"{name} {cursor[name]}" for name in ("id", "offset") if name in cursor]
    others = [str(name) for name in cursor if name not in ("id", "offset", "first", "numbers", "older", "since")]
    inside = f", {behind:,} stored behind it" if behind else ""
    return said.line(f"{', '.join(known or others) or 'a place'}{inside}", 80)


def _count(note: Mapping[str, Any], what: str, name: str) -> int:
    return said.count(note.get(name)) if note.get("what") == what else 0

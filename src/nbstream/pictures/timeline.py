"""
The picture of what happened to a stream: one SVG that needs no kernel, no script and no network.

Shapes and numbers say what colours say too, and the list below the curves says it in words. It brings its own ground,
because the page around it may be light or dark and an image cannot know.
"""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from nbstream.pictures import said
from nbstream.pictures.axis import Axis
from nbstream.pictures.curve import curve

if TYPE_CHECKING:
    from nbstream.pictures.said import Event
    from nbstream.pictures.story import Lane, Story

#: Pixels.
WIDTH = 760
LEFT, RIGHT = 16, 744
#: Height of a curve: of the only one, and of one among several.
ALONE, SHARED = 120, 56
ROW = 18
HEADING = 20
#: How near two marks may stand in one row.
NEAR = 19
#: Events drawn and listed: so many from the beginning, and from the end.
FIRST, LAST = 14, 10
#: Characters of a line of the list.
LISTED = 94

#: What an event is: it goes on (a disc), trouble (a diamond), the end of a call (a square), or a remark (a ring).
_KINDS = {
    "open": "on", "called": "on", "kept": "on", "agent_start": "on",
    "lost": "bad", "silent": "bad", "cut": "bad", "gap": "bad", "truncate": "bad",
    "interrupted": "bad", "failed": "bad",
    "complete": "end", "stopped": "end", "agent_end": "end",
}  # fmt: skip
_STYLE = (
    ".nbstream-timeline{font-family:system-ui,sans-serif;font-size:12px}"
    ".nbstream-timeline .g{fill:#fff;stroke:#d1d9e0}.nbstream-timeline text{fill:#1f2328}"
    ".nbstream-timeline .m{fill:#59636e}.nbstream-timeline .t{font-weight:600}"
    ".nbstream-timeline .a{fill:#0072b2;fill-opacity:.16}"
    ".nbstream-timeline .c{fill:none;stroke:#0072b2;stroke-width:1.6}.nbstream-timeline .s{stroke:#0072b2}"
    ".nbstream-timeline .l{stroke:#d1d9e0}.nbstream-timeline .v{stroke:#818b98;stroke-dasharray:2 3}"
    ".nbstream-timeline .b{fill:#eff2f5}.nbstream-timeline .n{fill:#fff;font-size:10px;font-weight:600}"
    ".nbstream-timeline .on{fill:#00694b;stroke:#fff}.nbstream-timeline .bad{fill:#b03a00;stroke:#fff}"
    ".nbstream-timeline .end{fill:#32383f;stroke:#fff}.nbstream-timeline .note{fill:#5b4a8a;stroke:#fff}"
    "@media(prefers-color-scheme:dark){"
    ".nbstream-timeline .g{fill:#0d1117;stroke:#3d444d}.nbstream-timeline text{fill:#e6edf3}"
    ".nbstream-timeline .m{fill:#9198a1}.nbstream-timeline .a{fill:#56b4e9;fill-opacity:.2}"
    ".nbstream-timeline .c,.nbstream-timeline .s{stroke:#56b4e9}.nbstream-timeline .l{stroke:#3d444d}"
    ".nbstream-timeline .b{fill:#1c2128}.nbstream-timeline .n{fill:#0d1117}"
    ".nbstream-timeline .on{fill:#3fcf9f;stroke:#0d1117}.nbstream-timeline .bad{fill:#ff9d5c;stroke:#0d1117}"
    ".nbstream-timeline .end{fill:#d1d9e0;stroke:#0d1117}.nbstream-timeline .note{fill:#c4b2f5;stroke:#0d1117}}"
)


class _Listed(NamedTuple):
    """An event with its number and its place."""

    number: int
    event: Event
    x: float
    row: int


class Timeline:
    """
    What happened to one stream, as a picture and in words. Made by `Stream.timeline()`.

    As the last thing of a cell it is shown, and the notebook file keeps it: no kernel is needed to see it again. `svg`
    is the picture (save it as a file), `str()` the same in words.
    """

    def __init__(self, stream: str, story: Story, state: str, *, now: float | None = None) -> None:
        """
        Draw *story*.

        Args:
            stream: id of the stream.
            story: what its log says.
            state: its state line.
            now: wall time in seconds, if the stream is live: the picture reaches up to it.

        """
        self._stream, self._story, self._state = said.line(stream), story, said.line(state, 400)
        ended = story.ended if now is None else max(now, story.ended)
        self._axis = Axis(story.began, ended, story.rests, left=LEFT, right=RIGHT)
        self._live = now is not None
        events = list(story.events)
        if story.calls.open and not (self._live or story.damage):
            events.append(said.cut(story.ended))
        numbered = list(enumerate(events, 1))
        if len(events) > FIRST + LAST:
            numbered = [*numbered[:FIRST], *numbered[-LAST:]]
        self._left_out = story.left_out + len(events) - len(numbered)
        # Numbers go on behind what is left out in the middle of the story.
        late = len(events) - LAST
        self._numbered = [(n + story.left_out if n > late and story.left_out else n, event) for n, event in numbered]
        #: The picture.
        self.svg = self._draw()

    def __str__(self) -> str:
        """Return what happened in words, one line each."""
        lines = [self._title, *self._facts, *(self._lane_line(lane) for lane in self._lanes if len(self._lanes) > 1)]
        for place, (number, event) in enumerate(self._numbered):
            if place == FIRST and self._left_out:
                lines.append(f"        ... {self._left_out:,} more ...")
            lines.append(
                f"{number:>4}  {said.seconds(self._axis.passed(event.at)):>7}  {self._says(event, 2 * said.LONGEST)}"
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        # As an image no style of it reaches the page and nothing in it could run; JupyterLab shows it in a notebook
        # that is not trusted, too, which it does not do with an SVG.
        packed = base64.b64encode(self.svg.encode()).decode()
        image = f'<img alt="{_xml(self._summary)}" src="data:image/svg+xml;base64,{packed}" style="max-width:100%">'
        words = f"<details><summary>The same in words</summary><pre>{_xml(str(self))}</pre></details>"
        return {"text/html": image + words, "image/svg+xml": self.svg, "text/plain": str(self)}

    # -- words --------------------------------------------------------------------------------------------------

    @property
    def _lanes(self) -> list[Lane]:
        return list(self._story.lanes.values())

    @property
    def _title(self) -> str:
        return f"Stream {self._stream}: {self._state}"

    @property
    def _facts(self) -> list[str]:
        story = self._story
        if story.tail < 0:
            return [f"nothing of it can be read: {said.line(story.damage or 'it is empty', LISTED)}"]
        saves = f"{story.deltas:,} record{'' if story.deltas == 1 else 's'} of text saved"
        shown = f"{said.seconds(self._axis.shown)} shown, from {said.clock(story.began)}"
        found = [f"{story.calls}, {saves}, {shown}"]
        if self._axis.breaks:
            rests = ", ".join(said.seconds(one.seconds) for one in self._axis.breaks)
            found.append(f"without {rests} in which nobody was at work")
        if story.set_back:
            found.append("the clock was set back meanwhile: some times are too short")
        if story.damage is not None:
            found.append(f"it ends here: {said.line(story.damage, LISTED)}")
        return found

    @property
    def _summary(self) -> str:
        return f"{self._title}. {'. '.join(self._facts)}."

    def _name(self, lane: Lane) -> str:
        if not lane.name and self._story.others:
            return f"{len(self._story.others):,} more agents"
        return said.line(lane.name, 60)

    def _lane_line(self, lane: Lane) -> str:
        saves = f"{lane.records:,} record{'' if lane.records == 1 else 's'}"
        return f"{self._name(lane)}: {lane.chars:,} characters, {saves}"

    def _says(self, event: Event, longest: int = LISTED) -> str:
        who = f"{said.line(event.agent, 40)}: " if event.agent and len(self._lanes) > 1 else ""
        return said.line(f"{who}{event.says}", longest)

    # -- picture ------------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        listed, rows = self._places()
        out, y = [_text(LEFT, 24, said.line(self._title, LISTED), "t")], 42.0
        for fact in self._facts:
            out.append(_text(LEFT, y, said.line(fact, 104), "m"))
            y += 16
        strip = y
        y += rows * ROW + 4
        top = y
        lanes = self._lanes
        several = len(lanes) > 1
        body = []
        for lane in lanes:
            if several:
                body.append(_text(LEFT + 16, y + 14, self._lane_line(lane), "m"))
                y += HEADING
            height = SHARED if several else ALONE
            body.append(curve(lane, self._axis, top=y, height=height, live_to=RIGHT if self._live else None))
            if not several and lane.chars:
                body.append(_text(LEFT + 16, y + 13, f"{lane.peak:,} characters", "m"))
            y += height + 10
        bottom = y
        out += body
        out += [
            f'<rect class="b" x="{one.x:.1f}" y="{top:.0f}" width="{one.width:.0f}" height="{bottom - top:.0f}"/>'
            f'<text class="m" x="{one.x + one.width / 2:.1f}" y="{top + 13:.0f}" text-anchor="middle"'
            f' font-size="10">{_xml(said.seconds(one.seconds))}</text>'
            for one in self._axis.breaks
        ]
        out += [f'<path class="v" d="M{one.x:.1f} {strip + one.row * ROW + 8:.1f}V{bottom:.0f}"/>' for one in listed]
        out.append(f'<path class="l" d="M{LEFT} {bottom:.0f}H{RIGHT}"/>')
        for x, seconds in self._axis.labels:
            out.append(f'<path class="l" d="M{x:.1f} {bottom:.0f}v4"/>')
            anchor = "start" if x < LEFT + 20 else "end" if x > RIGHT - 20 else "middle"
            out.append(
                f'<text class="m" x="{x:.1f}" y="{bottom + 16:.0f}" text-anchor="{anchor}">{_seconds(seconds)}</text>'
            )
        out += [_mark(one, one.x, strip + one.row * ROW + 8) for one in listed]
        y = bottom + 40.0
        for place, one in enumerate(listed):
            if place == FIRST and self._left_out:
                out.append(_text(LEFT + 22, y + 4, f"... {self._left_out:,} more ...", "m"))
                y += ROW
            out.append(_mark(one, LEFT + 8, y))
            out.append(_text(LEFT + 76, y + 4, said.seconds(self._axis.passed(one.event.at)), "m", anchor="end"))
            out.append(_text(LEFT + 88, y + 4, self._says(one.event)))
            y += ROW
        out.append(
            _text(LEFT, y + 6, "Ticks below a curve: records saved. Disc: goes on. Diamond: trouble. Square: end.", "m")
        )
        y += 18
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="nbstream-timeline" role="img" width="{WIDTH}"'
            f' height="{y:.0f}" viewBox="0 0 {WIDTH} {y:.0f}"><title>{_xml(self._title)}</title>'
            f"<desc>{_xml(str(self))}</desc><style>{_STYLE}</style>"
            f'<rect class="g" x=".5" y=".5" width="{WIDTH - 1}" height="{y - 1:.0f}" rx="6"/>{"".join(out)}</svg>'
        )

    def _places(self) -> tuple[list[_Listed], int]:
        """Give each event a row above the curves in which it covers no other."""
        ends = [float("-inf")]
        listed = []
        for number, event in self._numbered:
            x = min(max(self._axis.x(event.at), LEFT + 8), RIGHT - 8)
            row = next((row for row, end in enumerate(ends) if x - end >= NEAR), len(ends))
            if row == len(ends):
                ends.append(x)
            ends[row] = x
            listed.append(_Listed(number, event, x, row))
        return listed, len(ends)


def _mark(one: _Listed, x: float, y: float) -> str:
    kind = _KINDS.get(one.event.what, "note")
    if kind == "on":
        shape = f'<circle class="on" cx="{x:.1f}" cy="{y:.1f}" r="8.5"/>'
    elif kind == "bad":
        shape = f'<path class="bad" d="M{x:.1f} {y - 10.5:.1f}l10.5 10.5-10.5 10.5-10.5-10.5z"/>'
    else:
        rounded = 0 if kind == "end" else 4
        shape = f'<rect class="{kind}" x="{x - 8:.1f}" y="{y - 8:.1f}" width="16" height="16" rx="{rounded}"/>'
    size = ' font-size="8"' if one.number > 99 else ""
    return f'{shape}<text class="n" x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle"{size}>{one.number}</text>'


def _text(x: float, y: float, text: str, style: str = "", *, anchor: str = "") -> str:
    style = f' class="{style}"' if style else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{style} x="{x:.0f}" y="{y:.0f}"{anchor}>{_xml(text)}</text>'


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 600 else said.seconds(seconds)


def _xml(text: str) -> str:
    return escape(text, quote=True)

"""
The picture of what happened to a stream: one SVG that needs no kernel, no script and no network.

Shapes and numbers say what colours say too, and the list below the curves says it in words. It brings its own ground,
because the page around it may be light or dark and an image cannot know.
"""

from __future__ import annotations

import base64
import textwrap
from html import escape
from typing import TYPE_CHECKING

from nbstream.pictures import said
from nbstream.pictures.axis import Axis
from nbstream.pictures.curve import curve
from nbstream.pictures.marks import ROW, Listed, Mark, placed
from nbstream.words import size

if TYPE_CHECKING:
    from nbstream.pictures.said import Event
    from nbstream.pictures.story import Lane, Story

#: Pixels.
WIDTH = 760
LEFT, RIGHT = 16, 744
#: Where time begins and ends: half a mark inside.
BEGIN, END = 28, 732
HEADING = 20
#: Events drawn and listed: so many from the beginning, and from the end.
FIRST, LAST = 14, 10
#: Characters of a line of the list, and of the title.
LISTED = 94
TITLE = 94

_STYLE = (
    ".nbstream-timeline{font-family:system-ui,sans-serif;font-size:12px}"
    ".nbstream-timeline .g{fill:#fff;stroke:#d1d9e0}.nbstream-timeline text{fill:#1f2328}"
    ".nbstream-timeline .m{fill:#59636e}.nbstream-timeline .t{font-weight:600}"
    ".nbstream-timeline .a{fill:#0072b2;fill-opacity:.16}"
    ".nbstream-timeline .c{fill:none;stroke:#0072b2;stroke-width:1.6}.nbstream-timeline .s{stroke:#0072b2}"
    ".nbstream-timeline .h{stroke:#fff;stroke-width:4;stroke-linejoin:round;paint-order:stroke}"
    ".nbstream-timeline .l{stroke:#d1d9e0}.nbstream-timeline .v{stroke:#818b98;stroke-dasharray:2 3}"
    ".nbstream-timeline .b{fill:#eff2f5}.nbstream-timeline .n{fill:#fff;font-size:10px;font-weight:600}"
    ".nbstream-timeline .on{fill:#00694b;stroke:#fff}.nbstream-timeline .bad{fill:#b03a00;stroke:#fff}"
    ".nbstream-timeline .end{fill:#32383f;stroke:#fff}.nbstream-timeline .note{fill:#5b4a8a;stroke:#fff}"
    "@media(prefers-color-scheme:dark){"
    ".nbstream-timeline .g{fill:#0d1117;stroke:#3d444d}.nbstream-timeline text{fill:#e6edf3}"
    ".nbstream-timeline .m{fill:#9198a1}.nbstream-timeline .a{fill:#56b4e9;fill-opacity:.2}"
    ".nbstream-timeline .c,.nbstream-timeline .s{stroke:#56b4e9}.nbstream-timeline .l{stroke:#3d444d}"
    ".nbstream-timeline .h{stroke:#0d1117}.nbstream-timeline .b{fill:#1c2128}.nbstream-timeline .n{fill:#0d1117}"
    ".nbstream-timeline .on{fill:#3fcf9f;stroke:#0d1117}.nbstream-timeline .bad{fill:#ff9d5c;stroke:#0d1117}"
    ".nbstream-timeline .end{fill:#d1d9e0;stroke:#0d1117}.nbstream-timeline .note{fill:#c4b2f5;stroke:#0d1117}}"
)


class Timeline:
    """
    What happened to one stream, as a picture and in words. Made by `Stream.timeline()`.

    As the last thing of a cell it is shown, and the notebook file keeps it: no kernel is needed to see it again, in
    JupyterLab or as HTML of nbconvert; where an output is no HTML (LaTeX, a terminal) the words stand. `svg` is the
    picture (save it as a file), `str()` the same in words.
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
        self._axis = Axis(story.began, ended, story.rests, left=BEGIN, right=END)
        self._live = now is not None
        events = list(story.events)
        if story.calls.open and not (self._live or story.damage):
            events.append((events[-1][0] + 1, said.cut(story.ended)))
        self._numbered = [*events[:FIRST], *events[FIRST:][-LAST:]]
        #: The picture.
        self.svg = self._draw(str(self))

    def __str__(self) -> str:
        """Return what happened in words, one line each."""
        lines = [self._title, *self._facts, *(self._lane_line(lane) for lane in self._lanes if len(self._lanes) > 1)]
        before = 0
        for number, event in self._numbered:
            if number > before + 1:
                lines.append(f"        {_more(before, number)}")
            before = number
            lines.append(
                f"{number:>4}  {said.seconds(self._axis.passed(event.at)):>7}  {self._says(event, 2 * said.LONGEST)}"
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        # As an image no style of it reaches the page and nothing in it could run; JupyterLab shows it in a notebook
        # that is not trusted, too, which it does not do with an SVG. What shows HTML shows no SVG beside it: the file
        # holds the picture once, and inside it only what the image's own text does not say.
        packed = base64.b64encode(self._draw(self._summary).encode()).decode()
        image = f'<img alt="{_xml(self._summary)}" src="data:image/svg+xml;base64,{packed}" style="max-width:100%">'
        words = f"<details><summary>The same in words</summary><pre>{_xml(str(self))}</pre></details>"
        return {"text/html": image + words, "text/plain": str(self)}

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
        if story.crowded:
            found.append(f"{story.agents:,} agents: when each waited, began and was complete is not listed")
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
        return f"{self._name(lane)}: {size(lane.chars)}, {saves}"

    def _says(self, event: Event, longest: int = LISTED) -> str:
        who = f"{said.line(event.agent, 40)}: " if event.agent and len(self._lanes) > 1 else ""
        return said.line(f"{who}{event.says}", longest)

    # -- picture ------------------------------------------------------------------------------------------------

    def _draw(self, words: str) -> str:
        """Return the SVG; *words* tell it to whoever does not see it."""
        listed = [Listed(number, event, self._axis.x(event.at)) for number, event in self._numbered]
        marks, rows = placed(listed)
        out, y = [], 24.0
        for part in _title_lines(self._title):
            out.append(_text(LEFT, y, part, "t"))
            y += 18
        for fact in self._facts:
            out.append(_text(LEFT, y, said.line(fact, 104), "m"))
            y += 16
        strip = y + 8
        y += rows * ROW + 4
        top = y
        curves, names = [], []
        lanes, (height, gap) = self._lanes, self._height
        for lane in lanes:
            if len(lanes) > 1:
                names.append(_text(LEFT + 16, y + 14, self._lane_line(lane), "m h"))
                y += HEADING
            elif lane.chars:
                names.append(_text(LEFT + 16, y + 13, size(lane.peak), "m h"))
            curves.append(curve(lane, self._axis, top=y, height=height, live_to=END if self._live else None))
            y += height + gap
        bottom = y
        out += curves
        out += [
            f'<rect class="b" x="{one.x:.1f}" y="{top:.0f}" width="{one.width:.0f}" height="{bottom - top:.0f}"/>'
            f'<text class="m" x="{one.x + one.width / 2:.1f}" y="{top + 13:.0f}" text-anchor="middle"'
            f' font-size="10">{_xml(said.seconds(one.seconds))}</text>'
            for one in self._axis.breaks
        ]
        out += [
            f'<path class="v" d="M{x:.1f} {strip + mark.row * ROW:.1f}V{bottom:.0f}"/>'
            for mark in marks
            for x in dict.fromkeys(round(one.x, 1) for one in mark.events)
        ]
        out += names  # above the dotted lines, on a ground of their own
        out.append(f'<path class="l" d="M{LEFT} {bottom:.0f}H{RIGHT}"/>')
        for x, seconds in self._axis.labels:
            out.append(f'<path class="l" d="M{x:.1f} {bottom:.0f}v4"/>')
            out.append(
                f'<text class="m" x="{x:.1f}" y="{bottom + 16:.0f}" text-anchor="middle">{_seconds(seconds)}</text>'
            )
        out += [mark.svg(mark.x, strip + mark.row * ROW) for mark in marks]
        y = bottom + 40.0
        before = 0
        for one in listed:
            if one.number > before + 1:
                out.append(_text(LEFT + 22, y + 4, _more(before, one.number), "m"))
                y += ROW
            before = one.number
            out.append(Mark((one,)).svg(LEFT + 8, y))
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
            f"<desc>{_xml(words)}</desc><style>{_STYLE}</style>"
            f'<rect class="g" x=".5" y=".5" width="{WIDTH - 1}" height="{y - 1:.0f}" rx="6"/>{"".join(out)}</svg>'
        )

    @property
    def _height(self) -> tuple[int, int]:
        """Height of a curve, and what is free below it, in pixels."""
        if len(self._lanes) < 2:
            return 120, 10
        return (24, 6) if self._story.crowded else (56, 10)


def _title_lines(title: str) -> list[str]:
    """Return it in two lines at the most, broken between its facts where they are short, else between words."""
    facts = (fact.replace(" ", "\xa0") if len(fact) <= TITLE // 2 else fact for fact in title.split(" · "))
    return textwrap.wrap("\xa0· ".join(facts), TITLE, max_lines=2, placeholder=" …", break_on_hyphens=False)


def _more(before: int, number: int) -> str:
    return f"... {number - before - 1:,} more ..."


def _text(x: float, y: float, text: str, style: str = "", *, anchor: str = "") -> str:
    style = f' class="{style}"' if style else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{style} x="{x:.0f}" y="{y:.0f}"{anchor}>{_xml(text)}</text>'


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 600 else said.seconds(seconds)


def _xml(text: str) -> str:
    return escape(text, quote=True)

"""One curve of a timeline: the text of one agent as it was saved, and a tick below for each record."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbstream.pictures.axis import Axis
    from nbstream.pictures.story import Lane

#: Height of the ticks, in pixels.
TICK = 5


def curve(lane: Lane, axis: Axis, *, top: float, height: float, live_to: float | None) -> str:
    """
    Return the SVG of *lane* between *top* and *top* + *height* (pixels).

    It steps: text is there when its record is saved, not before. *live_to*: the stream is live, and the last height
    reaches to this place.
    """
    floor = top + height - TICK - 2
    peak = max(1, lane.peak)

    def y(chars: int) -> float:
        return floor - (floor - top) * chars / peak

    path: list[str] = []
    ticks: list[str] = []
    x = begin = 0.0
    for run in lane.runs:
        x = axis.x(run.begin)
        if not path:
            begin = x
            path.append(f"M{x:.1f} {floor:.1f}")
        else:
            path.append(f"H{x:.1f}")
        if run.records == 1:
            path.append(f"V{y(run.after):.1f}")
        else:
            x = axis.x(run.end)
            path.append(f"L{x:.1f} {y(run.after):.1f}")
        ticks.append(
            f"M{axis.x(run.begin):.1f} {top + height:.1f}v-{TICK}" + (f"H{x:.1f}v{TICK}z" if run.records > 1 else "")
        )
    if not path:
        return f'<path class="l" d="M{axis.x(axis.began):.1f} {floor:.1f}H{axis.x(axis.ended):.1f}"/>'
    if live_to is not None and live_to > x:
        path.append(f"H{live_to:.1f}")
        x = live_to
    line = "".join(path)
    area = f"{line}V{floor:.1f}H{begin:.1f}z"
    return f'<path class="a" d="{area}"/><path class="c" d="{line}"/><path class="s" fill="none" d="{"".join(ticks)}"/>'

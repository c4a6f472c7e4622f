"""What survives on this page, by trying: a view is shown while the cell that asked keeps the kernel busy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbstream import api
from nbstream.doctor.check import Check
from nbstream.doctor.trials import PROMPT
from nbstream.place import Front, Place, here
from nbstream.runtime import runtime
from nbstream.sources.models.chat import chat

if TYPE_CHECKING:
    from nbstream.stream import Stream

#: A cold page takes 0.7 s to load the widget's code; one that says nothing for so long will not.
PAGE_S = 10.0


def checks() -> list[Check]:
    """Try the page below the cell, and read what its file holds."""
    place = here()
    if place.front is not Front.PAGE:
        more = "`%stream doctor` in a notebook also tries Stop while busy, reload and the file"
        return [Check("page", f"none here: {more}", known=False)]
    return [*_tried(), file(place)]


def _tried() -> list[Check]:
    from IPython.display import clear_output

    # In memory: it is of no use to anybody afterwards.
    source = chat(PROMPT, "demo:", max_tokens=40, tokens_per_s=0)
    stream = api.start(source, key="doctor", fresh=True, save=False, host="kernel")
    stream.wait(PAGE_S)
    first = _painted(stream)
    if first is None:
        clear_output(wait=True)  # type: ignore[no-untyped-call]
        why = f"the page said nothing for {PAGE_S:g} s while this cell ran"
        return [
            Check("while busy", f"{why}: Stop may wait here for the end of a cell; Interrupt does not", known=False),
            Check("reload", f"{why}, so a fresh view could not be tried", known=False),
        ]
    clear_output()  # type: ignore[no-untyped-call]
    again = _painted(stream)
    clear_output(wait=True)  # type: ignore[no-untyped-call]
    busy = (
        f"tried: the page asked and painted within {first:.1f} s while this cell kept the kernel busy, so Stop arrives"
    )
    if again is None:
        return [Check("while busy", busy), Check("reload", "tried", "a second view of the same stream stayed empty")]
    fresh = f"tried: a fresh view asked for everything and had painted it after {again:.1f} s, as a reloaded page does"
    return [Check("while busy", busy), Check("reload", f"{fresh} if the notebook was saved (else run the cell again)")]


def _painted(stream: Stream) -> float | None:
    """Return the seconds until a new view has painted the last record; None if none does."""
    from IPython import get_ipython
    from IPython.display import display

    from nbstream.view.widget import StreamWidget, listen

    listen(get_ipython().kernel)
    began = time.monotonic()
    widget = StreamWidget(stream, runtime())
    display(widget)  # type: ignore[no-untyped-call]
    try:
        while widget.session.audience.painted < stream.offset:
            if time.monotonic() - began > PAGE_S:
                return None
            time.sleep(0.01)
        return time.monotonic() - began
    finally:
        widget.close()


def file(place: Place) -> Check:
    """Count the answers that the notebook's file holds now."""
    if not place.notebook:
        return Check("file", "this page does not say which file its notebook is", known=False)
    path = Path(place.notebook)
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        asked = [cell for cell in cells if "".join(cell["source"]).startswith("%%stream")]
        held = sum(map(_holds, asked))
    except (OSError, ValueError, LookupError, TypeError) as exc:
        return Check("file", f"{path.name} cannot be read from here ({type(exc).__name__})", known=False)
    return Check("file", f"{path.name} as it is saved holds an answer in {held} of its {len(asked)} %%stream cells")


def _holds(cell: dict[str, Any]) -> bool:
    return any("text/markdown" in output.get("data", {}) for output in cell["outputs"])

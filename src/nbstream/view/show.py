"""Showing a stream where it was asked for: a page, a terminal, or nobody at all."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from nbstream.place import Front
from nbstream.runtime import runtime
from nbstream.state import State
from nbstream.view.saved_form import document, saved_form

if TYPE_CHECKING:
    from concurrent.futures import Future

    from nbstream.place import Place
    from nbstream.stream import Stream
    from nbstream.view.static_output import SavedOutput


def show_stream(stream: Stream, place: Place, *, raises: bool = True) -> Stream:
    """
    Show *stream* for whoever looks at *place*.

    On a page this returns at once. Elsewhere it waits: the output is the answer, and any end but complete raises after
    it (unless *raises* is False), so that a pipeline does not go on with half an answer.
    """
    if place.front is Front.PAGE:
        _on_page(stream, place)
        return stream
    if place.front is Front.HEADLESS:
        _as_document(stream)
    else:
        from nbstream.view.terminal import stream_to

        stream_to(stream, sys.stdout)
    if raises and (stream.state is not State.COMPLETE or stream.damage):
        raise stream.exception()
    return stream


class _Shown:
    """The two outputs of one stream in a cell: the widget, and behind it the saved form that the file keeps."""

    def __init__(self, saved: SavedOutput, run: str) -> None:
        self.run = run
        self.widget: Any = None
        self._saved = saved
        self._stream: Stream | None = None
        self._following: Future[None] | None = None

    def follow(self, stream: Stream) -> None:
        """Keep the saved form up to date with *stream* (another one after Regenerate), until it is at rest."""
        if self._following is not None:
            self._following.cancel()
        self._stream = stream
        runtime().hand_over(stream.id)
        self._following = runtime().spawn(self._saved.follow(stream))

    def give(self) -> None:
        """Give a page what its file should hold: one that was reloaded hears of no update of an output."""
        if self._stream is not None:
            runtime().spawn(self._answer(self._stream))

    async def _answer(self, stream: Stream) -> None:
        text = await asyncio.to_thread(saved_form, stream)
        if stream is self._stream:
            self.widget.send({"type": "saved", "text": text})

    def keep(self) -> None:
        """Let the file keep what there is now: the widget goes."""
        if self._stream is not None:
            self._saved.update(self._stream)

    def close(self) -> None:
        """Close the widget: its cell runs again, or the extension is unloaded."""
        if self._following is not None:
            self._following.cancel()
        self.widget.close()


#: What is shown, by (notebook, cell).
_shown: dict[tuple[str, str | None], list[_Shown]] = {}


def close_all() -> None:
    """Close every widget of this process; what they showed stays as it is saved."""
    for shown in [one for cell in _shown.values() for one in cell]:
        shown.keep()
        shown.close()
    _shown.clear()


def _on_page(stream: Stream, place: Place) -> None:
    from IPython import get_ipython
    from IPython.display import display

    from nbstream.view.publish import KernelDisplay
    from nbstream.view.static_output import SavedOutput
    from nbstream.view.widget import StreamWidget, listen

    # A widget and its comm live until they are closed; JupyterLab drops only the view when the cell runs again.
    cell = _shown.setdefault((place.scope, place.cell), [])
    for old in [one for one in cell if one.run != place.run]:
        old.close()
        cell.remove(old)
    shell = get_ipython()
    listen(shell.kernel)
    _tell_when_busy(shell)
    saved = SavedOutput(KernelDisplay(), painted=_painted)
    shown = _Shown(saved, place.run)
    shown.widget = StreamWidget(stream, runtime(), shown.follow)
    shown.widget.saved_wanted = shown.give
    cell.append(shown)
    display(shown.widget)  # type: ignore[no-untyped-call]
    saved.show(stream)
    shown.follow(stream)


def _painted(stream: str) -> bool:
    """Whether nobody waits to see the end of *stream*."""
    return runtime().was_painted(stream) or not runtime().attended(stream)


def _tell_when_busy(shell: Any) -> None:
    """Let the runtime know when a cell runs, from this one on; idempotent."""
    runtime().busy = True
    if _busy not in shell.events.callbacks["pre_execute"]:
        shell.events.register("pre_execute", _busy)
        shell.events.register("post_execute", _idle)


def _busy() -> None:
    runtime().busy = True


def _idle() -> None:
    runtime().busy = False


def _as_document(stream: Stream) -> None:
    from IPython.display import display

    try:
        stream.wait()
    finally:  # Interrupt: the output shows what came all the same
        display(document(stream), raw=True)  # type: ignore[no-untyped-call]

"""Showing a stream where it was asked for: a page, a terminal, or nobody at all."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from nbstream import words
from nbstream.place import Front
from nbstream.state import State

if TYPE_CHECKING:
    from nbstream.place import Place
    from nbstream.runtime import Runtime
    from nbstream.stream import Stream
    from nbstream.view.session import Buttons


def show_stream(stream: Stream, place: Place, runtime: Runtime, buttons: Buttons) -> Stream:
    """
    Show *stream* for whoever looks at *place*.

    On a page this returns at once. Elsewhere it waits: the output is the answer, and any end but complete raises after
    it, so that a pipeline does not go on with half an answer.
    """
    if place.front is Front.PAGE:
        _on_page(stream, runtime, buttons)
        return stream
    if place.front is Front.HEADLESS:
        _as_document(stream)
    else:
        from nbstream.view.terminal import stream_to

        stream_to(stream, sys.stdout)
    if stream.state is not State.COMPLETE:
        raise stream.exception()
    return stream


def _on_page(stream: Stream, runtime: Runtime, buttons: Buttons) -> None:
    """Display the widget and, behind it, the saved form: hidden while the widget lives, kept by the notebook file."""
    from IPython import get_ipython
    from IPython.display import display

    from nbstream.view.widget import StreamWidget, listen

    listen(get_ipython().kernel)  # type: ignore[no-untyped-call]
    display(StreamWidget(stream, runtime, buttons))  # type: ignore[no-untyped-call]


class _Follower:
    """Keeps the saved form up to date with the stream that the widget shows."""

    def __init__(self, saved: SavedOutput, runtime: Runtime) -> None:
        self._saved, self._runtime = saved, runtime
        self._task: object = None

    def follow(self, stream: Stream) -> None: ...


def _as_document(stream: Stream) -> None:
    from IPython.display import Markdown, display

    from nbstream.view.static_output import markdown

    stream.wait()
    display(Markdown(markdown(stream.transcript(), words.line(stream.facts()), stream=stream.id)))  # type: ignore[no-untyped-call]


_ = asyncio

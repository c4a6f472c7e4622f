"""The widget: a page session on a Jupyter comm. Holds no text; everything it shows comes from the log by messages."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

import anywidget
import ipywidgets
import traitlets

from nbstream.view import code
from nbstream.view.session import PageSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.runtime import Runtime
    from nbstream.stream import Stream

#: Type of our control message. The control channel is served while a cell blocks; a comm message waits for the cell
#: (ipykernel 6.31 and 7.4).
CONTROL_MESSAGE = "nbstream_request"


class StreamWidget(anywidget.AnyWidget):
    """Shows one stream in a page. What it brings along is small; the page asks for the rest, see js/src/parts.js."""

    _esm = code.loader()
    _css = code.loader_style()
    #: Synced, so that the page knows what it shows before the first message: never text.
    stream = traitlets.Unicode().tag(sync=True)
    comm_id = traitlets.Unicode().tag(sync=True)
    #: The packed engine, in the first widget of a kernel: its page most likely has none yet, and is spared a question.
    engine = traitlets.Bytes(None, allow_none=True).tag(sync=True)
    _engine_given: ClassVar[bool] = False

    #: Closed already.
    _over = False

    def __init__(self, stream: Stream, runtime: Runtime, switched: Callable[[Stream], None] = lambda _: None) -> None:
        engine = None if StreamWidget._engine_given else code.engine()
        StreamWidget._engine_given = True
        super().__init__(stream=stream.id, layout=_layout(), engine=engine)
        self.comm_id = self.model_id
        self._runtime = runtime
        self._session = PageSession(stream, self.send, runtime, switched)
        #: Called, on any thread, when a page asks for what its file should hold.
        self.saved_wanted: Callable[[], None] = lambda: None
        self.on_msg(lambda _, content, __: self.request(content))
        _sessions[self.comm_id] = self

    @property
    def session(self) -> PageSession:
        """The session behind this widget."""
        return self._session

    def request(self, message: Mapping[str, Any]) -> None:
        """Take one message of a page, from whatever channel it came."""
        if message.get("type") == "code":
            self._runtime.spawn(self._send_code(message))
        elif message.get("type") == "saved":
            self.saved_wanted()
        else:
            self._session.request(message)

    async def _send_code(self, message: Mapping[str, Any]) -> None:
        # On the runtime's loop, as pages are: a cell that blocks the kernel does not hold it back.
        name, version = str(message.get("name")), str(message.get("version"))
        said, buffers = await asyncio.to_thread(code.answer, name, version, packed=bool(message.get("packed")))
        self.send(said, buffers)

    def close(self) -> None:
        """Say nothing more and close the comm; twice changes nothing (ipywidgets closes what is collected, too)."""
        if self._over:
            return
        self._over = True
        self._session.close()
        _sessions.pop(self.comm_id, None)
        super().close()
        if not _sessions:
            _layout().close()  # ipywidgets leaves it open
            _layout.cache_clear()

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002
        # Without a kernel a widget output falls back to its text/plain: empty, the answer is in the sibling output.
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, {}


_sessions: WeakValueDictionary[str, StreamWidget] = WeakValueDictionary()


@cache
def _layout() -> ipywidgets.Layout:
    """Return the layout of all our widgets: it is a widget too, and one for each would be a fifth of its bytes."""
    return ipywidgets.Layout()


def listen(kernel: Any) -> None:
    """Serve pages on the control channel of *kernel*; idempotent."""
    if CONTROL_MESSAGE in kernel.control_handlers:
        return

    def handle(channel: Any, idents: Any, message: Mapping[str, Any]) -> None:
        content = message["content"]
        widget = _sessions.get(str(content.get("comm")))
        request = content.get("request") or {}
        if widget is not None:
            widget.request(request)
        if widget is None or request.get("type") not in ("ack", "here", "bye"):
            status = "ok" if widget is not None else "unknown"
            kernel.session.send(channel, "nbstream_reply", {"status": status}, parent=message, ident=idents)

    kernel.control_handlers[CONTROL_MESSAGE] = handle


def unlisten(kernel: Any) -> None:
    """Undo `listen`."""
    kernel.control_handlers.pop(CONTROL_MESSAGE, None)

"""A page of a notebook without a browser: a kernel in a process of its own, and what a front end says to it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbstream.testing.child_kernel import ChildKernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

WAIT_S = 20.0
#: A page acknowledges at most so often, unless it was sent so much text (bytes) that more waits behind it.
ACK_S, FULL = 0.25, 4096
#: A question without an answer is asked again.
AGAIN_S = 2.0
VIEW = "application/vnd.jupyter.widget-view+json"


class PlayedPage:
    """
    Runs cells, renders the widget they show and does what docs/protocol.md asks of a page; a context manager.

        with PlayedPage() as page:
            page.run(CELL)
            page.until(lambda: page.done)
            print(page.text, page.wire_bytes)

    It hears and acknowledges only while somebody waits in `run`, `until` or `asked`.

    Args:
        device: What the browser says of itself, with every request: `{"net": "2g"}`, `{"hidden": True}` ...
        paint_ms: How long it takes to paint a page of text: it sleeps for as long.
        acks: False is a page that hangs: it never says what it has painted.
    """

    def __init__(self, *, device: Mapping[str, Any] | None = None, paint_ms: float = 1.0, acks: bool = True) -> None:
        self.device, self.paint_ms, self.acks = dict(device or {}), paint_ms, acks
        #: All that the kernel has sent, and in how many messages.
        self.wire_bytes = self.messages = 0
        #: The live pages and answers that came: seconds of `time.monotonic()`, code points of text.
        self.pages: list[tuple[float, int]] = []
        #: `state` of docs/protocol.md, as it was last said.
        self.said: dict[str, Any] = {}
        self.stream, self.have = "", -1
        self._view, self._comm = secrets.token_hex(4), ""
        #: Of the widgets that were made, by their comms.
        self._streams: dict[str, str] = {}
        #: When a question was asked that has no answer yet; 0: all are answered.
        self._asked_at = 0.0
        self._pieces: list[str] = []
        #: Of each agent.
        self._lengths: dict[str, int] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._acked, self._acked_at = -1, 0.0
        self._kernel = ChildKernel(f"played-{secrets.token_hex(4)}.ipynb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut_down()

    @property
    def text(self) -> str:
        """The text on screen; of several agents in the order in which it came."""
        return "".join(self._pieces)

    @property
    def chars(self) -> int:
        """Code points on screen."""
        return sum(self._lengths.values())

    @property
    def done(self) -> bool:
        """Whether the stream is at rest and all of it on screen."""
        at_rest = self.said.get("state") in ("complete", "stopped", "interrupted", "failed")
        return at_rest and self.have >= self.said["offset"]

    # -- what a user does -----------------------------------------------------------------------------------------

    def run(self, code: str, timeout_s: float = WAIT_S) -> str:
        """
        Run *code* as a cell of its own and return what it printed; the widget it shows is rendered.

        Raises `RuntimeError` for a cell that raises, `TimeoutError` after *timeout_s* seconds.
        """
        request = self._kernel.send(code, secrets.token_hex(8))
        printed, done = [], False

        def end(message: Mapping[str, Any]) -> None:
            nonlocal done
            content = message["content"]
            if message["parent_header"].get("msg_id") == request:
                if message["msg_type"] == "error":
                    msg = f"the cell raised {content['ename']}: {content['evalue']}"
                    raise RuntimeError(msg)
                printed.append(content.get("text", ""))
                done = content.get("execution_state") == "idle"

        self._wait(lambda: done, timeout_s, end)
        return "".join(printed)

    def until(self, true: Callable[[], Any], timeout_s: float = WAIT_S) -> float:
        """Be a page until *true()*; return the seconds that took. `TimeoutError` after *timeout_s* seconds."""
        return self._wait(true, timeout_s, lambda _: None)

    def say(self, kind: str, /, **fields: Any) -> None:
        """Send a request to the widget, on the control channel."""
        request = {**self.device, **fields, "type": kind, "view": self._view}
        message = self._kernel.client.session.msg("nbstream_request", {"comm": self._comm, "request": request})
        self._kernel.client.control_channel.send(message)

    def asked(self, question: str, /, **fields: Any) -> dict[str, Any]:
        """Ask for a range (`read`) or a place (`find`) of the message, and return the answer."""
        number = len(self._answers) + 1
        self.say(question, id=number, stream=self.stream, **fields)
        self.until(lambda: number in self._answers)
        return self._answers[number]

    def leave(self) -> None:
        """Go away with a good-bye, as a closed tab does where it can."""
        self.say("bye")

    def reload(self) -> None:
        """Go away and come back with an empty page."""
        self.leave()
        self._view = secrets.token_hex(4)
        self._begin(self._streams[self._comm])

    def kill(self) -> None:
        """Send the kernel SIGKILL, as the system does when memory runs out."""
        self._kernel.kill()

    def shut_down(self) -> None:
        """Shut the kernel down as the notebook's menu does; one that is gone already stays gone."""
        self._kernel.close()

    # -- what the page does ---------------------------------------------------------------------------------------

    def _wait(self, true: Callable[[], Any], timeout_s: float, look: Callable[[Mapping[str, Any]], None]) -> float:
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > timeout_s:
                msg = f"waited {timeout_s:g} s; the page has {self.chars} characters and says {self.said.get('line')!r}"
                raise TimeoutError(msg)
            message = self._hear()
            if message is not None:
                look(message)
            self._keep_up()
        return time.monotonic() - began

    def _hear(self) -> dict[str, Any] | None:
        """Take one message of the kernel, if one comes soon."""
        client = self._kernel.client
        socket, session = client.iopub_channel.socket, client.session
        if not socket.poll(20):
            return None
        frames = socket.recv_multipart()
        self.wire_bytes += sum(map(len, frames))
        self.messages += 1
        message: dict[str, Any] = session.deserialize(session.feed_identities(frames)[1])
        content = message["content"]
        if message["msg_type"] == "comm_open" and "stream" in content["data"].get("state", {}):
            self._streams[content["comm_id"]] = content["data"]["state"]["stream"]
        elif message["msg_type"] == "display_data" and (view := content["data"].get(VIEW, {}).get("model_id")):
            if view in self._streams:
                self._comm = view
                self._begin(self._streams[view])
        elif message["msg_type"] == "comm_msg" and content["comm_id"] == self._comm:
            self._take(content["data"].get("content", {}))
        return message

    def _begin(self, stream: str) -> None:
        self.stream, self.have, self.said = stream, -1, {}
        self._pieces, self._lengths, self._acked = [], {}, -1
        self._ask()

    def _take(self, told: Mapping[str, Any]) -> None:
        if told.get("type") in ("text", "found") and told["view"] == self._view:
            self._answers[told["id"]] = dict(told)
        if told.get("type") != "page":
            return
        if told["stream"] != self.stream:
            self._pieces, self._lengths, self.stream, self.have = [], {}, told["stream"], -1
        if told["after"] > self.have:
            self._ask()
            return
        self.said.update(told["state"])
        if told["upto"] > self.have:
            if not self._paint(told["parts"]):
                self._ask()
                return
            self.have = told["upto"]
        if "tail" in told:
            self._asked_at = 0.0
            if told["upto"] < told["tail"]:
                self._ask()

    def _paint(self, parts: list[Mapping[str, Any]]) -> bool:
        """Show the text of *parts*, once; False where some is missing before it."""
        before = self.chars
        for part in parts:
            if part["kind"] == "text":
                known = self._lengths.get(part["agent"], 0)
                if part["off"] > known:
                    return False
                self._pieces.append(part["text"][known - part["off"] :])
                self._lengths[part["agent"]] = max(known, part["off"] + len(part["text"]))
        self.pages.append((time.monotonic(), self.chars - before))
        time.sleep(self.paint_ms / 1000)
        return True

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self.say("ask", after=self.have)

    def _keep_up(self) -> None:
        """Acknowledge what was painted; ask again what was not answered."""
        if self._asked_at and time.monotonic() - self._asked_at > AGAIN_S:
            self._ask()
        full = bool(self.pages) and self.pages[-1][1] >= FULL
        due = self.have > self._acked and (full or time.monotonic() - self._acked_at >= ACK_S)
        if due and self.acks:
            self._acked, self._acked_at = self.have, time.monotonic()
            self.say("ack", stream=self.stream, offset=self.have, ms=self.paint_ms)

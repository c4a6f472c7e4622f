"""
Real kernels in child processes, and pages that look at them from outside.

A `Kernel` is started from an argv with any interpreter that has ipykernel and speaks as JupyterLab does: cell ids,
the notebook's name in the environment, requests of pages on the control channel. A `Page` does what docs/protocol.md
section 2 asks of a page and remembers all it was shown, so that it can be compared with the log after a SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import relays
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from typing_extensions import Self

#: Starting a kernel on a busy machine, and everything else a test waits for.
START_S = 60.0
WAIT_S = 30.0
TEXT_KINDS = ("text", "reasoning", "refusal")
LIVE = ("connecting", "streaming", "retrying", "stalled")
VIEW = "application/vnd.jupyter.widget-view+json"
ROOT = Path(__file__).parents[1]


def interpreter(ipykernel: str) -> str:
    """Return the Python that has this version of ipykernel: "" for ours, else one that `make kernels` made."""
    if not ipykernel:
        return sys.executable
    python = ROOT / f".venv-ipykernel-{ipykernel}" / "bin" / "python"
    assert python.exists(), f"{python} is missing: run `make kernels`"
    return str(python)


class Page:
    """One rendered view. All but the waiting happens on the front end's loop."""

    def __init__(self, kernel: Kernel, comm: str) -> None:
        self.kernel, self.comm = kernel, comm
        self.view = secrets.token_hex(4)
        self.stream: str | None = None
        self.have = -1
        #: What is known of the state: all fields of the last full one, and what changed since.
        self.state: dict[str, Any] = {}
        #: Every page that came, and when.
        self.came: list[tuple[float, dict[str, Any]]] = []
        #: stream -> (agent, kind) -> what is on screen. A regenerated stream has its own.
        self.lanes: dict[str, dict[tuple[str, str], str]] = {}
        #: What a page must never be told: another text where one is shown already.
        self.contradictions: list[str] = []
        self._asked_at = self._acked_at = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def text(self) -> str:
        """The answer that is on screen."""
        return self.lanes.get(self.stream or "", {}).get(("assistant", "text"), "")

    @property
    def shows(self) -> str:
        """The state it shows."""
        return str(self.state.get("state"))

    def wait_text(self, least: int = 1, timeout_s: float = WAIT_S) -> None:
        """Block until *least* characters are on screen."""
        self.kernel.until(
            lambda: len(self.text) >= least,
            lambda: f"{least} characters on screen; there are {len(self.text)}, and it says {self.state}",
            timeout_s,
        )

    def wait_state(self, *states: str, timeout_s: float = WAIT_S) -> str:
        """Block until the page shows one of *states* and everything saved; return the state."""
        self.kernel.until(
            lambda: self.shows in states and self.have >= self.state["offset"],
            lambda: f"the page to show {states}; it has record {self.have} and says {self.state}",
            timeout_s,
        )
        return self.shows

    def wait_heard(self) -> None:
        """Block until the kernel knows that all of the stream is painted here: it hears of it a moment later."""
        code = f"""import time
from nbstream.runtime import runtime
until = time.monotonic() + {WAIT_S}
while not runtime().was_painted({self.stream!r}):
    assert time.monotonic() < until, "no page has said that it painted everything"
    time.sleep(0.01)"""
        self.kernel.execute(code, "heard").ok()

    def again(self) -> Page:
        """Return a further view of the same widget: a reload, a second page."""
        page = Page(self.kernel, self.comm)
        self.kernel.front.call(lambda: self.kernel.opens(page))
        return page

    def press(self, button: str, *, channel: str = "control", agent: str | None = None) -> None:
        """Press a button, as the widget does it: of the whole, or of one agent."""
        self.kernel.front.call(lambda: self._request({"type": button, "agent": agent}, channel))

    def ask(self) -> None:
        """Ask for what comes behind the last record held."""
        self._asked_at = time.monotonic()
        self._request({"type": "ask", "after": self.have})

    def take(self, page: dict[str, Any]) -> None:
        """Apply one page by offset, never by arrival."""
        self.came.append((time.monotonic(), page))
        if page["stream"] != self.stream:
            self.stream, self.have, self.state = page["stream"], -1, {}
        self.state.update(page["state"])
        if page["upto"] > self.have:
            if page["after"] > self.have or not self._joins_on(page["parts"]):
                self._later("hole", self._asked_at + 0.5, self.ask)
                return
            for part in page["parts"]:
                self._paint(part)
            self.have = page["upto"]
            self._acknowledge()
        if page["upto"] < page.get("tail", -1):
            self.ask()
        elif self.state["offset"] > self.have:
            self._later("silence", time.monotonic() + 2, self.ask)

    def bye(self) -> None:
        """Leave as a page does that is closed or reloaded: it says so."""
        self.kernel.front.call(lambda: self._request({"type": "bye"}))
        self.kernel.front.call(lambda: self.kernel.loses(self))

    def close(self) -> None:
        """Leave without a word, as a page does whose computer is switched off."""
        for timer in self._timers.values():
            timer.cancel()

    def _joins_on(self, parts: list[dict[str, Any]]) -> bool:
        lengths = {lane: len(text) for lane, text in self._lanes.items()}
        for part in parts:
            if part["kind"] == "truncate":
                lane = part["agent"], part.get("of", "text")
                lengths[lane] = min(lengths.get(lane, 0), part["length"])
            if part["kind"] in TEXT_KINDS:
                lane = part["agent"], part["kind"]
                if part["off"] > lengths.get(lane, 0):
                    return False
                lengths[lane] = max(lengths.get(lane, 0), part["off"] + len(part["text"]))
        return True

    def _paint(self, part: dict[str, Any]) -> None:
        if part["kind"] == "truncate":
            lane = part["agent"], part.get("of", "text")
            self._lanes[lane] = self._lanes.get(lane, "")[: part["length"]]
        if part["kind"] not in TEXT_KINDS:
            return
        lane, off, text = (part["agent"], part["kind"]), part["off"], part["text"]
        shown = self._lanes.get(lane, "")
        again = shown[off : off + len(text)]
        if not text.startswith(again):
            self.contradictions.append(f"at {off} of {lane} stands {again!r}, now it is said to be {text!r}")
        self._lanes[lane] = shown + text[len(again) :]

    @property
    def _lanes(self) -> dict[tuple[str, str], str]:
        return self.lanes.setdefault(self.stream or "", {})

    def _acknowledge(self) -> None:
        # At most 4/s, but at once while the log goes on behind it, and at the end; never left out for the newest page.
        behind, over = self.state["offset"] > self.have, self.shows not in LIVE
        self._later("ack", 0.0 if behind or over else self._acked_at + 0.25, self._ack)

    def _ack(self) -> None:
        self._acked_at = time.monotonic()
        self._request({"type": "ack", "offset": self.have, "ms": 1})

    def _later(self, what: str, at: float, do: Callable[[], None]) -> None:
        """Do it at a moment; what was to be done of the same kind is done only once."""
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()
        wait = at - time.monotonic()
        if wait <= 0:
            do()
        else:
            self._timers[what] = asyncio.get_running_loop().call_later(wait, do)

    def _request(self, request: dict[str, Any], channel: str = "control") -> None:
        request = {**request, "view": self.view}
        if channel == "control":
            self.kernel.send("control", "nbstream_request", {"comm": self.comm, "request": request})
        else:
            data = {"method": "custom", "content": request}
            self.kernel.send("shell", "comm_msg", {"comm_id": self.comm, "data": data})


class Run:
    """One execution of a cell: what it put out, and the pages that look at its widgets."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.outputs: list[dict[str, Any]] = []
        self.pages: list[Page] = []
        self.reply: dict[str, Any] | None = None
        #: All its output has come: the reply travels on another channel and may be faster.
        self.idle = False

    @property
    def page(self) -> Page:
        """The page of the first stream this cell shows; waits for it."""
        return self.shown(1)[0]

    def shown(self, count: int) -> list[Page]:
        """Wait until the cell shows *count* streams; return their pages in order."""
        self.kernel.until(lambda: len(self.pages) >= count or self._failed, f"{count} widgets", WAIT_S)
        assert len(self.pages) >= count, self.traceback
        return self.pages

    def wait(self, timeout_s: float = WAIT_S) -> str:
        """Wait until the cell has run; return `ok`, `error` or `aborted`."""
        self.kernel.until(lambda: self.reply is not None and self.idle, "the cell to end", timeout_s)
        assert self.reply is not None
        return str(self.reply["status"])

    def ok(self, timeout_s: float = WAIT_S) -> Run:
        """Wait until the cell has run without an error."""
        assert self.wait(timeout_s) == "ok", self.traceback
        return self

    @property
    def traceback(self) -> str:
        """What an error left in the output."""
        return "\n".join(line for out in self.outputs for line in out.get("traceback", ()))

    @property
    def printed(self) -> str:
        """What the cell printed."""
        return "".join(out["text"] for out in self.outputs if "text" in out)

    @property
    def _failed(self) -> bool:
        return self.reply is not None and self.reply["status"] != "ok"


class Kernel:
    """
    One kernel process. It is on its way from the start; the first call waits until it answers.

    *home* is its NBSTREAM_HOME, *notebook* the name in JPY_SESSION_NAME, *python* the interpreter.
    """

    def __init__(self, front: Kernels, home: Path, notebook: str, python: str, env: dict[str, str]) -> None:
        self.front = front
        self.notebook = notebook
        self._changed = threading.Condition()
        self._runs: dict[str, Run] = {}
        self._pages: dict[str, list[Page]] = {}
        self._heard_at = 0.0
        #: Is given every message that comes, whole.
        self.hears: Callable[[dict[str, Any]], object] = lambda _: None
        self._probes: set[str] = set()
        self._heard = False
        self._closed = False
        # Sockets have short names only, and no port of theirs can be taken by somebody else.
        self._place = Path(tempfile.mkdtemp(prefix="nbk-"))
        self._errors = (self._place / "stderr").open("w+b")
        environment = {
            **os.environ,
            "NBSTREAM_HOME": str(home),
            "JPY_SESSION_NAME": notebook,
            "IPYTHONDIR": str(self._place / "ipython"),
            # As in life, where all kernels of a user share it: a relay is found by its file there.
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "NBSTREAM_HOST": front.host,
            **env,
        }
        self._manager = _Manager(transport="ipc", connection_file=str(self._place / "kernel.json"))
        self._manager.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._client: AsyncKernelClient | None = None
        self._reading: list[asyncio.Task[None]] = []
        front.do(self._start(environment))

    def execute(self, code: str, cell: str | None = None, *, queued: bool = False) -> Run:
        """
        Run *code* as the cell with this id and do not wait for it; *queued*: even while another one runs.

        Otherwise the reply to the one before is waited for: ipykernel 7.0 to 7.3 does not read a request that arrives
        while a reply is on its way out (until the next one comes).
        """
        self.ready()
        if not queued:
            self.until(lambda: all(run.reply for run in self._runs.values()), "the cell before to end")
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True,
        }  # fmt: skip
        run = Run(self)

        def send() -> None:
            self._runs[self.send("shell", "execute_request", content, {"cellId": cell} if cell else {})] = run

        self.front.call(send)
        return run

    def load(self, *, sources: str = "") -> Kernel:
        """Load the extension, as the first cell of a notebook does, and import it."""
        self.execute(f"%load_ext nbstream\nimport nbstream\n{sources}", "load").ok()
        return self

    def ready(self) -> None:
        """Wait until the kernel answers and its output is heard."""
        until = time.monotonic() + START_S
        while not self._is_ready:
            assert time.monotonic() < until, f"the kernel does not start: {self.stderr}"
            self.front.call(lambda: self._probes.add(self.send("shell", "kernel_info_request", {})))
            with self._changed:
                # Asked again: what is published before the subscription has arrived is heard by nobody.
                self._changed.wait_for(lambda: self._is_ready, 0.25)

    def until(self, true: Callable[[], Any], what: str | Callable[[], str], timeout_s: float = WAIT_S) -> None:
        """Block until *true*, looking again whenever something came from the kernel; *what* is for the failure."""
        with self._changed:
            if not self._changed.wait_for(true, timeout_s):
                what = what if isinstance(what, str) else what()
                errors = "; ".join(run.traceback for run in self._runs.values() if run.traceback)
                msg = f"waited {timeout_s:g} s for {what}; errors: {errors or 'none'}; stderr: {self.stderr}"
                raise AssertionError(msg)

    def interrupt(self) -> None:
        """Interrupt, as the stop button of the notebook does."""
        self.front.do(self._manager.interrupt_kernel())

    def shut_down(self) -> None:
        """Shut down, as the menu of the notebook does; returns when the process is gone."""
        self.front.do(self._ask_to_end(restart=False))
        self.close()

    def restart(self) -> None:
        """End as a restart does: the kernel is told that it comes back. The next one is another `Kernel`."""
        self.front.do(self._ask_to_end(restart=True))
        self.close()

    def kill(self, *, alone: bool = False) -> None:
        """SIGKILL to it and, unless *alone*, its relay; returns when they are gone and what was sent has come."""
        self.signal(signal.SIGKILL)
        if self.front.host == "relay" and not alone:
            relays.end_all(self.front.home / "runtime")
        self._process.wait(10)
        # Nothing tells that a dead peer's last message has come; 50 ms of silence do.
        while (quiet := time.monotonic() - self._heard_at) < 0.05:
            time.sleep(0.05 - quiet)
        self.close()

    def signal(self, number: int) -> None:
        """Send a signal to the kernel process."""
        os.kill(self.pid, number)

    @property
    def _is_ready(self) -> bool:
        return self._heard and not self._probes

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    @property
    def stderr(self) -> str:
        """What the process itself complained about."""
        return (self._place / "stderr").read_text(errors="replace")[-2000:] if self._place.exists() else ""

    def close(self) -> None:
        """End the process and everything that belongs to it; twice is harmless."""
        if not self._closed:
            self._closed = True
            self.front.do(self._end())
            self._errors.close()
            shutil.rmtree(self._place, ignore_errors=True)

    # -- on the loop ----------------------------------------------------------------------------------------------

    def send(self, channel: str, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> str:
        """Send a message and return its id."""
        client = self._client
        assert client is not None
        message = client.session.msg(kind, content, metadata=metadata)
        if not self._closed:
            # Not channel.send(): its plain socket takes the event that should wake our reading of the same socket.
            getattr(client, f"{channel}_channel").socket.send_multipart(client.session.serialize(message))
        return str(message["header"]["msg_id"])

    def opens(self, page: Page) -> None:
        """Let *page* hear what its comm says, and ask."""
        self._pages[page.comm].append(page)
        page.ask()

    def loses(self, page: Page) -> None:
        """Let *page* hear nothing more."""
        page.close()
        self._pages[page.comm].remove(page)

    @property
    def _process(self) -> Any:
        return self._manager.provisioner.process

    async def _start(self, environment: dict[str, str]) -> None:
        await self._manager.start_kernel(env=environment, stdout=self._errors, stderr=self._errors)
        self._client = self._manager.client()
        self._client.start_channels(hb=False)
        handlers = {"iopub": self._published, "shell": self._replied, "control": self._replied}
        self._reading = [asyncio.ensure_future(self._read(*one)) for one in handlers.items()]

    async def _ask_to_end(self, *, restart: bool) -> None:
        await self._manager._async_request_shutdown(restart=restart)
        await asyncio.wait_for(asyncio.to_thread(self._process.wait), WAIT_S)

    async def _end(self) -> None:
        for pages in self._pages.values():
            for page in pages:
                page.close()
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        if self._client is not None:
            self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)

    async def _read(self, channel: str, handle: Callable[[dict[str, Any]], None]) -> None:
        while True:
            message = await getattr(self._client, f"{channel}_channel").get_msg()
            with self._changed:
                self._heard_at = time.monotonic()
                self.hears(message)
                handle(message)
                self._changed.notify_all()

    def _replied(self, message: dict[str, Any]) -> None:
        asked = message["parent_header"].get("msg_id")
        self._probes.discard(asked)
        if asked in self._runs:
            self._runs[asked].reply = message["content"]

    def _published(self, message: dict[str, Any]) -> None:
        content, parent = message["content"], message["parent_header"].get("msg_id")
        run = self._runs.get(parent)
        if message["msg_type"] == "status":
            self._heard = True
            if run is not None:
                run.idle = content["execution_state"] == "idle"
        elif message["msg_type"] == "comm_msg":
            if content["data"].get("method") == "custom":
                for page in self._pages.get(content["comm_id"], ()):
                    page.take(content["data"]["content"])
        elif message["msg_type"] == "comm_open":
            if "stream" in content["data"].get("state", {}):
                self._pages[content["comm_id"]] = []
        elif run is not None and message["msg_type"] in ("stream", "error", "execute_result", "display_data"):
            run.outputs.append(content)
            model = content.get("data", {}).get(VIEW, {}).get("model_id")
            if model in self._pages:
                page = Page(self, model)
                run.pages.append(page)
                self.opens(page)


class Kernels:
    """The front end: starts kernels, listens to all of them on one loop, ends them with its block."""

    def __init__(self, home: Path, *, host: str = "kernel") -> None:
        self.home, self.host = home, host
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="front-end", daemon=True)
        self._kernels: list[Kernel] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for kernel in self._kernels:
            kernel.close()
        relays.end_all(self.home / "runtime")
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def start(
        self, notebook: str = "one.ipynb", *, python: str = sys.executable, env: dict[str, str] | None = None
    ) -> Kernel:
        """Start a kernel and return at once, the first cell waits for it; the notebook's file is made if need be."""
        file = self.home / "notes" / notebook
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        kernel = Kernel(self, self.home, str(file), python, env or {})
        self._kernels.append(kernel)
        return kernel

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run *work* on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(START_S)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call *function* on the loop and wait for it."""

        async def work() -> Any:
            return function()

        return self.do(work())


class _Manager(AsyncKernelManager):
    """A kernel manager that starts an argv: nothing has to be installed."""

    argv: list[str]
    client_class = Type(AsyncKernelClient)

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=self.argv, display_name="Python", language="python")

"""A real JupyterLab and a real Chromium, driven as a user would."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

#: Without them Chromium looks for its own servers at every start.
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
START_S = 90
CURRENT = "window.jupyterapp.shell.currentWidget"
LOAD = "%load_ext nbstream"
WIDGET = "application/vnd.jupyter.widget-view+json"


def chromium() -> str | None:
    """Return the browser's path, None when there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def failed(cells: list[dict[str, Any]]) -> list[str]:
    """Return what went wrong in code cells that were run: errors, also those that are only printed, and cells left."""
    found = []
    for cell in cells:
        said = [one.get("evalue") or "".join(one.get("text", "")) for one in cell["outputs"]
                if one["output_type"] == "error" or one.get("name") == "stderr"]  # fmt: skip
        left = [] if cell["execution_count"] else ["not run"]
        found += [f"{cell['id']}: {what}" for what in (*said, *left)]
    return found


def wait_for(what: str, probe: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Return the first true value of *probe*; an `AssertionError` naming *what* when none comes in time."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            value = probe()
            if value:
                return value
        time.sleep(0.05)
    msg = f"waited {timeout_s:.0f} s for {what}"
    raise AssertionError(msg)


class Lab:
    """
    A JupyterLab server of its own, with its own home for everything.

    *python* runs it, below *prefix* (a hub's: "/user/xyz/"), on the notebooks in *root*.
    """

    def __init__(
        self, home: Path, env: dict[str, str] | None = None, *,
        python: str = sys.executable, prefix: str = "/", root: Path | None = None,
    ) -> None:  # fmt: skip
        self.home = home
        self.root = root or home / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self.store = home / "streams"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{prefix}"
        self.token = secrets.token_hex(16)
        # A question about news would lie over the notebook.
        settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
        self._env = {
            **os.environ,
            **{f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")},
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"),
            "NBSTREAM_HOME": str(self.store),
            "JUPYTER_PLATFORM_DIRS": "1",
            **(env or {}),
        }
        self._log = (home / "lab.log").open("ab")
        self._process = subprocess.Popen(
            [
                python, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                f"--port={self.port}", f"--ServerApp.root_dir={self.root}", f"--IdentityProvider.token={self.token}",
                f"--ServerApp.base_url={prefix}", "--ServerApp.port_retries=0",
                "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            env=self._env, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_for("JupyterLab to answer", lambda: self.api("GET", "/api/status"), START_S)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the server's REST interface."""
        request = urllib.request.Request(
            f"{self.url}{path.removeprefix('/')}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def kernels(self) -> list[dict[str, Any]]:
        """Return the running kernels."""
        found: list[dict[str, Any]] = self.api("GET", "/api/kernels")
        return found

    def end_kernels(self, notebook: str) -> None:
        """Shut the kernels of a notebook down."""
        for session in self.api("GET", "/api/sessions"):
            if session["path"] == notebook:
                self.api("DELETE", f"/api/sessions/{session['id']}")

    def write(self, name: str, *cells: str, kernel: str = "python3") -> Path:
        """Write a notebook with these code cells."""
        path = self.root / name
        notebook = {
            "cells": [
                {"cell_type": "code", "execution_count": None, "id": secrets.token_hex(4), "metadata": {},
                 "outputs": [], "source": source}
                for source in cells
            ],
            "metadata": {"kernelspec": {"display_name": kernel, "name": kernel}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }  # fmt: skip
        path.write_text(json.dumps(notebook), encoding="utf-8")
        return path

    def stop(self) -> None:
        """End the kernels and the server."""
        with contextlib.suppress(OSError):
            for kernel in self.kernels():
                self.api("DELETE", f"/api/kernels/{kernel['id']}")
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(15)
        self._log.close()


class Tab:
    """One browser page on one notebook."""

    def __init__(
        self, browser: Browser, lab: Lab, name: str, *, width: int = 1100, height: int = 850,
        prepare: Callable[[BrowserContext], None] | None = None,
    ) -> None:  # fmt: skip
        self._lab, self.name = lab, name
        self.context = browser.new_context(viewport={"width": width, "height": height})
        if prepare is not None:
            prepare(self.context)  # before anything is loaded
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open()

    def open(self) -> None:
        """Load the notebook and wait until its kernel is there."""
        self._goto()
        self.ready()

    def _goto(self) -> None:
        url = f"{self._lab.url}lab/tree/{self.name}?token={self._lab.token}&reset"
        self.page.goto(url, wait_until="domcontentloaded")

    def ready(self) -> None:
        """Wait until the notebook is shown and its kernel connected."""
        self.page.wait_for_function(
            f"window.jupyterapp && {CURRENT}?.context?.isReady && {CURRENT}.sessionContext?.session?.kernel"
            f"?.connectionStatus === 'connected'",
            timeout=60_000,
        )

    def open_without_kernel(self) -> None:
        """Load the notebook on a server that does not have its kernel, and decline another one."""
        self._goto()
        dialog = self.page.get_by_role("dialog")
        dialog.locator("select").select_option(label="No Kernel")
        dialog.get_by_role("button", name="Select").click()

    def reload(self) -> None:
        """Press F5."""
        self.page.reload(wait_until="domcontentloaded")
        self.ready()

    def run(self, cell: int, *, wait: bool = False) -> None:
        """Run one cell as Shift+Enter does."""
        self.page.evaluate(
            f"""async () => {{
              await {CURRENT}.revealed;
              {CURRENT}.content.activeCellIndex = {cell};
              const done = window.jupyterapp.commands.execute('notebook:run-cell');
              if ({json.dumps(wait)}) await done;
            }}"""
        )

    def run_all(self, timeout_s: float) -> list[dict[str, Any]]:
        """Press Run All, wait until it is through or a cell has failed; return the code cells as they are saved."""
        self.page.evaluate(
            """() => {
              window.ranAll = false;
              window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ranAll = true; });
            }"""
        )
        wait_for(f"all cells of {self.name}", lambda: self.page.evaluate("() => window.ranAll"), timeout_s)
        return [cell for cell in self.save()["cells"] if cell["cell_type"] == "code"]

    def answers(self) -> list[int]:
        """Return which cells show a widget, by their place in the notebook."""
        shown = [cell.get("outputs", []) for cell in self.save()["cells"]]
        return [nth for nth, outputs in enumerate(shown) if any(WIDGET in one.get("data", {}) for one in outputs)]

    def show(self, cell: int) -> None:
        """Bring a cell into sight: JupyterLab takes those that are far from it out of the page."""
        self.page.evaluate(
            f"""(cell) => {{
              {CURRENT}.content.activeCellIndex = cell;
              return {CURRENT}.content.scrollToItem(cell, 'start');
            }}""",
            cell,
        )

    def command(self, name: str, args: dict[str, Any] | None = None) -> None:
        """Execute a command of JupyterLab and wait for it."""
        self.page.evaluate(f"() => window.jupyterapp.commands.execute({name!r}, {json.dumps(args or {})})")

    def restart_kernel(self) -> None:
        """Restart the kernel as the menu does, without its question."""
        self.page.evaluate(f"() => {CURRENT}.sessionContext.session.kernel.restart()")
        self.ready()

    def shut_kernel_down(self) -> None:
        """Shut the kernel down for good, as Kernel > Shut Down Kernel does."""
        self.page.evaluate(f"() => {CURRENT}.sessionContext.shutdown()")

    def save(self) -> dict[str, Any]:
        """Save the notebook and return the file."""
        self.command("docmanager:save")
        notebook: dict[str, Any] = json.loads((self._lab.root / self.name).read_text(encoding="utf-8"))
        return notebook

    def ask_kernel(self, expression: str) -> str:
        """Return the repr of a Python expression in the kernel, without touching the notebook."""
        answer: str = self.page.evaluate(
            f"""async (expression) => {{
              const kernel = {CURRENT}.sessionContext.session.kernel;
              const asked = {{code: '', user_expressions: {{it: expression}}, store_history: false}};
              const future = kernel.requestExecute(asked);
              const {{it}} = (await future.done).content.user_expressions;
              return it.status === 'ok' ? it.data['text/plain'] : `${{it.ename}}: ${{it.evalue}}`;
            }}""",
            expression,
        )
        return answer

    def kernel_pid(self) -> int:
        """Return the kernel's process id."""
        return int(self.ask_kernel("__import__('os').getpid()"))

    def visible(self, cell: int) -> str:
        """Return the text a reader sees below a cell, whatever shows it."""
        text: str = self.page.evaluate(f"(cell) => {CURRENT}.content.widgets[cell].outputArea.node.innerText", cell)
        return text

    def saved(self, cell: int) -> str:
        """Save the notebook and return the Markdown that the file holds below a cell."""
        outputs = self.save()["cells"][cell]["outputs"]
        return "\n".join(
            "".join(one["data"]["text/markdown"]) for one in outputs if "text/markdown" in one.get("data", {})
        )

    def copied(self, nth: int = 0) -> str:
        """Press Copy of the n-th stream view and return what is on the clipboard."""
        self.page.bring_to_front()
        self.page.evaluate("() => navigator.clipboard.writeText('')")
        self.press("Copy", nth)
        text: str = wait_for("the clipboard", lambda: self.page.evaluate("() => navigator.clipboard.readText()"))
        return text

    def stream(self, nth: int = 0) -> dict[str, Any] | None:
        """Return what the n-th stream view shows: its data attributes, its text (walked, not innerText), its line."""
        found: dict[str, Any] | None = self.page.evaluate(
            """(nth) => {
              const root = document.querySelectorAll('.nbstream')[nth];
              if (!root) return null;
              const text = (node) => [...walk(node)].join('');
              function* walk(node) {
                if (node.nodeType === 3) yield node.data;
                for (const child of node.childNodes) yield* walk(child);
              }
              return {
                ...root.dataset,
                text: [...root.querySelectorAll('.nbstream-text')].map(text).join('\\n'),
                line: root.querySelector('.nbstream-state')?.textContent ?? '',
                buttons: [...root.querySelectorAll('.nbstream-actions > button:not([hidden])')].map(text),
              };
            }""",
            nth,
        )
        return found

    def wait_stream(
        self, what: str, test: Callable[[dict[str, Any]], Any], timeout_s: float = 30.0, nth: int = 0
    ) -> dict[str, Any]:
        """Wait until the n-th stream view passes *test*."""
        last: dict[str, Any] | None = None

        def probe() -> dict[str, Any] | None:
            nonlocal last
            last = self.stream(nth)
            return last if last is not None and test(last) else None

        try:
            found: dict[str, Any] = wait_for(what, probe, timeout_s)
        except AssertionError as exc:
            msg = f"{exc}; the view shows {last}; page errors: {self.errors}"
            raise AssertionError(msg) from None
        return found

    def press(self, button: str, nth: int = 0) -> None:
        """Click a button of the n-th stream view."""
        # Copy says "Copy ✓" for a while.
        name = re.compile(f"^{button}\\b")
        self.page.locator(".nbstream").nth(nth).get_by_role("button", name=name).click()

    def press_now(self, button: str) -> None:
        """Click a button of the first stream view without looking whether a mouse could: for times."""
        self.page.evaluate(
            "(name) => [...document.querySelectorAll('.nbstream button')].find((b) => b.textContent === name).click()",
            button,
        )

    def close(self) -> None:
        """Close the page."""
        self.context.close()


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Run a Chromium."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()

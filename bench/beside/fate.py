"""What becomes of an answer: its page is reloaded in the middle, its kernel is killed, its file is opened later."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from lab import CURRENT, Tab, wait_for

from nbstream.demo import DemoModel, DemoServer

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Browser

HERE = Path(__file__).resolve().parent
QUESTION = {"prompt": "What does a river keep?", "max_tokens": 600, "tokens_per_s": 100}
#: Characters on screen at which it happens; and behind the model's end nothing more comes than in this time.
MIDDLE, AFTER_S = 600, 6.0
#: Every character that a reader sees below the second cell, in the page or in a frame of no other origin.
READY = f"""() => {{
  const kernel = {CURRENT}.sessionContext.session.kernel;
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}}"""
SEEN = f"() => {CURRENT}.content.widgets[1].outputArea.node.innerText"


@dataclass
class Fate:
    """Of one way: characters of the answer, and calls of the model."""

    way: str
    #: On the page some seconds after the model's end: reloaded in the middle, its notebook saved just before.
    reloaded: str
    #: In the file, saved then and read without any kernel.
    kept: str
    #: The kernel is killed in the middle, restarted, and the cell run again.
    rerun: str


def fate(browser: Browser, lab: Lab, way: str) -> Fate:
    """Let both happen to *way*."""
    text = DemoModel().text(QUESTION["prompt"], max_tokens=QUESTION["max_tokens"])
    words = [word for word in text.split() if word.isalpha()]

    def share(seen: str) -> str:
        """Return how much of the answer is in *seen*, in percent of its words, one after the other."""
        at = found = 0
        for word in words:
            place = seen.find(word, at)
            if 0 <= place < at + 400:
                at, found = place + len(word), found + 1
        return f"{100 * found // len(words)} %"

    with DemoServer() as server:
        tab = _begun(browser, lab, way, server)
        try:
            tab.save()
            tab.reload()
            wait_for("the model's end", lambda: server.open_connections == 0, 60)
            time.sleep(AFTER_S)
            reloaded = share(tab.page.evaluate(SEEN))
            outputs = tab.save()["cells"][1]["outputs"]
            kept = share("\n".join(_texts(outputs)))
        finally:
            _end(tab, lab)
    with DemoServer() as server:
        tab = _begun(browser, lab, way, server)
        try:
            pid = (lab.home / "pid").read_text()
            os.kill(int(pid), signal.SIGKILL)
            wait_for("JupyterLab to see it", lambda: not tab.page.evaluate(READY), 60)
            wait_for("another kernel", lambda: tab.page.evaluate(READY), 60)
            tab.run(0)
            wait_for("its first cell", lambda: (lab.home / "pid").read_text() not in ("", pid), 60)
            tab.run(1)
            wait_for("all of it", lambda: share(tab.page.evaluate(SEEN)) == "100 %", 60)
            rerun = f"{len(server.requests)} calls"
        except AssertionError:
            rerun = "not whole"
        finally:
            _end(tab, lab)
    return Fate(way, reloaded, kept, rerun)


def _begun(browser: Browser, lab: Lab, way: str, server: DemoServer) -> Tab:
    """Open a notebook, let *way* show the answer and return in the middle."""
    name, url = f"{way}-{time.monotonic_ns()}.ipynb", f"{server.url}/stream?{urlencode(QUESTION)}"
    ask = f"nbstream.show(nbstream.sse({url!r}))" if way == "nbstream" else f"ways.run({way!r}, tokens())"
    lab.write(name, _SETUP.format(here=str(HERE.parent), way=way, url=url, pid=str(lab.home / "pid")), ask)
    tab = Tab(browser, lab, name)
    tab.run(0, wait=True)
    tab.run(1)
    wait_for("the middle", lambda: len(tab.page.evaluate(SEEN)) > MIDDLE, 60)
    return tab


_SETUP = """\
import json, os, sys
sys.path.insert(0, {here!r})
import httpx, nbstream
from beside import ways
ways.prepare({way!r})
with open({pid!r}, "w") as file:
    file.write(str(os.getpid()))

def tokens():
    with httpx.stream("GET", {url!r}, trust_env=False, timeout=None) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and "text" in (frame := json.loads(line[6:])):
                yield frame["text"]
"""


def _texts(outputs: list[dict[str, object]]) -> list[str]:
    """Return what a file shows without a kernel: printed text and the text of rich outputs."""
    found = []
    for one in outputs:
        data = one.get("data", {})
        assert isinstance(data, dict)
        told = (one.get("text"), data.get("text/markdown"), data.get("text/html"))
        found += ["".join(said) if isinstance(said, list) else str(said or "") for said in told]
    return found


def _end(tab: Tab, lab: Lab) -> None:
    tab.close()
    lab.end_kernels(tab.name)

"""
What a streamed message costs in a real JupyterLab: time to text, bytes on the kernel's websocket, pages a second.

    python bench/page.py [first paced flood]

Each figure stands beside its promise. Bytes count both ways, without the widget's own code (sent once a widget) and
without the messages of the cell itself.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "browser"))

from lab import Lab, Tab, browsing

LOAD = "%load_ext nbstream"


class Wire:
    """Counts the frames of the kernel's websocket by what they carry."""

    def __init__(self, tab: Tab) -> None:
        self.bytes: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        tab.page.on("websocket", self._watch)

    def clear(self) -> None:
        """Start at zero."""
        self.bytes.clear()
        self.frames.clear()

    def _watch(self, socket: Any) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", lambda payload: self._count("in", payload))
            socket.on("framesent", lambda payload: self._count("out", payload))

    def _count(self, way: str, payload: str | bytes) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        kind = next((name for name, mark in _KINDS if mark in data), "other")
        self.bytes[f"{way} {kind}"] += len(data)
        self.frames[f"{way} {kind}"] += 1


_KINDS = [
    ("widget code", b'"_esm"'),
    ("widget code", b'"type": "code"'),
    ("widget code", b'"type":"code"'),
    ("page", b'"type":"page"'),
    ("page", b'"type": "page"'),
    ("saved form", b'"text/markdown"'),
    ("request", b"nbstream_request"),
    ("reply", b"nbstream_reply"),
    ("status", b'"execution_state"'),
]


def first(browser: Any, lab: Lab) -> None:
    """Cell to first text: cold (new kernel) and warm."""
    cell = "%%stream -p tokens_per_s=50 -p max_tokens=60\n"
    lab.write("first.ipynb", LOAD, cell + "rivers", cell + "logs", cell + "gardens")
    tab = Tab(browser, lab, "first.ipynb")
    tab.run(0, wait=True)
    for nth, promise in ((0, 1500), (1, 500), (2, 500)):
        began = time.monotonic()
        tab.run(nth + 1)
        tab.wait_stream("the first text", lambda view: int(view["chars"]) > 0, nth=nth)
        took = 1000 * (time.monotonic() - began)
        print(f"{'warm' if nth else 'cold'} cell to first text   {took:5.0f} ms  (< {promise} ms)")
        tab.wait_stream("the end", lambda view: view["state"] == "complete", nth=nth)
    tab.close()


def paced(browser: Any, lab: Lab) -> None:
    """16 KB at 100 tokens/s for 20 s."""
    lab.write("paced.ipynb", LOAD + "\nimport nbstream\n" + PACED, "stream = nbstream.show(paced())")
    tab = Tab(browser, lab, "paced.ipynb")
    wire = Wire(tab)
    tab.open()
    tab.run(0, wait=True)
    wire.clear()
    _run_to_end(tab, wire, "promise: 0.25 MB for 16 KB")
    tab.close()
    for name, cell in PEERS.items():
        _peer(browser, lab, name, cell)


#: The same answer at the same pace, as people show it today.
PEERS = {
    "print": "for token in paced():\n    print(token, end='', flush=True)",
    "display(Markdown) updated per token": (
        "from IPython.display import Markdown, display\n"
        "text, shown = '', display(Markdown(''), display_id=True)\n"
        "for token in paced():\n    text += token\n    shown.update(Markdown(text))"
    ),
}
#: 2,000 tokens of 8 characters in 20 s.
PACED = """\
import time
from nbstream.demo import DemoModel

TEXT = DemoModel().text("rivers, logs and gardens", max_tokens=4000)[:16000]

def paced():
    began = time.monotonic()
    for n in range(0, len(TEXT), 8):
        time.sleep(max(0, began + n / 800 - time.monotonic()))
        yield TEXT[n : n + 8]
"""


def _peer(browser: Any, lab: Lab, name: str, cell: str) -> None:
    lab.write("peer.ipynb", PACED, cell + "\nprint('-- the end')")
    tab = Tab(browser, lab, "peer.ipynb")
    wire = Wire(tab)
    tab.open()
    tab.run(0, wait=True)
    wire.clear()
    tab.run(1, wait=True)
    print(f"    {name}: {sum(wire.bytes.values()) / 1e6:.3f} MB")
    tab.close()


def flood(browser: Any, lab: Lab) -> None:
    """1 MB at full speed."""
    lab.write("flood.ipynb", LOAD, "%%stream -p tokens_per_s=0 -p max_tokens=215000\nrivers, logs and gardens")
    tab = Tab(browser, lab, "flood.ipynb")
    wire = Wire(tab)
    tab.open()
    tab.run(0, wait=True)
    wire.clear()
    _run_to_end(tab, wire, "promise: 1.1 MB of pages, 2.2 MB of saved form")
    tab.restart_kernel()
    tab.run(0, wait=True)
    began = time.monotonic()
    tab.run(1)
    tab.wait_stream("the saved text", lambda view: int(view["chars"]) > 900_000 and view["link"] == "live")
    print(f"restarted kernel: cell to 1 MB of old text on screen {time.monotonic() - began:.2f} s (< 1 s)")
    tab.close()


def _run_to_end(tab: Tab, wire: Wire, promise: str) -> None:
    began = time.monotonic()
    tab.run(1)
    view = tab.wait_stream("the end", lambda view: view["state"] == "complete", 120)
    took = time.monotonic() - began
    tab.page.wait_for_timeout(1500)  # the saved form follows the last page
    total = sum(size for kind, size in wire.bytes.items() if "widget code" not in kind)
    print(f"{int(view['chars']):,} characters in {took:.1f} s: {total / 1e6:.3f} MB on the websocket ({promise})")
    for kind, size in wire.bytes.most_common():
        print(f"    {kind:18} {wire.frames[kind]:5} frames  {size / 1e6:.3f} MB")
    print(f"    {wire.frames['in page'] / took:.1f} pages/s (<= 12)")


def main() -> None:
    """Run the benches named on the command line, or all."""
    benches = {"first": first, "paced": paced, "flood": flood}
    names = sys.argv[1:] or list(benches)
    lab = Lab(Path(tempfile.mkdtemp(prefix="nbstream-bench-")) / "lab")
    try:
        with browsing() as browser:
            for name in names:
                benches[name](browser, lab)
    finally:
        lab.stop()


if __name__ == "__main__":
    main()

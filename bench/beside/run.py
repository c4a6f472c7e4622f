"""One way to show one answer, in a fresh kernel and page of a real JupyterLab, measured."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from lab import Tab
from page import Wire

from beside.answer import END, answer

if TYPE_CHECKING:
    from lab import Lab
    from playwright.sync_api import Browser

HERE = Path(__file__).resolve().parent
LOOK_S = 0.1
#: What the page does on its own is measured for so long before.
IDLE_S = 2.0
#: The saved form, acks and timers follow the last character.
AFTER_S = 1.5


@dataclass
class Spec:
    """What is streamed. `rate`: tokens a second, 0 for as fast as they are taken."""

    size: int
    shape: str = "mixed"
    rate: float = 0.0
    token: int = 8
    cap_s: float = 120.0


@dataclass
class Figures:
    """What one run cost; None where that could not be told."""

    way: str
    outcome: str = "capped"
    first_s: float | None = None
    last_s: float | None = None
    #: From the source's end to the last character on screen.
    behind_s: float | None = None
    source_s: float | None = None
    wire: dict[str, int] = field(default_factory=dict)
    kernel_cpu_s: float | None = None
    kernel_rss_mb: float | None = None
    page_cpu_s: float | None = None
    #: Seconds of main-thread CPU a second while nothing happens.
    idle: float = 0.0
    longest_ms: float = 0.0
    long_tasks: int = 0
    heap_mb: float | None = None
    #: The browser's process of the page, at most; and before: an empty JupyterLab.
    renderer_mb: float | None = None
    renderer_before_mb: float | None = None
    flushes: list[tuple[float, int]] = field(default_factory=list)
    #: (characters painted, main-thread CPU seconds so far).
    costs: list[tuple[int, float]] = field(default_factory=list)

    @property
    def wire_mb(self) -> float:
        """Megabytes on the kernel's websocket, without the widget's code."""
        return sum(size for kind, size in self.wire.items() if "widget code" not in kind) / 1e6

    @property
    def saved_mb(self) -> float:
        """The notebook file's copies in it."""
        return sum(size for kind, size in self.wire.items() if "saved form" in kind) / 1e6

    @property
    def memory(self) -> str:
        """Megabytes: the scripts' heap at the end / the renderer at most (before)."""
        return f"{told(self.heap_mb, '.0f')} / {told(self.renderer_mb, '.0f')} ({told(self.renderer_before_mb, '.0f')})"

    @property
    def flush_ms(self) -> float | None:
        """Main-thread CPU a flush."""
        if not self.flushes or self.page_cpu_s is None or self.last_s is None:
            return None
        return 1000 * (self.page_cpu_s - self.idle * self.last_s) / len(self.flushes)

    def cost(self, begin: float, end: float) -> float | None:
        """Main-thread CPU from one share of the characters to another, interpolated."""
        if len(self.costs) < 2:
            return None
        total = self.costs[-1][0]
        return self._at(end * total) - self._at(begin * total)

    def _at(self, chars: float) -> float:
        before = self.costs[0]
        for now in self.costs:
            if now[0] >= chars:
                share = (chars - before[0]) / max(1, now[0] - before[0])
                return before[1] + share * (now[1] - before[1])
            before = now
        return self.costs[-1][1]


def measure(browser: Browser, lab: Lab, way: str, spec: Spec) -> Figures:
    """Run *way* over *spec* and return what it cost."""
    name, told = f"{way}-{time.monotonic_ns()}.ipynb", lab.home / "told.json"
    told.unlink(missing_ok=True)
    # The first answer of a kernel and page pays for imports and the front end's own start; the second is measured.
    lab.write(
        name,
        _setup(way, spec, told),
        f"warm = ways.run(WAY, iter(['warm ', {END!r}]))",
        "running = ways.run(WAY, source())",
    )
    tab = Tab(browser, lab, name)
    wire = Wire(tab)
    tab.page.add_init_script(path=HERE / "probe.js")
    tab.open()
    try:
        tab.run(0, wait=True)
        tab.page.evaluate(f"() => window.__beside.watch(1, 'warm', {json.dumps(END)})")
        tab.run(1)
        tab.page.wait_for_function("() => window.__beside.last !== null", timeout=30_000)
        return _measure(tab, wire, way, spec, told)
    finally:
        tab.close()
        lab.end_kernels(name)


def _setup(way: str, spec: Spec, told: Path) -> str:
    return f"""\
import json, sys, time
sys.path.insert(0, {str(HERE.parent)!r})
from beside import ways
from beside.answer import answer, tokens
WAY = {way!r}
ways.prepare(WAY)
TEXT = answer({spec.size}, {spec.shape!r})

def source():
    began = time.time()
    yield from tokens(TEXT, {spec.rate}, {spec.token})
    with open({str(told)!r}, "w") as file:
        json.dump({{"began": began, "ended": time.time()}}, file)
"""


def _measure(tab: Tab, wire: Wire, way: str, spec: Spec, told: Path) -> Figures:
    found = Figures(way)
    kernel = psutil.Process(tab.kernel_pid())
    page = tab.page.context.new_cdp_session(tab.page)
    page.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.send("HeapProfiler.collectGarbage")

    def cpu() -> float:
        told = page.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if one["name"] == "TaskDuration")

    tab.page.wait_for_timeout(1000)
    before = cpu()
    tab.page.wait_for_timeout(1000 * IDLE_S)
    cpu0 = cpu()
    found.idle = (cpu0 - before) / IDLE_S
    # Behind the marks of a list, a table or a fence, which nobody sees as text.
    words = max(re.findall(r"[a-z]{4,}", answer(spec.size, spec.shape)[40:300]), key=len)
    wire.clear()
    found.renderer_before_mb = _renderer_bytes() / 1e6
    kernel0 = sum(kernel.cpu_times()[:2])
    tab.page.evaluate(f"() => window.__beside.watch(2, {json.dumps(words)}, {json.dumps(END)})")
    tab.run(2)
    until, seen, renderer = time.monotonic() + spec.cap_s, None, 0
    while time.monotonic() < until:
        seen = tab.page.evaluate(
            "() => ({first: window.__beside.first, last: window.__beside.last,"
            " chars: Number([...document.querySelectorAll('.nbstream')].at(-1)?.dataset.chars ?? 0)})"
        )
        found.costs.append((seen["chars"], cpu() - cpu0))
        renderer = max(renderer, _renderer_bytes())
        if seen["last"] is not None:
            found.outcome = "shown"
            break
        tab.page.wait_for_timeout(1000 * LOOK_S)
    found.page_cpu_s = cpu() - cpu0
    now = time.time() - (tab.page.evaluate("() => performance.now() - window.__beside.began") / 1000)
    tab.page.wait_for_timeout(1000 * AFTER_S)
    found.kernel_cpu_s = sum(kernel.cpu_times()[:2]) - kernel0
    found.kernel_rss_mb = kernel.memory_info().rss / 1e6
    found.wire = dict(wire.bytes)
    probe = tab.page.evaluate("() => { const {long, flushes} = window.__beside; return {long, flushes}; }")
    found.flushes = [(at, chars) for at, chars in probe["flushes"]]
    found.long_tasks = len(probe["long"])
    found.longest_ms = max((took for _, took in probe["long"]), default=0.0)
    page.send("HeapProfiler.collectGarbage")
    told_now = page.send("Performance.getMetrics")["metrics"]
    found.heap_mb = next(one["value"] for one in told_now if one["name"] == "JSHeapUsedSize") / 1e6
    found.renderer_mb = renderer / 1e6
    if told.exists():
        source = json.loads(told.read_text())
        found.source_s = source["ended"] - source["began"]
    if seen is not None and seen["last"] is not None:
        found.first_s = None if seen["first"] is None else seen["first"] / 1000
        found.last_s = seen["last"] / 1000
        if told.exists():
            found.behind_s = now + found.last_s - source["ended"]
    return found


def _renderer_bytes() -> int:
    sizes = [0]
    for child in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in child.cmdline():
                sizes.append(child.memory_info().rss)
        except psutil.Error:
            continue
    return max(sizes)


def told(value: Any, form: str = ".2f") -> str:
    """Return a figure as it is printed."""
    return "-" if value is None else format(value, form)

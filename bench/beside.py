"""
A streamed answer beside the ways people show one today, in a real JupyterLab: what it costs, and its targets.

    python bench/beside.py [fate paced flood growth shapes long huge] [--ways nbstream,print,markdown,output,...]

`fate` says what is left of an answer after a reload and a killed kernel. `paced` is 16 KB at 100 tokens/s, `flood` 1 MB
at full speed, `growth` the last against the first twentieth of 1 MB, `shapes` one 100 KB list, table, paragraph, fence,
`long` 10 MB, `huge` 100 MB (only where it is named). Each line is
figure | measured | target; peers follow with the same figures, as far as they are installed. Main-thread CPU is the
renderer's thread time by CDP, robust against a busy machine; the rest is wall time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "browser"))

from beside.fate import fate
from beside.run import Figures, Spec, measure, told
from beside.ways import WAYS, missing
from lab import Lab, browsing

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "nbstream"


class Bench:
    """Measures ways in one JupyterLab and prints lines."""

    def __init__(self, browser: object, lab: Lab, ways: list[str]) -> None:
        self._browser, self._lab, self._ways = browser, lab, ways

    def each(self, title: str, spec: Spec, *, peers: bool = True) -> list[Figures]:
        """Measure every way that is wanted, ours first."""
        print(f"\n{title}", flush=True)
        found = []
        for way in self._ways if peers else [way for way in self._ways if way == OURS]:
            if lacks := missing(way):
                print(f"  {WAYS[way][0]}: not installed ({', '.join(lacks)})", flush=True)
                continue
            found.append(measure(self._browser, self._lab, way, spec))
        return found

    def fate(self) -> None:
        """A reload and a killed kernel in the middle."""
        print("\na reload (of a page that was just saved) and a killed kernel, in the middle of 3 KB", flush=True)
        print(f"  {'way':12} | on the page | in the file | killed and run again, until all is shown", flush=True)
        for way in self._ways:
            if not missing(way):
                one = fate(self._browser, self._lab, way)
                print(f"  {one.way:12} | {one.reloaded:>11} | {one.kept:>11} | {one.rerun}", flush=True)

    def paced(self) -> None:
        """16 KB at 100 tokens/s."""
        _table(self.each("16 KB at 100 tokens/s for 20 s", Spec(16_000, rate=100, cap_s=120)), [
            ("websocket, MB", lambda one: told(one.wire_mb), "0.2"),
            ("kernel CPU, s", lambda one: told(one.kernel_cpu_s), "0.5"),
            ("page CPU, s", lambda one: told(one.page_cpu_s), "3"),
            ("longest task, ms", lambda one: told(one.longest_ms, ".0f"), "50"),
            ("tasks above 50 ms", lambda one: str(one.long_tasks), ""),
            ("first character after, s", lambda one: told(one.first_s), ""),
            ("last character behind the source's end, s", lambda one: told(one.behind_s), "0.3"),
            ("flushes", lambda one: str(len(one.flushes) or "-"), ""),
        ])  # fmt: skip

    def flood(self) -> None:
        """1 MB at full speed."""
        _table(self.each("1 MB at full speed", Spec(1_000_000, cap_s=90)), [
            ("outcome", lambda one: one.outcome, "shown"),
            ("visible after, s", lambda one: told(one.last_s), "1.5"),
            ("websocket without the file's copies, MB", lambda one: told(one.wire_mb - one.saved_mb), "1.1"),
            ("the file's copies, MB", lambda one: told(one.saved_mb), "2.2"),
            ("kernel CPU, s", lambda one: told(one.kernel_cpu_s), ""),
            ("page CPU, s", lambda one: told(one.page_cpu_s), ""),
            ("longest task, ms", lambda one: told(one.longest_ms, ".0f"), "50"),
            ("heap / renderer (before), MB", lambda one: one.memory, ""),
        ])  # fmt: skip

    def growth(self) -> None:
        """The last twentieth of 1 MB against the first, at 50 KB/s: each has about eight flushes."""
        for one in self.each("1 MB at 50 KB/s", Spec(1_000_000, rate=50_000 / 64, token=64), peers=False):
            first, last = one.cost(0.0, 0.05), one.cost(0.95, 1.0)
            ratio = last / first if first and last is not None else None
            _line("page CPU of the first / last twentieth, s", f"{told(first)} / {told(last)}", "")
            _line("the last against the first", told(ratio, ".1f"), "1.3")

    def shapes(self) -> None:
        """One huge block of each kind, at 10 KB/s."""
        for shape in ("list", "table", "paragraph", "fence"):
            spec = Spec(100_000, shape, rate=10_000 / 8)
            for one in self.each(f"one {shape} of 100 KB at 10 KB/s", spec, peers=False):
                first, last = one.cost(0.0, 0.2), one.cost(0.8, 1.0)
                _line("page CPU a flush, ms", f"{told(one.flush_ms, '.1f')} ({one.outcome})", "10")
                _line("the last fifth against the first", told(last / first if first and last else None, ".1f"), "flat")
                _line("longest task, ms", told(one.longest_ms, ".0f"), "50")

    def long(self) -> None:
        """10 MB at full speed."""
        self._big("10 MB at full speed", Spec(10_000_000, token=256, cap_s=300), cpu="15", memory="300")

    def huge(self) -> None:
        """100 MB at full speed: linear, with a bounded heap."""
        self._big(
            "100 MB at full speed", Spec(100_000_000, token=4096, cap_s=580), cpu="10 x that of 10 MB", memory="250"
        )

    def _big(self, title: str, spec: Spec, *, cpu: str, memory: str) -> None:
        for one in self.each(title, spec, peers=False):
            _line("visible after, s", f"{told(one.last_s, '.1f')} ({one.outcome})", "")
            _line("page CPU, s", told(one.page_cpu_s, ".1f"), cpu)
            _line("heap / renderer at most (before), MB", one.memory, memory)
            _line("kernel CPU, s", told(one.kernel_cpu_s, ".1f"), "")
            _line("kernel memory, MB", told(one.kernel_rss_mb, ".0f"), "")
            _line("longest task, ms", told(one.longest_ms, ".0f"), "50")


def _line(figure: str, measured: str, target: str) -> None:
    print(f"  {figure:45} | {measured:>16} | {target:>8}", flush=True)


def _table(found: list[Figures], rows: list[tuple[str, Callable[[Figures], str], str]]) -> None:
    print(f"  {'':45} | {'target':>8} | " + " | ".join(f"{one.way:>14}" for one in found))
    for figure, of, target in rows:
        print(f"  {figure:45} | {target:>8} | " + " | ".join(f"{of(one):>14}" for one in found), flush=True)


def main() -> None:
    """Run the benches named on the command line, or all but the last."""
    names = ["fate", "paced", "flood", "growth", "shapes", "long", "huge"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="bench", help=" ".join(names))
    parser.add_argument(
        "--ways", default=",".join(WAYS), help="which ways to measure (default: all that are installed)"
    )
    args = parser.parse_args()
    wanted = args.benches or names[:-1]
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"no bench {unknown[0]}: {' '.join(names)}")
    lab = Lab(Path(tempfile.mkdtemp(prefix="nbstream-beside-")) / "lab")
    try:
        with browsing() as browser:
            bench = Bench(browser, lab, args.ways.split(","))
            for name in wanted:
                getattr(bench, name)()
    finally:
        lab.stop()


if __name__ == "__main__":
    main()

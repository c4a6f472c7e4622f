"""
Builds what Binder builds, from binder/ alone, and runs walkthroughs there in a real browser: `make binder`.

A copy of the committed files, a fresh environment from binder/requirements.txt, binder/postBuild, then JupyterLab below
a prefix as on a hub (/user/xyz/). Each notebook is opened as its badge does and run with Run All: no cell may fail.
Screenshots are left in build/binder/. Arguments: further words that begin the names of notebooks (default: 01 05).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "browser"))

import relays
from lab import Lab, Tab, browsing, failed, wait_for

PREFIX = "/user/xyz/"
SHOTS = ROOT / "build" / "binder"
RUN_S = 240


def main(chosen: list[str]) -> int:
    """Build, run, look; 1 if a cell failed."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nbstream-binder-") as place:
        repository = Path(place) / "repository"
        copy(repository)
        began = time.monotonic()
        python = build(repository, Path(place) / "env")
        print(f"built in {time.monotonic() - began:.0f} s", flush=True)
        # The kernel finds the package by the environment's own files, as on Binder: nothing of ours.
        os.environ.pop("PYTHONPATH", None)
        lab = Lab(Path(place) / "home", python=python, prefix=PREFIX, root=repository)
        try:
            names = [path.name for path in sorted((repository / "notebooks").glob("*.ipynb"))]
            wanted = [name for name in names if name.startswith(tuple(chosen))]
            assert wanted, f"no notebook begins with {' or '.join(chosen)}"
            with browsing() as browser:
                assert opened_first(browser, lab).endswith("/notebooks/01_quickstart.ipynb")
                return sum([not passes(browser, lab, name) for name in wanted]) and 1
        finally:
            lab.stop()
            relays.end_all(lab.home / "runtime")


def copy(repository: Path) -> None:
    """Copy the last commit, as Binder clones it."""
    with tempfile.TemporaryFile() as packed:
        subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=packed, check=True)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            tar.extractall(repository)


def build(repository: Path, env: Path) -> str:
    """Make the environment that binder/ describes; returns its Python."""
    said = (repository / "binder" / "runtime.txt").read_text().strip()
    ours = f"python-{sys.version_info.major}.{sys.version_info.minor}"
    if said != ours:
        print(f"note: Binder takes {said}, here it is {ours}")
    subprocess.run([sys.executable, "-m", "venv", env], check=True)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NBSTREAM", "VIRTUAL"))
    }
    clean["PATH"] = f"{env}/bin{os.pathsep}{clean['PATH']}"
    for command in (
        ["pip", "install", "--quiet", "--disable-pip-version-check", "-r", "binder/requirements.txt"],
        ["binder/postBuild"],
    ):
        subprocess.run(command, cwd=repository, env=clean, check=True)
    return str(env / "bin" / "python")


def opened_first(browser, lab: Lab) -> str:
    """Return the address that the bare server leads to."""
    page = browser.new_page()
    page.goto(f"{lab.url}?token={lab.token}", wait_until="domcontentloaded")
    found = page.url.partition("?")[0]
    page.close()
    return found


def passes(browser, lab: Lab, name: str) -> bool:
    """Run all cells of a notebook and look."""
    tab = Tab(browser, lab, f"notebooks/{name}")
    began = time.monotonic()
    try:
        cells = tab.run_all(RUN_S)
        wrong = failed(cells)
        # JupyterLab takes cells out of the page that are out of sight: it has to bring the first answer back itself.
        tab.show(tab.answers()[0])
        wait_for("the first answer in sight", lambda: (box := first(tab)) and 0 < box["y"] < 600)
        tab.page.screenshot(path=SHOTS / f"{Path(name).stem}.png")
        views = tab.page.locator(".nbstream").count()
        print(f"{name}: {len(cells)} cells in {time.monotonic() - began:.0f} s, {views} views, {wrong}")
        return not wrong and views > 0
    finally:
        tab.close()


def first(tab: Tab):
    """Return the place of the first view's text on the screen."""
    text = tab.page.locator(".nbstream-text").first
    return text.bounding_box() if text.count() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["01", "05"]))

"""One JupyterLab for all browser tests, one Chromium a file, a demo server and notebooks for each test."""

import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import relays
from lab import LOAD, Lab, Tab, browsing, chromium

from nbstream.demo import DemoServer

_HERE = Path(__file__).parent
_count = itertools.count(1)
HOSTS = ("kernel", "relay")


def pytest_collection_modifyitems(items):
    """Mark everything in this folder."""
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Return a running JupyterLab."""
    lab = Lab(tmp_path_factory.mktemp("lab") / "home")
    yield lab
    lab.stop()
    relays.end_all(lab.home / "runtime")


# Not for the session: Playwright holds a running loop in this thread, and tests elsewhere start their own.
@pytest.fixture(scope="module")
def browser():
    """Return a running Chromium; without one the tests fail in CI and are skipped elsewhere."""
    if chromium() is None:
        why = "no Chromium found: install the package chromium (or google-chrome)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    with browsing() as browser:
        yield browser


@pytest.fixture
def demo():
    """Return a demo server that outlives every kernel and counts what it is asked."""
    with DemoServer() as server:
        yield server


@pytest.fixture(scope="session")
def aside(lab):
    """Return what does a thing while the next test begins: ending a kernel takes it a second."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def pytest_generate_tests(metafunc):
    """
    Run a test with one host of the recorder, drawn by the seed, or with those that it names by `host`.

    With both under `make soak`: a browser is slow, and what differs between hosts is tested without one.
    """
    if "host" in metafunc.fixturenames:
        only, seed = metafunc.definition.get_closest_marker("host"), os.environ["NBSTREAM_SEED"]
        drawn = random.Random(f"{seed} {metafunc.definition.nodeid}").choice(HOSTS)
        metafunc.parametrize("host", only.args if only else HOSTS if "NBSTREAM_SOAK" in os.environ else (drawn,))


@pytest.fixture
def notebook(lab, browser, tmp_path, aside, host):
    """Return a function that opens a notebook with these cells behind `%load_ext nbstream`, which has run."""
    tabs, load = [], f"{LOAD}\n%config NbStream.host = {host!r}"

    def open_notebook(*cells, **size):
        name = f"notebook-{next(_count)}.ipynb"
        lab.write(name, load, *cells)
        tab = Tab(browser, lab, name, **size)
        tabs.append(tab)
        tab.run(0, wait=True)
        return tab

    yield open_notebook
    for number, tab in enumerate(tabs):
        tab.page.screenshot(path=tmp_path / f"end-{number}.png")
        tab.close()
        aside.submit(lab.end_kernels, tab.name)

"""The walkthroughs: each runs as it is, and what one shows fails when the behaviour is switched off."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
every_notebook = pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
#: A cell takes 20 s at the most, on a machine that runs other tests as well.
CELL_S = 30
#: nbval looks at what cells raise; `jupyter execute` also sees the errors that IPython only prints.
WAYS = {
    "nbval": ["pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
              "--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_S}"],
    "execute": ["jupyter", "execute", f"--timeout={CELL_S}"],
}  # fmt: skip


class Off(NamedTuple):
    """A behaviour switched off by *patch*, and the cell whose assertion fails then; *cells* (None: all) lead to it."""

    notebook: str
    what: str
    fails: str
    patch: str
    cells: tuple[str, ...] | None = None


#: Whoever calls again does not say what it has.
NO_PLACE = """from nbstream.sources.http import answer as http
asks = http.answer
http.answer = lambda call, **place: asks(call, event_id="", offset=None)
"""
OFF = [
    Off(
        "03_network_cut", "no retry", "asked",
        "import nbstream.retry\nnbstream.retry.wait_s = lambda *args, **options: None",
    ),
    Off(
        "03_network_cut", "no Last-Event-ID", "only-missing",
        NO_PLACE,
    ),
    Off(
        "03_network_cut", "no Retry-After", "waits",
        "import nbstream.retry\n"
        "waits = nbstream.retry.wait_s\n"
        "nbstream.retry.wait_s = lambda *args, server_s=None, **options: waits(*args, **options)",
    ),
    Off(
        "04_stop_is_not_a_cut", "stop is taken for a cut", "stop-facts",
        "from nbstream.errors import SourceLost\n"
        "from nbstream.recorder.recorder import Recorder\n"
        "from nbstream.recorder.voice import Voice\n"
        "async def no_look(self): pass\n"
        "Recorder._stop_as_requested = no_look\n"
        "Voice.stop = lambda self: self._caller.call.cut(SourceLost('gone'))",
    ),
    Off(
        "04_stop_is_not_a_cut", "silence is taken for a cut", "silence-facts",
        "from nbstream.errors import SourceLost\n"
        "from nbstream.recorder.patience import Patience\n"
        "look = Patience.look\n"
        "Patience.look = lambda *args, **options: look(*args, **options) and SourceLost('silent')",
    ),
    Off(
        "04_stop_is_not_a_cut", "what was stopped goes on when its cell runs again", "again-facts",
        "from nbstream import host, rerun\n"
        "def decide(found, ask, **options):\n"
        "    goes_on = found and found.state == 'stopped' and not ask.fresh\n"
        "    return rerun.Act.RESUME if goes_on else rerun.decide(found, ask, **options)\n"
        "host.decide = decide",
    ),
    Off(
        "05_killed_kernel", "nothing on disk", "kernel-facts",
        "import os\nos.environ['NBSTREAM_STORE'] = 'memory:'",
    ),
    Off(
        "05_killed_kernel", "no Last-Event-ID", "kernel-again-facts",
        NO_PLACE,
    ),
    Off(
        "05_killed_kernel", "no relay", "relay-facts",
        "import os\nos.environ['NBSTREAM_HOST'] = 'kernel'",
    ),
    Off(
        "07_leaks", "no attaching to what runs", "key",
        "from nbstream import rerun\nrerun.decide = lambda *found, **where: rerun.Act.NEW",
        ("setup", "naive"),
    ),
    Off(
        "07_leaks", "no stop", "stop",
        "from nbstream.stream import Stream\nStream.stop = lambda self, agent=None: None",
        ("setup", "naive", "key"),
    ),
    Off(
        "07_leaks", "no limit on silence", "zombie",
        "from nbstream.recorder.patience import Patience\nPatience.look = lambda *call, **how: None",
        ("setup",),
    ),
    Off(
        "07_leaks", "no guard", "guard",
        "from nbstream import guard\nguard.faults = lambda standing, calling: []",
        ("setup",),
    ),
    Off(
        "07_leaks", "no lease", "leave",
        "from nbstream.lease import Lease\nLease.over = lambda self, now: False",
        ("setup", "reload"),
    ),
]  # fmt: skip


def pytest_generate_tests(metafunc):
    """Run a notebook in one of the two ways, drawn by the seed; in both under `make soak`."""
    if "way" in metafunc.fixturenames:
        drawn = random.Random(f"{os.environ['NBSTREAM_SEED']} {metafunc.definition.nodeid}")
        pairs = [
            (notebook, way)
            for notebook in sorted(NOTEBOOKS.glob("*.ipynb"))
            for way in (WAYS if "NBSTREAM_SOAK" in os.environ else (drawn.choice(list(WAYS)),))
        ]
        metafunc.parametrize(("notebook", "way"), pairs, ids=[f"{notebook.stem} {way}" for notebook, way in pairs])


@pytest.mark.soak
@pytest.mark.host("relay")  # the default; the notebooks choose themselves
def test_a_walkthrough_passes(home, tmp_path, notebook, way):
    """As for a user: every cell runs, and what is asserted in it holds."""
    ran = subprocess.run(
        [sys.executable, "-m", *WAYS[way], notebook],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.host("relay")
@pytest.mark.parametrize("off", OFF, ids=lambda off: f"{off.notebook[:2]} {off.what}")
def test_a_walkthrough_fails_without_what_it_shows(home, tmp_path, monkeypatch, off):
    """With the behaviour switched off the named cell fails, by its assertion, and none before it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what a notebook would tidy up at its end
    # In the relay and in child kernels too: each Python reads this as it starts.
    (tmp_path / "sitecustomize.py").write_text(off.patch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(NOTEBOOKS / f"{off.notebook}.ipynb", 4)
    ids = [cell.id for cell in notebook.cells]
    led = off.cells or ids[: ids.index(off.fails)]
    notebook.cells = [cell for cell in notebook.cells if cell.id in (*led, off.fails)]
    NotebookClient(notebook, timeout=60, allow_errors=True, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [(cell.id, one) for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    errors = [(cell, one) for cell, one in outputs if one.output_type == "error"]
    print(*(line for _, one in errors for line in one.traceback), sep="\n")
    assert [(cell, one.ename) for cell, one in errors] == [(off.fails, "AssertionError")]


@every_notebook
def test_a_walkthrough_is_kept_clean(notebook):
    """No outputs or counts in the file, every cell has an id of its own that says what it is."""
    cells = nbformat.read(notebook, 4).cells
    ran = [cell.id for cell in cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    assert ran == []
    assert len({cell.id for cell in cells}) == len(cells)
    assert [cell.id for cell in cells if not re.fullmatch("[a-z0-9-]+", cell.id)] == []

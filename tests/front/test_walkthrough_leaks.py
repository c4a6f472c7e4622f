"""Walkthrough 07 fails when what it shows is switched off. (nbval runs it as it is.)"""

import os
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "07_leaks.ipynb"


class Off(NamedTuple):
    """A behaviour switched off by *patch*, the cells that lead to it, and the last of them, which must fail then."""

    what: str
    patch: str
    cells: tuple[str, ...]


OFF = [
    Off(
        "attach",
        "from nbstream import rerun\nrerun.decide = lambda *found, **where: rerun.Act.NEW",
        ("setup", "naive", "key"),
    ),
    Off(
        "stop",
        "from nbstream.stream import Stream\nStream.stop = lambda self, agent=None: None",
        ("setup", "naive", "key", "stop"),
    ),
    Off(
        "limit on silence",
        "from nbstream.recorder.patience import Patience\nPatience.look = lambda *call, **how: None",
        ("setup", "zombie"),
    ),
    Off(
        "guard",
        "from nbstream import guard\nguard.faults = lambda standing, calling: []",
        ("setup", "guard"),
    ),
    Off(
        "lease",
        "from nbstream.lease import Lease\nLease.over = lambda self, now: False",
        ("setup", "reload", "leave"),
    ),
]


@pytest.mark.host("relay")  # the default
@pytest.mark.parametrize("off", OFF, ids=lambda off: off.what)
def test_the_walkthrough_fails_without_what_it_shows(home, tmp_path, off):
    """With the behaviour switched off, here, in the relay and in child kernels, its cell's assertion fails."""
    # What a notebook patches in its own process changes nothing in the others: each Python reads this as it starts.
    (tmp_path / "sitecustomize.py").write_text(off.patch)
    places = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    everywhere = f"import os\nos.environ['PYTHONPATH'] = {places!r}\n{off.patch}"
    notebook = nbformat.read(NOTEBOOK, 4)
    notebook.cells = [new_code_cell(everywhere, id="patch"), *(one for one in notebook.cells if one.id in off.cells)]
    NotebookClient(notebook, timeout=60, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [(cell.id, one) for cell in notebook.cells for one in cell.outputs]
    errors = [(cell, one) for cell, one in outputs if one.output_type == "error"]
    print(*(line for _, one in errors for line in one.traceback), sep="\n")
    assert [(cell, one.ename) for cell, one in errors] == [(off.cells[-1], "AssertionError")]

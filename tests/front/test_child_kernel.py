"""`ChildKernel` of `nbstream.testing`: what a walkthrough is told must be true."""

import os

import pytest

from nbstream.testing import ChildKernel


def test_a_child_kernel_runs_cells_and_dies_in_the_middle_of_one():
    """Cells have their id and notebook, `run` returns in the middle if asked to, errors are raised, kill kills."""
    where = "from nbstream.place import here\nprint(here().notebook, here().cell)"
    with ChildKernel("mine.ipynb") as kernel:
        assert kernel.run(where, cell="c7") == "mine.ipynb c7\n"
        with pytest.raises(RuntimeError, match="cell c1 raised ZeroDivisionError: division by zero"):
            kernel.run("1 / 0")
        pid = int(kernel.run("import os\nprint(os.getpid())"))
        endless = "import time\nwhile True:\n    print('x', end='', flush=True)\n    time.sleep(0.01)"
        assert set(kernel.run(endless, enough=20)) == {"x"}
        with pytest.raises(TimeoutError, match="is not done"):
            kernel.run("print('behind the endless one')", timeout_s=0.3)
        kernel.kill()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

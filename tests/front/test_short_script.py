"""A script that starts a stream and ends."""

import os
import subprocess
import sys

import pytest

import nbstream

SCRIPTS = {
    "an iterator": "import nbstream; nbstream.start(iter(['a', 'b']))",
    "a model in this process": "import nbstream; nbstream.start(nbstream.chat('rivers', model='demo:'), host='kernel')",
    "an endless iterator": "import itertools, nbstream; nbstream.start(itertools.repeat('a '))",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_that_ends_right_after_the_start_says_nothing(script, tmp_path):
    """It ends in silence, and its stream has an end: whatever came until then is saved with how it ended."""
    environment = {**os.environ, "NBSTREAM_HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    store = nbstream.open_store(str(tmp_path / "store"))
    try:
        (status,) = store.list()
        assert status.close is not None
        assert status.close.how in ("complete", "interrupted")
    finally:
        store.close()

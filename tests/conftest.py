"""What every test may ask for: the size of the run and the seed of its random choices."""

import os
import random
import shutil
import tempfile

import pytest


def pytest_addoption(parser):
    """Let `--soak` or NBSTREAM_SOAK=1 ask for the full numbers."""
    parser.addoption("--soak", action="store_true", help="run kill, fault and size tests at their full numbers")


def pytest_configure(config):
    """Choose the seed once, so that one line repeats a whole run, and keep the user's own streams out of it."""
    # Tests that want a relay say so: everything else is about the process it runs in.
    os.environ["NBSTREAM_HOST"] = "kernel"
    os.environ["NBSTREAM_HOME"] = tempfile.mkdtemp(prefix="nbstream-test-")
    config.add_cleanup(lambda: shutil.rmtree(os.environ["NBSTREAM_HOME"], ignore_errors=True))
    config.stash[SEED] = int(os.environ.get("NBSTREAM_SEED") or random.randrange(2**32))


def pytest_report_header(config):
    """Show the seed where a failed run is read first."""
    return f"nbstream: NBSTREAM_SEED={config.stash[SEED]}"


def pytest_collection_modifyitems(items):
    """Mark what has a larger number, so that `-m soak` runs just that."""
    for item in items:
        if "soak" in getattr(item, "fixturenames", ()):
            item.add_marker("soak")


@pytest.fixture(scope="session")
def soak(pytestconfig) -> bool:
    """Whether to run the big numbers."""
    return pytestconfig.getoption("--soak") or os.environ.get("NBSTREAM_SOAK", "0") not in {"", "0"}


@pytest.fixture
def seed(pytestconfig) -> int:
    """Return the seed of this run, printed: a failure shows how to repeat it."""
    value = pytestconfig.stash[SEED]
    print(f"repeat with NBSTREAM_SEED={value}")
    return value


SEED = pytest.StashKey[int]()

"""What every test may ask for: the size of the run and the seed of its random choices."""

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import relays


def pytest_addoption(parser):
    """Let `--soak` or NBSTREAM_SOAK=1 ask for the full numbers."""
    parser.addoption("--soak", action="store_true", help="run kill, fault and size tests at their full numbers")


def pytest_configure(config):
    """Choose the seed once, so that one line repeats a whole run, and keep the user's own streams out of it."""
    os.environ["NBSTREAM_HOME"] = tempfile.mkdtemp(prefix="nbstream-test-")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(Path(os.environ["NBSTREAM_HOME"]) / "runtime")
    config.add_cleanup(_tidy)
    # In the environment for the workers of a parallel run: they must agree on which tests there are.
    os.environ["NBSTREAM_SEED"] = os.environ.get("NBSTREAM_SEED") or str(random.randrange(2**32))
    if os.environ.get("NBSTREAM_SOAK", "0") in {"", "0"}:
        os.environ.pop("NBSTREAM_SOAK", None)
    if config.getoption("--soak"):
        os.environ["NBSTREAM_SOAK"] = "1"
    config.stash[SEED] = int(os.environ["NBSTREAM_SEED"])


def _tidy():
    home = Path(os.environ["NBSTREAM_HOME"])
    relays.end_all(home / "runtime")
    shutil.rmtree(home, ignore_errors=True)


def pytest_report_header(config):
    """Show the seed where a failed run is read first."""
    return f"nbstream: NBSTREAM_SEED={config.stash[SEED]}"


def pytest_collection_modifyitems(items):
    """Mark what has a larger number, so that `-m soak` runs just that."""
    for item in items:
        if "soak" in getattr(item, "fixturenames", ()):
            item.add_marker("soak")


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether to run the big numbers."""
    return "NBSTREAM_SOAK" in os.environ


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return a new certificate for this machine, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", place / "key.pem", "-out", place / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return place / "cert.pem", place / "key.pem"


@pytest.fixture
def seed(pytestconfig) -> int:
    """Return the seed of this run, printed: a failure shows how to repeat it."""
    value = pytestconfig.stash[SEED]
    print(f"repeat with NBSTREAM_SEED={value}")
    return value


SEED = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def redis_server():
    """Return a Redis that all tests of this process share; each `url()` is an empty store."""
    from redis_process import RedisProcess

    with RedisProcess() as server:
        yield server


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """Let recorders run in the process of the test: those that want a relay say so. (Notebooks run as for a user.)"""
    monkeypatch.setenv("NBSTREAM_HOST", "kernel")

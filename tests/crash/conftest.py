"""What the tests with real kernels share: a home, the front end, the store read from outside, servers."""

import pytest
from kernels import Kernels

from nbstream.demo import DemoServer
from nbstream.log.disk import open_disk_store
from nbstream.testing import FaultServer


def pytest_generate_tests(metafunc):
    """Run every test with both hosts of the recorder, unless it says by `host` that it is about one of them."""
    if "kernels" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("host")
        metafunc.parametrize("kernels", only.args if only else ("kernel", "relay"), indirect=True)


@pytest.fixture
def kernels(tmp_path, request):
    """
    Return the front end, whose kernels keep their streams in a home of this test.

    Where the relay is the host it dies with each kernel that is killed, so that the stream loses both at once.
    """
    with Kernels(tmp_path / "home", host=request.param) as kernels:
        yield kernels


@pytest.fixture
def store(tmp_path):
    """Return the store of that home, opened by this process."""
    store = open_disk_store(tmp_path / "home" / "store")
    yield store
    store.close()


@pytest.fixture
def demo():
    """Return a demo server that outlives every kernel."""
    with DemoServer() as server:
        yield server


@pytest.fixture
def faults():
    """Return a server that says what the test writes."""
    with FaultServer(max_connections=200) as server:
        yield server

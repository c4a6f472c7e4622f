"""The chain under test, and a home for relays, for every module of this folder."""

import pytest
import relays
from chain import Chain
from services import lines_of_token

from nbstream.log.stores import open_store
from nbstream.options import NbStream
from nbstream.runtime import runtime
from nbstream.testing import FaultServer


@pytest.fixture(scope="session")
def relay_home(tmp_path_factory):
    """Return a home whose relay serves all tests that have the relay for a host."""
    home = tmp_path_factory.mktemp("relay")
    yield home
    relays.end_all(home / "runtime")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a directory with a runtime directory of its own; its relays are ended when the test is."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path))
    yield tmp_path
    relays.end_all(tmp_path / "runtime")


@pytest.fixture(params=["kernel", "relay"])
def chain(tmp_path, monkeypatch, request):
    """Return a chain of its own, recorded in this process or in a relay; at its end no connection may be open."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NBSTREAM_STORE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    home = tmp_path
    if request.param == "relay":
        home = request.getfixturevalue("relay_home")
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))
    monkeypatch.setenv("NBSTREAM_HOST", request.param)
    monkeypatch.setenv("NBSTREAM_HOME", str(home))
    NbStream.clear_instance()
    with FaultServer() as server:
        yield Chain(server, home)
        server.wait_closed(1.0)
    open_store().close()
    NbStream.clear_instance()


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Return a function that makes this process a user's kernel of a relay."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("NBSTREAM_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("NBSTREAM_HOST", raising=False)

    def become(relay, token):
        monkeypatch.setenv("NBSTREAM_RELAY", relay if isinstance(relay, str) else relay.url)
        monkeypatch.setenv("NBSTREAM_RELAY_TOKEN", token)
        NbStream.clear_instance()

    yield become
    runtime().close()
    open_store().close()
    NbStream.clear_instance()
    assert not list((tmp_path / "runtime").glob("*")), "no relay was started here"


@pytest.fixture
def alice():
    """Return a token, and its lines."""
    return lines_of_token("alice", live=20, starts_a_minute=1000)

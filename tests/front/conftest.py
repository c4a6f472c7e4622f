"""What the tests of the front share: a home of their own, an IPython in this process, servers."""

import sys

import pytest
import relays
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbstream import place
from nbstream.log.stores import open_store
from nbstream.options import NbStream
from nbstream.runtime import runtime
from nbstream.testing import FaultServer


def pytest_generate_tests(metafunc):
    """Run every test that has a home with both hosts of the recorder, unless it says that it is about one of them."""
    if "home" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("host")
        metafunc.parametrize("home", only.args if only else ("kernel", "relay"), indirect=True)


@pytest.fixture
def home(tmp_path, monkeypatch, request):
    """
    Return the NBSTREAM_HOME of this test, with no option, key or proxy of the machine around it.

    With a relay, which what has an address or a model's name is recorded in: that is the default.
    """
    monkeypatch.setenv("NBSTREAM_HOST", {"kernel": "kernel", "relay": "auto"}[request.param])
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY", "NBSTREAM_STORE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("NBSTREAM_HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NbStream.clear_instance()
    yield home
    runtime().close()
    relays.end_all(tmp_path / "runtime")
    NbStream.clear_instance()


@pytest.fixture
def store(home):
    """Return the store that the streams of this test are saved in."""
    store = open_store()
    yield store
    runtime().close()
    store.close()


@pytest.fixture
def server():
    """Return a server that says what the test writes; at the end no connection may be open."""
    with FaultServer() as server:
        yield server
        server.wait_closed(2.0)


class Cells:
    """An IPython that runs cells and says what a user sees."""

    def __init__(self, shell, capsys) -> None:
        self.shell, self._capsys = shell, capsys

    def __call__(self, cell: str) -> str:
        """Run *cell*; return all it printed, errors too."""
        self._capsys.readouterr()
        self.shell.run_cell(cell)
        out, err = self._capsys.readouterr()
        return out + err

    def line(self, cell: str) -> str:
        """Run *cell*; return what it printed, which must be one line without a traceback."""
        said = self(cell).strip("\n")
        assert len(said.splitlines()) == 1, said
        return said


@pytest.fixture
def ipython(store, capsys, monkeypatch):
    """Return an IPython in this process, without the extension."""
    before = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config, colors="nocolor")
    monkeypatch.setattr(place, "_COUNTS", {})
    yield Cells(shell, capsys)
    if "nbstream" in shell.extension_manager.loaded:
        shell.extension_manager.unload_extension("nbstream")
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = before


@pytest.fixture
def cells(ipython):
    """Return an IPython in this process, with the extension."""
    assert ipython("%load_ext nbstream") == ""
    return ipython

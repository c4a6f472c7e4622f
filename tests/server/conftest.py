"""The chain under test, for every module of this folder."""

import pytest
from chain import Chain

from nbstream.log.stores import open_store
from nbstream.testing import FaultServer


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Return a chain of its own; at its end no connection may be open."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NBSTREAM_STORE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path))
    with FaultServer() as server:
        yield Chain(server, tmp_path)
        server.wait_closed(1.0)
    open_store().close()

"""`RelayProcess`: a relay that nobody else finds, and that leaves nothing behind."""

import os
from pathlib import Path

import httpx
import pytest

from nbstream.log.stores import open_store
from nbstream.testing import RelayProcess


@pytest.mark.host("relay")
def test_a_relay_of_ones_own(home):
    """It answers whoever has its token, records into its own store, and is gone with its files at the end."""
    with RelayProcess() as relay:
        assert httpx.get(f"{relay.url}/v1/streams").status_code == 401
        asked = {"source": {"prompt": "rivers", "params": {"max_tokens": 10, "tokens_per_s": 0}}}
        stream = httpx.post(f"{relay.url}/v1/streams", headers=relay.headers, json=asked).json()["id"]
        listed = httpx.get(f"{relay.url}/v1/streams", headers=relay.headers).json()["streams"]
        assert [one["id"] for one in listed] == [stream]
        store = Path(httpx.get(f"{relay.url}/healthz", headers=relay.headers).json()["store"])
        assert store.is_dir()
        os.kill(relay.pid, 0)
    assert open_store().list() == []
    assert not store.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(relay.pid, 0)

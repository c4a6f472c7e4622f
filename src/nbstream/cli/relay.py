"""`nbstream relay`: records streams for notebooks whose kernels come and go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nbstream.errors import RelayError
from nbstream.log.home import store_directory
from nbstream.log.stores import MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(store: str | None, *, bind: str, port: int, exit_after_s: float, allow_hosts: Sequence[str]) -> int:
    """Be the relay of the store in the directory *store* (None: the user's) until nobody needs it; say where it is."""
    from nbstream.relay.serving import serve

    return serve(_directory(store), host=bind, port=port, exit_after_s=exit_after_s, allow_hosts=allow_hosts)


def end(store: str | None) -> int:
    """End the relays of a store, hung ones too; the streams they record are interrupted, what came is kept."""
    from nbstream.relay import process

    ended = process.end(_directory(store))
    for relay in ended:
        print(f"ended the relay at {relay.url} (process {relay.pid}, nbstream {relay.version})")
    if not ended:
        print("no relay of this store runs")
    return 0


def _directory(store: str | None) -> Path:
    url = store or os.environ.get("NBSTREAM_STORE") or str(store_directory())
    if url == MEMORY:
        raise RelayError("a relay needs a store on disk, which other processes can open too")
    return Path(url)

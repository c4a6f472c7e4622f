"""Which store a process uses: one object per address, opened on first use."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nbstream.errors import NoStore
from nbstream.log.memory import MemoryStore

if TYPE_CHECKING:
    from nbstream.log.contract import Store

_stores: dict[str, Store] = {}
_lock = threading.Lock()

#: The store of `--no-save`: gone with the process.
MEMORY = "memory:"
#: How the address of a Redis is written.
_REDIS = {"redis": "redis://HOST:PORT/0", "rediss": "rediss://HOST:PORT/0", "unix": "unix:///PATH"}


def open_store(url: str | None = None) -> Store:
    """
    Return the store at *url*: the same object for the same address, until somebody closes it.

    Args:
        url: None for the one of this user (`NBSTREAM_STORE`, else a directory of the user's cache, `NBSTREAM_HOME`
            moves it), `memory:` for one that ends with the process, the path of a directory, or the address of a Redis:
            `redis://`, `rediss://` or `unix://` (`pip install redis`).

    Raises:
        NoStore: It is none of these.
        StoreFull: The directory cannot be written; Redis cannot be reached, or refuses us.
        LogDamaged: What is there is no store of ours.
    """
    from nbstream.log.home import store_directory

    url = url or os.environ.get("NBSTREAM_STORE") or str(store_directory())
    with _lock:
        store = _stores.get(url)
        if store is None or store.closed:
            store = _stores[url] = _open(url)
        return store


def is_redis(url: str) -> bool:
    """Whether *url* is the address of a Redis; raises `NoStore` for a slip in one, which would name a directory."""
    kind, mark, rest = url.partition(":")
    form = _REDIS.get(kind.lower()) if mark else None
    # The rest may hold a password.
    if form is not None and not rest.startswith("//"):
        msg = f"{kind}:... is no address: write {form} (a directory of that name: ./{kind}:...)"
        raise NoStore(msg)
    if form is None and rest.startswith("//"):
        known = ", ".join(f"{one}://" for one in _REDIS)
        msg = f"unknown kind of store {kind}://: use a directory, {MEMORY}, {known}"
        raise NoStore(msg)
    return form is not None


def name_of(store: Store) -> str:
    """Return where *store* lies, as a user would name it, without a password."""
    return str(getattr(store, "directory", None) or getattr(store, "address", MEMORY))


def _open(url: str) -> Store:
    if url == MEMORY:
        return MemoryStore()
    if is_redis(url):
        return _open_redis(url)
    from nbstream.log.disk import open_disk_store

    return open_disk_store(Path(url))


def _open_redis(url: str) -> Store:
    try:
        from nbstream.log.redis import open_redis_store
    except ModuleNotFoundError as exc:
        if exc.name != "redis":
            raise
        msg = "a store in Redis needs the package redis: pip install redis"
        raise NoStore(msg) from None
    try:
        return open_redis_store(url)
    except ValueError as exc:
        raise NoStore(str(exc)) from None  # whose frames may hold a password

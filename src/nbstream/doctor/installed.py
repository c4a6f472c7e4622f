"""What is installed: versions, the store, a relay; and what to do where something is wrong."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import nbstream
from nbstream.doctor import remote
from nbstream.doctor.check import Check
from nbstream.doctor.durability import crash_of_redis
from nbstream.errors import StreamError

#: Bytes written to see that the store can be written: one transaction is about as long.
PROBE = 64 * 1024


def checks() -> list[Check]:
    """Look at the versions of what nbstream runs on, and at the store."""
    return [
        Check("nbstream", nbstream.__version__),
        Check("python", f"{platform.python_version()} ({sys.executable})"),
        ipykernel(_version("ipykernel")),
        *(_judged(name, _version(name)) for name in ("ipywidgets", "anywidget", "httpx", "httpx-sse", "diskcache")),
        _jupyterlab(),
        *_store(),
        *_relays(),
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def ipykernel(version: str | None) -> Check:
    """Judge a version of ipykernel."""
    check = _judged("ipykernel", version)
    numbers = check.found.split(".")
    # 7.0 raises LookupError when a thread sends a widget message, and all our messages come from a thread.
    if version and (numbers[:2] == ["7", "0"] or int(numbers[0]) < 6):
        return Check(check.name, check.found, 'does not work with nbstream; pip install --upgrade "ipykernel!=7.0.*"')
    return check


def _judged(name: str, version: str | None) -> Check:
    return Check(name, version) if version else Check(name, "not installed", f"pip install {name}")


def _jupyterlab() -> Check:
    version = _version("jupyterlab")
    if version is None:
        # It may well live in another environment than the kernel.
        return Check("jupyterlab", "not here (for `nbstream demo`: pip install jupyterlab)")
    if _version("jupyterlab-widgets") is None:
        return Check("jupyterlab", version, "cannot show widgets; pip install jupyterlab-widgets")
    return Check("jupyterlab", version)


def _store() -> list[Check]:
    from nbstream.log.disk import DiskStore
    from nbstream.log.memory import MemoryStore
    from nbstream.log.stores import name_of, open_store
    from nbstream.options import options

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            store = open_store(options().store or None)
        except (StreamError, ValueError) as exc:
            return [Check("store", "cannot be used", str(exc))]
    if isinstance(store, MemoryStore):
        return [Check("store", "in memory: streams end with their process")]
    found = store.list()
    live = sum(status.live for status in found)
    advice = "; ".join(str(one.message) for one in warned)
    if isinstance(store, DiskStore):
        place = _directory(store.directory, advice)
    else:
        place = Check("store", name_of(store), warning=crash_of_redis(store))
    return [place, Check("streams", f"{len(found)} saved, {live} live")]


def _relays() -> list[Check]:
    from nbstream.log.disk import DiskStore
    from nbstream.log.stores import open_store
    from nbstream.options import options
    from nbstream.relay.address import every

    try:
        store = open_store(options().store or None)
    except (StreamError, ValueError):
        return []  # said above
    if options().relay:
        return [remote.relay(store)]
    running = list(every(store.directory)) if isinstance(store, DiskStore) else []
    found = ", ".join(f"process {one.pid} at {one.url} (nbstream {one.version})" for one in running)
    return [Check("relay", found or "none runs; the first stream that needs one starts it")]


def _directory(directory: Path, advice: str) -> Check:
    from nbstream.log.home import _mounts, filesystem

    free = shutil.disk_usage(directory).free
    kind = filesystem(directory, _mounts()) or "unknown file system"
    found = f"{directory} ({kind}, {free / 1e9:,.1f} GB free)"
    try:
        # A read-only or full disk can still be read, so the store opens; writing tells.
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(PROBE))
    except OSError as exc:
        return Check("store", found, f"cannot be written ({exc.strerror}); make room, or set NBSTREAM_HOME")
    return Check("store", found, advice)

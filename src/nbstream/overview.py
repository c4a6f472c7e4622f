"""What runs now and what it uses: this kernel, its relay, its pages. For `%stream status`, and for who runs a class."""

from __future__ import annotations

from concurrent.futures import TimeoutError as LateError
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nbstream import monitor
from nbstream.errors import StreamError
from nbstream.log.disk import DiskStore
from nbstream.log.stores import open_store
from nbstream.options import options
from nbstream.place import here
from nbstream.relay.process import find
from nbstream.relay.reach import reach_of
from nbstream.runtime import runtime
from nbstream.shutdown import for_good

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.log.contract import Store


def usage() -> dict[str, dict[str, Any] | None]:
    """
    Return what kernel, relay and pages use, as `{"kernel": {...}, "relay": {...} or None, "page": {...}}`.

    Bytes are bytes, totals count since the process began. No relay is started for it.
    """
    store = open_store(options().store or None)
    kernel = asdict(monitor.usage(runtime(), store))
    kernel["warning"] = runtime().warning
    return {"kernel": kernel, "relay": _relay(store), "page": runtime().pages()}


def on_excess(callback: Callable[[monitor.Usage], object]) -> Callable[[], None]:
    """
    Call *callback* with the usage whenever this process crosses one of its bounds; returns the end of that.

    Bounds: 64 live streams, 64 upstream connections, and `%config NbStream.memory_mb` (0: none). It is called on
    nbstream's own thread and must not block. The same warning stands in the state line of every live stream.
    """
    bounds = monitor.Bounds(resident_mb=options().memory_mb or None)
    return monitor.watch(runtime(), bounds).on_excess(callback)


def lines() -> list[str]:
    """Return `usage` in words, one line each."""
    found = usage()
    return [f"{name:7} {_words(used) if used else 'none runs'}" for name, used in found.items()]


def _relay(store: Store) -> dict[str, Any] | None:
    if not isinstance(store, DiskStore):
        return None
    address, reach = find(store.directory), reach_of(store, here().holder, for_good)
    if address is None or reach is None:
        return None
    try:
        return reach.do(reach.client(address).health())
    except (StreamError, LateError) as exc:
        return {"pid": address.pid, "error": str(exc)}


def _words(used: dict[str, Any]) -> str:
    told = {
        name.removesuffix("_bytes").replace("_", " "): _said(name, value)
        for name, value in used.items()
        if name != "ok"
    }
    return ", ".join(f"{name} {value}" for name, value in told.items() if value)


def _said(name: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{value / monitor.MB:,.1f} MB" if name.endswith("_bytes") else str(value)

"""How the relay is: for a client that asks (`/healthz`) and for Prometheus (`/metrics`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nbstream.monitor import usage
from nbstream.relay.address import PROTOCOL
from nbstream.version import __version__

if TYPE_CHECKING:
    from nbstream.relay.http.activity import Activity
    from nbstream.relay.service import Service

#: Of the text format of Prometheus.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Name, kind and meaning of what is counted; the names are those of `health`.
METRICS = (
    ("live", "gauge", "nbstream_live_streams", "Streams whose call is under way."),
    ("upstream", "gauge", "nbstream_upstream_connections", "Open connections to models and other sources."),
    ("readers", "gauge", "nbstream_readers", "Open event streams and waiting polls."),
    ("connections", "gauge", "nbstream_connections", "Open connections of clients."),
    ("resident_bytes", "gauge", "nbstream_resident_bytes", "Memory of the process."),
    ("log_bytes", "gauge", "nbstream_log_bytes", "What all streams of the store take."),
    ("retries", "counter", "nbstream_retries_total", "Calls that were made again after a loss."),
    ("stalls", "counter", "nbstream_stalls_total", "Silences of which the user was asked."),
    ("leaks_closed", "counter", "nbstream_leaks_closed_total", "Upstream connections closed by the guard."),
)


def health(service: Service, activity: Activity) -> dict[str, Any]:
    """Return how the relay is. Blocks for a moment."""
    used, store = usage(service.runtime, service.store), service.store
    return {
        "version": __version__, "protocol": PROTOCOL, "pid": os.getpid(),
        "store": str(getattr(store, "directory", getattr(store, "address", "memory:"))),
        "live": used.live, "upstream": used.upstream, "readers": activity.readers, "connections": activity.connections,
        "resident_bytes": used.resident_bytes, "log_bytes": used.log_bytes,
        "retries": used.retries, "stalls": used.stalls, "leaks_closed": used.leaks_closed,
    }  # fmt: skip


def prometheus(health: dict[str, Any]) -> str:
    """Return the numbers of *health* as Prometheus reads them."""
    lines = [
        "# HELP nbstream_info The relay that answers.", "# TYPE nbstream_info gauge",
        f'nbstream_info{{version="{health["version"]}",protocol="{health["protocol"]}"}} 1',
    ]  # fmt: skip
    for key, kind, name, meaning in METRICS:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", f"{name} {health[key]}"]
    return "\n".join(lines) + "\n"

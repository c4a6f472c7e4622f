"""`nbstream relay`: records streams for notebooks whose kernels come and go."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbstream.errors import RelayError
from nbstream.log.home import store_directory
from nbstream.log.stores import MEMORY, is_redis

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(store: str | None, *, bind: str, port: int, exit_after_s: float, allow_hosts: Sequence[str]) -> int:
    """Be the relay of the store in the directory *store* (None: the user's) until nobody needs it; say where it is."""
    from nbstream.relay.serving import serve

    return serve(_directory(store), host=bind, port=port, exit_after_s=exit_after_s, allow_hosts=allow_hosts)


def run_for_users(
    store: str | None,
    *,
    bind: str,
    port: int | None,
    tokens: str,
    upstreams: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    behind_proxy: bool,
    allow_hosts: Sequence[str],
    drain_s: float,
) -> int:
    """Be a relay for the users in the file *tokens*, until a signal."""
    if upstreams is None:
        raise RelayError(
            "--tokens without --upstreams: name the file that lists which servers may be called; without it users could"
            " reach everything that this machine can"
        )
    from nbstream.relay.hub.serving import Hub, serve

    host, named = _host_and_port(bind)
    if named is not None and port:
        raise RelayError(f"--bind {bind} names a port already: leave --port away")
    return serve(
        Hub(
            host, named if named is not None else port or 0, Path(tokens), Path(upstreams),
            store=store, tls_cert=_path(tls_cert), tls_key=_path(tls_key), behind_proxy=behind_proxy,
            allow_hosts=tuple(allow_hosts), drain_s=drain_s,
        )
    )  # fmt: skip


def make_token(user: str, scopes: str) -> int:
    """Print the lines for the file of tokens on stdout, and on stderr the token itself, which nobody can see again."""
    from nbstream.relay.hub.tokens import make_token

    token, lines = make_token(user, [scope.strip() for scope in scopes.split(",")])
    print(lines)
    print(f"The token of {user}, shown only now: {token}", file=sys.stderr)
    return 0


def end(store: str | None) -> int:
    """End the relays of a store, hung ones too; the streams they record are interrupted, what came is kept."""
    from nbstream.relay import process

    ended = process.end(_directory(store))
    for relay in ended:
        print(f"ended the relay at {relay.url} (process {relay.pid}, nbstream {relay.version})")
    if not ended:
        print("no relay of this store runs")
    return 0


def _host_and_port(bind: str) -> tuple[str, int | None]:
    """Return what `--bind` says: ADDR, ADDR:PORT, or [IPv6]:PORT."""
    if bind.startswith(":") and bind[1:].isdigit():
        raise RelayError(f"--bind {bind} names no address: 127.0.0.1{bind} is this machine, 0.0.0.0{bind} its networks")
    found = re.fullmatch(r"\[([^]]+)\](?::(\d+))?|([^:]+):(\d+)", bind)
    if found is None:
        return bind, None
    port = found[2] or found[4]
    if port is not None and not int(port) < 1 << 16:
        raise RelayError(f"--bind {bind}: a port is a number up to 65535")
    return found[1] or found[3], int(port) if port is not None else None


def _path(given: str | None) -> Path | None:
    return Path(given) if given is not None else None


def _directory(store: str | None) -> Path:
    url = store or os.environ.get("NBSTREAM_STORE") or str(store_directory())
    if url == MEMORY:
        raise RelayError("a relay needs a store on disk, which other processes can open too")
    if is_redis(url):
        raise RelayError("a store in Redis is for a relay with --tokens; one for this machine alone takes --store DIR")
    return Path(url)

"""
Where a relay listens: its runtime file, written by the relay when it serves, read by whoever looks for one.

The file holds the token, so only its user may read it. It names host, boot and start of the process: a directory may be
shared by machines, and a number of a process is used again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from nbstream.errors import RelayError
from nbstream.log.life import process_start
from nbstream.recording import boot_id
from nbstream.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Version of the HTTP interface, docs/protocol.md.
PROTOCOL: Final = 1


@dataclass(frozen=True)
class Address:
    """
    A relay that serves, or did.

    `started` is the moment its process began, in seconds since the machine did. With `proves` off (somebody else
    vouches for the address, TLS for instance) the token goes there unasked.
    """

    url: str
    token: str = field(repr=False)
    pid: int
    version: str
    host: str
    boot: str
    started: float
    proves: bool = True

    @property
    def remote(self) -> bool:
        """Whether it was named by its user: a service, of which no process here is known."""
        return not self.pid

    @property
    def netloc(self) -> str:
        """Host and port in `url`, as HTTP names them."""
        return urlsplit(self.url).netloc

    @property
    def port(self) -> int:
        """The port in `url`."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def alive(self) -> bool:
        """Whether that very process still runs, on this machine; of one elsewhere nobody here can tell."""
        return self.remote or (
            (self.host, self.boot) == (platform.node(), boot_id()) and process_start(self.pid) == self.started
        )


def our_address(url: str) -> Address:
    """Return the address of a relay that this process is, with a token drawn anew."""
    pid = os.getpid()
    return Address(
        url=url, token=secrets.token_urlsafe(32), pid=pid, version=__version__,
        host=platform.node(), boot=boot_id(), started=process_start(pid) or 0.0,
    )  # fmt: skip


def proof(token: str, port: int, nonce: str) -> str:
    """
    Return what only a relay that has *token* and listens on *port* can answer to *nonce*.

    Without the port somebody on the relay's old one could ask the relay on its new one, and pass the answer on.
    """
    message = b"nbstream-relay\0%d\0%s" % (port, nonce.encode())
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def runtime_file(directory: Path, version: str | None = None) -> Path:
    """
    Return the file for the relay of the store in *directory*, of our version of nbstream or another.

    Two machines that share a home directory have a file each.
    """
    version = version or __version__
    return _runtime_directory() / f"{_stem(directory)}-{PROTOCOL}-{version}.json"


def find(directory: Path) -> Address | None:
    """Return the relay of the store in *directory* that is of our version, if one runs."""
    return _alive(runtime_file(directory))


def holding(directory: Path, pid: int) -> Address | None:
    """Return the relay with this process id, of any version, if it serves the store in *directory*."""
    return next((one for one in every(directory) if one.pid == pid), None)


def every(directory: Path) -> Iterator[Address]:
    """Yield the relays of all versions that run for the store in *directory*."""
    for file in _runtime_directory().glob(f"{_stem(directory)}-*.json"):
        address = _alive(file)
        if address is not None:
            yield address


def publish(address: Address, directory: Path) -> None:
    """
    Let everybody find *address*, whole or not at all; what dead relays of this store left is removed.

    Raises `OSError`, and `RelayError` where the file would not be private.
    """
    file = runtime_file(directory)
    for old in file.parent.glob(f"{_stem(directory)}-*.json"):
        if old != file and _alive(old) is None:
            old.unlink(missing_ok=True)
            old.with_suffix(".log").unlink(missing_ok=True)
    draft = file.with_suffix(f".{address.pid}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            if os.fstat(out.fileno()).st_mode & 0o077:
                raise RelayError(
                    f"{file.parent} keeps no file private; set JUPYTER_RUNTIME_DIR to a directory that does"
                )
            json.dump(asdict(address), out)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def withdraw(address: Address, directory: Path) -> None:
    """Let nobody find *address* any more; a file that another relay wrote meanwhile stays."""
    file = runtime_file(directory, address.version)
    if _read(file) == address:
        file.unlink(missing_ok=True)


def _runtime_directory() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())


def _stem(directory: Path) -> str:
    name = f"{platform.node()}\0{directory.resolve()}"
    return f"nbstream-relay-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _alive(file: Path) -> Address | None:
    address = _read(file)
    return address if address is not None and address.alive else None


def _read(file: Path) -> Address | None:
    """Return what stands in a runtime file; one that is damaged or another user's counts as none."""
    try:
        with file.open(encoding="utf-8") as source:
            if os.fstat(source.fileno()).st_uid != os.getuid():
                return None
            found: dict[str, Any] = json.load(source)
        return Address(
            url=str(found["url"]), token=str(found["token"]), pid=int(found["pid"]), version=str(found["version"]),
            host=str(found["host"]), boot=str(found["boot"]), started=float(found["started"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None

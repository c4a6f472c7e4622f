"""The relay as a process: found, started on demand, ended. Ten that need one at once start one."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from nbstream.errors import RelayError
from nbstream.log.home import private
from nbstream.relay.address import every, find, holding, runtime_file
from nbstream.sources.redaction import holds_key, is_secret_name

if TYPE_CHECKING:
    from nbstream.relay.address import Address

__all__ = ["end", "ensure", "find", "holding"]

#: How long a relay that was told to end may take before it is killed: it needs 5 s at most.
END_S: Final = 6.0
#: Where programs, libraries and files are, which language is spoken, how the network is reached, and our own options.
_NEEDED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|TEMP|TMP|TZ|LANG|LC_\w+|LANGUAGE|VIRTUAL_ENV|SSL_\w+|REQUESTS_CA_BUNDLE"
    r"|(?:PYTHON|CONDA_|LD_|DYLD_|XDG_|JUPYTER_|NBSTREAM_)\w*|(?:HTTP|HTTPS|ALL|NO)_PROXY",
    re.IGNORECASE,
)
#: How much of the log is read for the reason why a relay did not start.
_REASON_BYTES: Final = 4096


async def ensure(directory: Path | None, *, timeout_s: float = 10.0) -> Address:
    """
    Return the relay of our version for the store in *directory*, started if need be.

    Raises `RelayError` with one line that says why there is none.
    """
    if directory is None:
        raise RelayError("this store has no relay of this machine; NBSTREAM_RELAY names one that serves it")
    return await asyncio.to_thread(_find_or_start, directory, timeout_s)


def end(directory: Path) -> list[Address]:
    """End every relay of the store in *directory*, of whatever version; what does not listen is killed."""
    relays = list(every(directory))
    for relay in relays:
        _signal(relay, signal.SIGTERM)
    until = time.monotonic() + END_S
    for relay in relays:
        while relay.alive and time.monotonic() < until:
            time.sleep(0.02)  # not our child: nothing tells when
        _signal(relay, signal.SIGKILL)
    return relays


def _find_or_start(directory: Path, timeout_s: float) -> Address:
    found = find(directory)
    if found is not None:
        return found
    file, until = runtime_file(directory), time.monotonic() + timeout_s
    try:
        private(file.parent)
        with FileLock(file.with_suffix(".lock"), timeout_s, mode=0o600).acquire(poll_interval=0.02):
            # Somebody else may have started it while we waited.
            return find(directory) or _start(directory, file.with_suffix(".log"), until - time.monotonic())
    except Timeout:
        raise RelayError(f"another process has been starting the relay for {timeout_s:g} s; try again") from None
    except OSError as exc:
        raise RelayError(f"the relay cannot be started ({exc}); set JUPYTER_RUNTIME_DIR to a writable place") from exc


def _start(directory: Path, log: Path, timeout_s: float) -> Address:
    """Start a relay and wait until it serves: it then says a line, closing its output without one it has failed."""
    if not sys.executable:
        raise RelayError("the relay cannot be started: this Python does not know its own program")
    command = [sys.executable, "-m", "nbstream", "relay", "--store", str(directory)]
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        # In a session of its own: a signal to the kernel's process group does not reach it. It keeps no directory busy.
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd="/",
            env=_environment(log.parent), start_new_session=True, umask=0o077,
        )  # fmt: skip
    finally:
        os.close(errors)
    # Until this process ends, its child is a zombie unless somebody waits for it.
    threading.Thread(target=process.wait, name="nbstream-relay", daemon=True).start()
    assert process.stdout is not None  # noqa: S101 - a pipe, as ordered
    with process.stdout as said:
        ear = select.poll()  # not `select`: a kernel may have more than 1024 files open
        ear.register(said, select.POLLIN)
        ready = bool(ear.poll(timeout_s * 1000))
        if ready:
            said.readline()
    found = find(directory)
    if found is not None:
        return found  # ours, or one that somebody started by hand just now
    process.kill()  # what cannot be found must not be left running
    reason = _last_line(log) if ready else f"it does not answer after {timeout_s:g} s"
    raise RelayError(f"the relay did not start: {reason}")


def _environment(runtime: Path) -> dict[str, str]:
    """
    Return of our environment what a Python that makes connections needs.

    Any other variable may hold a key, whatever its name: keys come with the requests that need them.
    """
    kept = {
        name: value for name, value in os.environ.items()
        if _NEEDED.fullmatch(name) and not is_secret_name(name) and not holds_key(value)
    }  # fmt: skip
    # The child starts in another directory, and may not find the package where we did.
    ours = Path(__file__).parents[2]
    # So may what we take for a directory of our own.
    kept["JUPYTER_RUNTIME_DIR"] = str(runtime.absolute())
    paths = [str(Path(path).absolute()) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    if ours.name not in ("site-packages", "dist-packages"):
        paths.append(str(ours))
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)} if paths else kept


def _last_line(log: Path) -> str:
    told = log.read_bytes()[-_REASON_BYTES:].decode("utf-8", "replace").strip()
    return told.rpartition("\n")[2].removeprefix("nbstream: ") or f"it ended without a word; see {log}"


def _signal(relay: Address, number: int) -> None:
    if relay.alive:
        with suppress(ProcessLookupError):
            os.kill(relay.pid, number)

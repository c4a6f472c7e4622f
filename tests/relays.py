"""The relays that the processes of a test started: found by their runtime files, ended by their ids."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

END_S = 10.0


def pids(runtime: Path) -> list[int]:
    """Return the ids of the relays that live, by the files in the runtime directory."""
    found = []
    for file in runtime.glob("nbstream-relay-*.json"):
        with suppress(OSError, ValueError):
            found.append(int(json.loads(file.read_text())["pid"]))
    return [pid for pid in found if lives(pid)]


def lives(pid: int) -> bool:
    """
    Whether anything of the process is there.

    Its first thread is a zombie as soon as that has ended; until the last one has, files are open and locks held.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False
    return threads > 1 or stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """End one relay and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    until = time.monotonic() + END_S
    while lives(pid):
        assert time.monotonic() < until, f"relay {pid} does not end"
        time.sleep(0.005)


def end_all(runtime: Path) -> None:
    """End every relay of this runtime directory."""
    for pid in pids(runtime):
        kill(pid)


@contextmanager
def serving(place: Path) -> Iterator[dict[str, str]]:
    """Run `nbstream relay` by hand; yields its user's environment, with the `RELAY` and `TOKEN` of docs/protocol.md."""
    runtime = place / "runtime"
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime), "NBSTREAM_HOME": str(place / "home")}
    command = [sys.executable, "-m", "nbstream", "relay", "--store", str(place / "store")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with process.stdout as said:
            assert said.readline().startswith(b"nbstream relay of ")
        (file,) = runtime.glob("nbstream-relay-*.json")
        found = json.loads(file.read_text())
        yield {**environment, "RELAY": found["url"], "TOKEN": found["token"]}
    finally:
        process.terminate()
        process.wait(END_S)

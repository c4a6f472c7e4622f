"""Which process writes, told so that another one on the same machine can see at once that it is dead."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc/self/stat")


def identity() -> str:
    """
    Return this process as `boot namespace pid start`: two machines, or two containers, never look the same.

    Where a system does not tell them apart (not Linux) it is "-", and nobody can say of it that it is dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {_namespace()} {os.getpid()} {process_start(os.getpid())}"
    except OSError:
        return "-"


def is_dead(who: str) -> bool:
    """Say whether the process of an `identity` is known to be dead; False where it cannot be seen from here."""
    fields, ours = who.split(), identity().split()
    if len(fields) != 4 or fields[:2] != ours[:2] or not fields[2].isdecimal():
        return False
    return str(process_start(int(fields[2]))) != fields[3]


def process_start(pid: int) -> float | None:
    """Return when the process *pid* began, in seconds since the machine did; None if it is gone, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None if _PROC.exists() else _start_without_proc(pid)
    fields = stat.rpartition(b")")[2].split()  # the name before it may hold blanks
    return None if fields[0] in (b"Z", b"X") else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _start_without_proc(pid: int) -> float | None:
    """Not on Linux: all that can be told is whether a process has this number."""
    with suppress(OSError):
        os.kill(pid, 0)
        return 0.0
    return None

"""
The writer's hold on a stream: an operating system lock on a file, which ends with the process that holds it.

The files lie in `locks/` inside the store's directory. One is removed only by who holds it, together with its stream;
whoever gets a lock on a removed file finds the stream gone.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from filelock import FileLock, Timeout

#: A prober holds the lock for microseconds; a writer that tries this long meets only other writers.
PATIENCE_S = 0.5


class HeldLock:
    """One held lock."""

    def __init__(self, files: LockFiles, stream: str, lock: FileLock) -> None:
        self._files = files
        self._stream = stream
        self._lock = lock

    def release(self) -> None:
        """See `Lock.release`."""
        self._files.forget(self._stream, self)
        self._lock.release()

    def remove(self) -> None:
        """Remove the file and let go, in this order: a file that nobody holds is never removed."""
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self.release()


class LockFiles:
    """The locks of one store, and which of them this process holds. Safe to use from any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ours: dict[str, HeldLock] = {}

    def acquire(self, stream: str) -> HeldLock | None:
        """Hold the lock of *stream*; None while somebody else does, in this process too. Raises `OSError`."""
        if stream in self._ours:
            return None
        self._directory.mkdir(mode=0o700, exist_ok=True)
        # Not thread-local: the thread that ends a stream is rarely the one that began it.
        lock = FileLock(self._path(stream), timeout=PATIENCE_S, thread_local=False)
        try:
            lock.acquire(poll_interval=0.002)
        except Timeout:
            return None
        held = self._ours[stream] = HeldLock(self, stream, lock)
        return held

    def held(self, stream: str) -> bool:
        """Say whether anybody holds the lock of *stream*."""
        if stream in self._ours:
            return True
        try:
            probe = os.open(self._path(stream), os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            # filelock takes an exclusive flock. A shared one meets only that: probers do not see each other.
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Not left to `close`: a child forked just now has the file open, too.
            fcntl.flock(probe, fcntl.LOCK_UN)
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        return False

    def forget(self, stream: str, held: HeldLock) -> None:
        """Note that *held* is let go."""
        if self._ours.get(stream) is held:
            del self._ours[stream]

    def release_all(self) -> None:
        """Let go of everything this process holds."""
        for held in list(self._ours.values()):
            held.release()

    def _path(self, stream: str) -> Path:
        return self._directory / f"{stream}.lock"

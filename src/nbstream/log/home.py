"""
Where the store lies: `NBSTREAM_HOME`, else the user's cache directory; always on a disk of this machine.

SQLite's write-ahead log needs memory that all its processes share. On a network file system it does not work, and a
store there can be damaged: then a directory of this machine is taken instead, and a warning says so.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import warnings
from pathlib import Path

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "afs", "ncpfs", "9p", "ceph"}
    | {"glusterfs", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "panfs", "fuse.sshfs", "fuse.glusterfs"}
    | {"fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.juicefs", "fuse.davfs2"}
)

#: Where every user may make a directory (`private` checks who did); /var/tmp, where there is one, outlives a reboot.
_SHARED = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())  # noqa: S108


def store_directory() -> Path:
    """Return the default directory of the store (which need not exist yet)."""
    home = os.environ.get("NBSTREAM_HOME")
    if home:
        return Path(home).expanduser() / "store"
    import platformdirs

    return Path(platformdirs.user_cache_dir("nbstream", appauthor=False)) / "store"


def local(directory: Path) -> Path:
    """
    Return *directory*, or, with a warning, one of this machine if it lies on a network file system.

    Only Linux' file systems are recognised. Raises `OSError` when the other directory cannot be had.
    """
    kind = filesystem(directory, _mounts())
    if kind not in _NETWORK:
        return directory
    other = _SHARED / f"nbstream-{os.getuid()}" / "store"
    warnings.warn(
        f"{directory} is on a network file system ({kind}), where the store could be damaged: using {other}. Set"
        " NBSTREAM_HOME to a directory of this machine that is kept.",
        stacklevel=3,
    )
    # Anybody may know its name: whoever was here first can have made it a way to another place.
    private(other.parent, link=False)
    return other


def private(directory: Path, *, link: bool = True) -> None:
    """
    Make *directory*, readable by this user only; one that is there keeps its mode: the store's files are private.

    Raises `OSError` when that is not possible, when it belongs to another user or, without *link*, when it is one.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat(follow_symlinks=link)
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError(f"permission denied: {directory} is a symbolic link")
    if found.st_uid != os.getuid():
        raise PermissionError(f"permission denied: {directory} belongs to another user")


def filesystem(directory: Path, mounts: list[tuple[str, str]]) -> str:
    """Return the type of the file system of *directory*, "" if none of the *mounts* (path, type) holds it."""
    whole = directory.resolve()
    parents = {str(path) for path in (whole, *whole.parents)}
    # The last mount on a path is the one that is seen.
    best = ("", "")
    for path, kind in mounts:
        if path in parents and len(path) >= len(best[0]):
            best = (path, kind)
    return best[1]


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Read Linux' /proc/self/mountinfo: field 5 is the path, the first one behind " - " the type."""
    found = []
    for line in text.splitlines():
        before, _, behind = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and behind:
            path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])  # blanks in paths
            found.append((path, behind.split()[0]))
    return found


def _mounts() -> list[tuple[str, str]]:
    table = Path("/proc/self/mountinfo")
    # Other systems have no such file: there nothing is detected.
    return parse_mountinfo(table.read_text(encoding="utf-8", errors="replace")) if table.exists() else []

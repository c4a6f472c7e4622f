"""Where the store lies."""

import os
from pathlib import Path

import pytest

from nbstream.log import home

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /home rw,nosuid shared:2 master:1 - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/me/local\\040disk rw - xfs /dev/vdb rw
32 22 0:28 / /mnt/over rw - nfs server:/a rw
33 22 0:29 / /mnt/over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/cache/x", "ext4"),
        ("/home/me/.cache/nbstream/store", "nfs4"),
        ("/home/me/local disk/store", "xfs"),
        ("/homework", "ext4"),
        ("/mnt/over/x", "tmpfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path, kind):
    """The longest mounted path that holds the directory counts, the last one if two are mounted there."""
    assert home.filesystem(Path(path), home.parse_mountinfo(MOUNTS)) == kind


def test_an_unreadable_mount_table_detects_nothing():
    """Lines of another form are passed over."""
    assert home.parse_mountinfo("\nnonsense\n1 2 3 - \n") == []
    assert home.filesystem(Path("/x"), []) == ""


def test_a_network_file_system_is_left_with_a_warning(tmp_path, monkeypatch):
    """The store goes to a private directory of this machine, and the warning names both."""
    monkeypatch.setattr(home, "_mounts", lambda: [("/", "ext4"), (str(tmp_path / "net"), "nfs4")])
    monkeypatch.setattr(home, "_SHARED", tmp_path)
    (tmp_path / "net").mkdir()
    with pytest.warns(UserWarning, match=r"net/store is on a network file system \(nfs4\).*NBSTREAM_HOME"):
        other = home.local(tmp_path / "net" / "store")
    assert other.is_relative_to(tmp_path)
    assert not other.is_relative_to(tmp_path / "net")
    assert other.parent.stat().st_mode & 0o777 == 0o700
    assert home.local(tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_nbstream_home_overrides_the_cache_directory(tmp_path, monkeypatch):
    """`NBSTREAM_HOME` says where the store lies, else the user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NBSTREAM_HOME", raising=False)
    assert home.store_directory() == tmp_path / "cache" / "nbstream" / "store"
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path / "mine"))
    assert home.store_directory() == tmp_path / "mine" / "store"


def test_a_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    """What another user has put there in advance is not used."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path / "theirs").stat().st_uid + 1)
    with pytest.raises(PermissionError, match="another user"):
        home.private(tmp_path / "theirs")

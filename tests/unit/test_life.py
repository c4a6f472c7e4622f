"""Seeing that a process of this machine is dead, and never saying so of one that cannot be seen."""

import os
import signal
import subprocess
import sys

import pytest

from nbstream.log.life import identity, is_dead

SAY = "from nbstream.log.life import identity; print(identity(), flush=True); input()"


@pytest.fixture
def child():
    """Return another process and how it names itself."""
    with subprocess.Popen(
        [sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_who_lives_is_not_dead(child):
    """Our own process and a child that runs, or is stopped, are alive."""
    process, who = child
    assert not is_dead(identity())
    assert not is_dead(who)
    process.send_signal(signal.SIGSTOP)
    assert not is_dead(who)


def test_who_was_killed_is_dead(child):
    """Dead from the moment it is killed, also while nobody has fetched its exit code."""
    process, who = child
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert is_dead(who)
    process.wait()
    assert is_dead(who)


def test_another_process_of_that_number_is_not_it():
    """A number that was given to another process since is no sign of life."""
    *rest, start = identity().split()
    assert is_dead(" ".join([*rest, str(float(start) - 1)]))


def test_what_cannot_be_seen_is_not_said_to_be_dead():
    """Another boot, machine or container, another system, or nonsense: nobody knows."""
    boot, space, _, start = identity().split()
    gone = "999999999"
    assert is_dead(f"{boot} {space} {gone} {start}")
    for who in (
        f"other {space} {gone} {start}",
        f"{boot} 1 {gone} {start}",
        "-",
        "",
        f"{boot} {space} x {start}",
        "a b",
    ):
        assert not is_dead(who)

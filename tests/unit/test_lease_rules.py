"""The lease: how long a call goes on while nobody holds its stream."""

import random

import pytest

from nbstream.lease import AWAKE_S, Lease


class Holder:
    """Somebody who may hold a stream."""

    def __init__(self, held=False):
        self.held = held

    def __call__(self):
        return self.held


@pytest.mark.parametrize("linger_s", [0.5, 2.0, 600.0])
def test_it_is_over_after_the_linger(linger_s):
    """The clock starts at the first look at which nobody holds, however long before that somebody let go."""
    holder = Holder(held=True)
    lease = Lease(linger_s, holder)
    assert not lease.over(0.0)
    holder.held = False
    assert not lease.over(1000.0)
    assert not lease.over(1000.0 + linger_s - 0.01)
    assert lease.over(1000.0 + linger_s)
    assert lease.reason == f"nobody watched it for {linger_s:g} s"


def test_without_linger_it_is_over_at_once():
    """A lease of 0 s is over at the first look at which nobody holds, and not while somebody does."""
    holder = Holder(held=True)
    lease = Lease(0.0, holder)
    assert not lease.over(1.0)
    holder.held = False
    assert lease.over(1.25)
    assert lease.reason == "nobody watches it any more"


def test_who_comes_back_starts_it_anew():
    """A page that comes back in time has the whole lease again when it goes."""
    holder = Holder()
    lease = Lease(10.0, holder)
    assert not lease.over(0.0)
    holder.held = True
    assert not lease.over(9.0)
    holder.held = False
    assert not lease.over(11.0)
    assert not lease.over(20.9)
    assert lease.over(21.0)


def test_sleep_does_not_count():
    """Hours in which this process did not run are no hours in which nobody watched."""
    lease = Lease(600.0, Holder())
    assert not lease.over(0.0)
    lease.skip(7200.0)
    assert not lease.over(7200.25)
    assert not lease.over(7799.9)
    assert lease.over(7800.0)


@pytest.mark.parametrize("linger_s", [0.0, 1.0, AWAKE_S])
def test_who_slept_hears_first_who_is_still_there(linger_s):
    """After a sleep every sign of life is old: even a short lease waits for a new one."""
    holder = Holder(held=True)
    lease = Lease(linger_s, holder)
    assert not lease.over(0.0)
    holder.held = False  # its last ping is hours old
    lease.skip(7200.0)
    assert not lease.over(7200.25)
    assert not lease.over(7200.25 + AWAKE_S - 0.1)
    assert lease.over(7200.25 + AWAKE_S)


def test_a_lease_never_ends_early(seed):
    """Whatever holders and sleeps do: when it is over, nobody was seen to hold it for that long, sleep not counted."""
    rng = random.Random(seed)
    for _ in range(200):
        holder, linger_s, now, unheld_s = Holder(), rng.choice([0.0, 1.0, 5.0]), 0.0, None
        lease = Lease(linger_s, holder)
        for _ in range(200):
            if rng.random() < 0.05:
                slept = rng.uniform(3, 100)
                now += slept
                lease.skip(slept)
            step = 0.25
            now += step
            if rng.random() < 0.1:
                holder.held = not holder.held
            unheld_s = None if holder.held else 0.0 if unheld_s is None else unheld_s + step
            if lease.over(now):
                assert unheld_s is not None
                assert unheld_s >= linger_s - 1e-6
                break

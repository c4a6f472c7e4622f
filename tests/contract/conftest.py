"""Every store, for one suite. A further store joins by a further parameter."""

import pytest
from redis_process import RedisProcess
from samples import Child

from nbstream.log.disk import open_disk_store
from nbstream.log.memory import MemoryStore


class Clock:
    """A clock that stands still until it is set."""

    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Return the clock of the stores of this test."""
    return Clock()


@pytest.fixture(params=["memory", "disk", "redis"])
def store(request, tmp_path, clock):
    """Return an empty store of each kind."""
    if request.param == "memory":
        made = MemoryStore(clock=clock)
    elif request.param == "disk":
        made = open_disk_store(tmp_path / "store", clock=clock)
    else:
        from nbstream.log.redis import open_redis_store

        made = open_redis_store(request.getfixturevalue("redis_server").url(), clock=clock)
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path, clock):
    """Return an empty store on disk."""
    made = open_disk_store(tmp_path / "store", clock=clock)
    yield made
    made.close()


@pytest.fixture
def child(disk):
    """Return another process that has opened `disk`."""
    other = Child(disk.directory)
    yield other
    other.kill()


@pytest.fixture
def own():
    """Return how to start a Redis of this test alone."""
    started = []

    def start(**settings):
        started.append(RedisProcess(**settings))
        return started[-1]

    yield start
    for server in started:
        server.end()

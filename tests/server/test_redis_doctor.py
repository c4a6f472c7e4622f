"""What the doctor and `nbstream clean` say of a real Redis."""

import pytest
from redis_process import RedisProcess

from nbstream import cli
from nbstream.doctor import installed
from nbstream.log.stores import open_store
from nbstream.options import NbStream


@pytest.fixture
def check(monkeypatch):
    """Return a function that lets this process use a Redis, and returns what the doctor says of it."""

    def ask(url):
        monkeypatch.setenv("NBSTREAM_STORE", url)
        monkeypatch.delenv("NBSTREAM_RELAY", raising=False)
        NbStream.clear_instance()
        try:
            return next(check for check in installed.checks() if check.name == "store")
        finally:
            open_store().close()
            NbStream.clear_instance()

    return ask


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"appendonly": "no"}, "what came since its last snapshot (appendonly no)"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, "up to a second or two of every stream"),
        ({"appendonly": "yes", "appendfsync": "no"}, "what its system had not yet written"),
        ({"appendonly": "yes", "appendfsync": "always"}, ""),
    ],
    ids=str,
)
def test_what_a_crash_of_redis_loses_is_a_warning(check, settings, said):
    """One line, no problem: it may be meant so. Nothing where nothing is lost."""
    with RedisProcess(**settings) as redis:
        found = check(redis.url())
        assert found.ok
        assert str(found).startswith(f"{'warning' if said else 'ok':8} store          redis://127.0.0.1:{redis.port}/0")
        assert said in str(found)
        assert ("docs/hub.md" in str(found)) == bool(said)


def test_settings_that_may_not_be_asked_are_not_spoken_of(check):
    """A user who may do all that a store needs, but not CONFIG: the store is ok, and no password is shown."""
    with RedisProcess() as redis:
        with redis.client() as client:
            client.acl_setuser("app", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-config"])
        found = check(redis.url(user="app:secret@"))
        assert str(found) == f"ok       store          redis://127.0.0.1:{redis.port}/0"


def test_clean_names_the_store(monkeypatch, capsys):
    """Whoever cleans by a daily job sees which store it was, without its password."""
    with RedisProcess(requirepass="secret") as redis:
        monkeypatch.setenv("NBSTREAM_STORE", redis.url(user=":secret@"))
        NbStream.clear_instance()
        assert cli.main(["clean", "--older-than", "2d"]) == 0
        open_store().close()
        NbStream.clear_instance()
        said = capsys.readouterr().out
        assert said == f"deleted 0 streams older than 2 days from redis://127.0.0.1:{redis.port}/0\n"

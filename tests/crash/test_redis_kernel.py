"""Kernels whose store is in Redis, killed while they stream: the next one goes on, as with a store on disk."""

import random

import pytest
from questions import chat, check_dead, check_whole, native, saved
from test_sigkill import any_moment

from nbstream.log.redis import open_redis_store

pytestmark = pytest.mark.host("kernel")


@pytest.fixture
def store(redis_server, monkeypatch):
    """Return an empty store in Redis, which the kernels of this test use."""
    url = redis_server.url()
    monkeypatch.setenv("NBSTREAM_STORE", url)
    store = open_redis_store(url)
    yield store
    store.close()


def test_killed_at_random_moments_with_redis(kernels, store, demo, soak, seed):
    """After each of 3 (soak: 30) SIGKILLs the cell run again in a new kernel goes on at once behind the last record."""
    choose, kills = random.Random(seed), 0
    kernel = kernels.start().load()
    while kills < (30 if soak else 3):
        ask = choose.choice((native, chat))
        question = ask(demo, f"question {choose.random()}", tokens=choose.randint(50, 400), speed=300)
        successor = kernels.start()
        run = kernel.execute(question.cell, question.id)
        moment = any_moment(choose, question, run, store)
        kernel.kill()
        kills += 1
        found, page = saved(store, question, kernel), run.pages[0] if run.pages else None
        print(f"kill {kills} ({moment}), {question.label}: {len(page.text) if page else 0} shown, {found}")
        check_dead(page, question, found)
        before = question.asked()
        kernel = successor.load()
        page = kernel.execute(question.cell, question.id).page
        page.wait_state("complete")
        check_whole(page, question, saved(store, question, kernel))
        fresh = [] if found and found.status.state == "complete" else [found.last_event_id if found else None]
        assert question.asked() == before + fresh


def test_redis_killed_under_a_page(kernels, monkeypatch, demo):
    """The page keeps its text and its Stop button, says that Redis is away, and is right when it is back."""
    from redis_process import RedisProcess

    with RedisProcess(appendonly="yes", appendfsync="always") as redis:
        url = redis.url()
        monkeypatch.setenv("NBSTREAM_STORE", url)
        question = native(demo, tokens=600, speed=150)
        kernel = kernels.start().load()
        page = kernel.execute(question.cell, question.id).page
        page.wait_text(100)
        redis.kill()
        kernel.until(lambda: "cannot be reached" in page.state["line"], lambda: f"the outage in {page.state}", 10)
        assert "stop" in page.state["actions"]
        shown = page.text
        assert question.text.startswith(shown)
        redis.start()
        page.wait_state("complete")
        with_redis = open_redis_store(url)
        check_whole(page, question, saved(with_redis, question, kernel))
        assert question.asked() == [None]
        with_redis.close()

"""The recorder in a relay: what a killed kernel, a killed relay, and both together do to a message (DESIGN P1, P2)."""

import itertools
import os
import random
import signal
import time

import pytest
import relays
from questions import chat, check_whole, native, numbered, odd_text, pieces, read, saved, wait_until

from nbstream.records import Delta

pytestmark = pytest.mark.host("relay")

SPEEDS = (30, 100, 500, 2000)


@pytest.fixture
def relay(kernels):
    """Return a function that gives the process id of the one relay, and the runtime directory as its attribute."""

    def pid():
        (found,) = relays.pids(kernels.home / "runtime")
        return found

    pid.runtime = kernels.home / "runtime"
    return pid


def test_a_killed_kernel_does_not_cut_the_call(  # noqa: PLR0917 - fixtures
    kernels, store, demo, faults, soak, seed
):
    """
    The kernel dies at a random moment (5 times, soak: 100) while a source streams that cannot resume.

    The provider sees one request and generation never pauses; the cell run again shows everything and goes on.
    """
    choose = random.Random(seed)
    kernel = kernels.start().load()
    for number in range(100 if soak else 5):
        speed = choose.choice(SPEEDS)
        tokens = int(speed * choose.uniform(1.5, 2.5))
        question = chat(demo, f"question {choose.random()}", tokens=tokens, speed=speed, fault="noresume")
        successor = kernels.start()
        run = kernel.execute(question.cell, question.id)
        run.page.wait_text(choose.randint(1, max(1, len(question.text) // 2)))
        time.sleep(choose.choice((0, choose.uniform(0, 0.1))))
        kernel.kill(alone=True)
        before = read(store, run.page.stream)
        assert before.text.startswith(run.page.text)
        assert before.status.live or before.status.state == "complete", "the relay goes on"
        kernel = successor.load()
        page = kernel.execute(question.cell, question.id).page
        page.wait_state("complete")
        assert page.stream == run.page.stream
        check_whole(page, question, saved(store, question, kernel))
        assert question.asked() == [None], "one request, however often a kernel dies"
        pause = longest_pause(store, page.stream)
        print(f"kill {number + 1}: {len(run.page.text)} of {len(page.text)} shown, longest pause {pause:.2f} s")
        assert pause < 10 * max(0.1, 1 / speed)


def longest_pause(store, stream):
    """Return the longest time between two records of text."""
    log, after, moments = store.log(stream), -1, []
    while records := log.read(after):
        after += len(records)
        moments += [record.at for record in records if isinstance(record, Delta)]
    return max((later - earlier for earlier, later in itertools.pairwise(moments)), default=0.0)


@pytest.mark.parametrize("victims", ["relay", "both"])
def test_a_killed_relay_loses_and_doubles_nothing(  # noqa: PLR0917 - fixtures
    kernels, store, demo, faults, soak, seed, relay, victims
):
    """The relay (or it and the kernel) dies at a random moment (4 times, soak: 100): the next one goes on behind it."""
    choose = random.Random(seed)
    kernel = kernels.start().load()
    for number in range(100 if soak else 4):
        kind = choose.choice(("native", "chat", "odd"))
        speed = choose.choice(SPEEDS)
        if kind == "odd":
            question = numbered(faults, pieces(choose, odd_text(choose, 2000), 12), pause_s=1 / speed)
        else:
            ask = native if kind == "native" else chat
            question = ask(demo, f"question {choose.random()}", tokens=int(speed * 1.5), speed=speed)
        successor = kernels.start() if victims == "both" else None
        run = kernel.execute(question.cell, question.id)
        run.page.wait_text(choose.randint(1, max(1, len(question.text) * 2 // 3)))
        time.sleep(choose.choice((0, choose.uniform(0, 0.05))))
        relays.kill(relay())
        if successor is not None:
            kernel.kill(alone=True)
            kernel = successor.load()
        else:
            run.page.wait_state("interrupted", "complete", timeout_s=10)
            assert run.page.text == read(store, run.page.stream).text
        found = saved(store, question, kernel)
        assert found.text.startswith(run.page.text)
        assert question.text.startswith(found.text)
        assert not found.status.live
        page = kernel.execute(question.cell, question.id).page
        page.wait_state("complete")
        assert page.stream == run.page.stream
        check_whole(page, question, saved(store, question, kernel))
        interrupted = found.status.state == "interrupted"
        assert question.asked() == [None, *([found.last_event_id] if interrupted else [])]
        print(f"kill {number + 1}, {question.label}: {len(run.page.text)} shown, {found}")


def test_killed_between_stop_and_its_close_record(kernels, store, demo, relay):
    """The stop row is stored, the relay dies before its close record: the stream stays stopped, the cell asks anew."""
    kernel = kernels.start().load()
    question = native(demo, fault="stall:100")
    page = kernel.execute(question.cell, question.id).page
    page.wait_text(100)
    pid = relay()
    os.kill(pid, signal.SIGSTOP)
    store.request_stop(page.stream, opened=0).result()
    relays.kill(pid)
    page.wait_state("stopped")
    assert store.status(page.stream).close is None
    again = kernel.execute(question.cell, question.id).page
    again.wait_text(100)
    assert again.stream != page.stream
    assert question.asked() == [None, None]
    again.press("stop")
    again.wait_state("stopped")


def test_stop_from_anywhere_ends_the_call_in_the_relay(kernels, store, demo, relay):
    """Stop from the page, another kernel, another process and after a restart: the connection closes, for good."""
    first, second = kernels.start().load(), kernels.start("two.ipynb").load()
    for way in ("page", "kernel", "row"):
        question = native(demo, f"stop by {way}", tokens=5000, speed=100)
        page = first.execute(question.cell, question.id).page
        page.wait_text(50)
        began = time.monotonic()
        if way == "page":
            page.press("stop")
        elif way == "kernel":
            second.execute(f"%stream stop {page.stream}", "stopper").ok()
        else:
            store.request_stop(page.stream, opened=0).result()
        wait_until(lambda: not demo.open_connections, "the upstream to be closed", timeout_s=3)
        print(f"{way}: closed after {1000 * (time.monotonic() - began):.0f} ms")
        page.wait_state("stopped")
        assert store.status(page.stream).close.how == "stopped"
        assert question.asked() == [None]
    question = native(demo, "stop after the kernel died", tokens=5000, speed=100)
    page = first.execute(question.cell, question.id).page
    page.wait_text(50)
    first.kill(alone=True)
    third = kernels.start().load()
    again = third.execute(question.cell, question.id).page
    again.wait_text(100)
    assert again.stream == page.stream
    again.press("stop")
    again.wait_state("stopped")
    wait_until(lambda: not demo.open_connections, "the upstream to be closed", timeout_s=3)
    assert question.asked() == [None]


def test_ten_kernels_start_one_relay(kernels, demo, relay):
    """Ten kernels whose first streams begin at once share one relay."""
    running = [kernels.start(f"{n}.ipynb") for n in range(10)]
    for kernel in running:
        kernel.load()
    questions = [native(demo, f"one of ten {n}", tokens=50, speed=0) for n in range(10)]
    runs = [kernel.execute(one.cell, one.id) for kernel, one in zip(running, questions, strict=True)]
    for run, question in zip(runs, questions, strict=True):
        run.page.wait_state("complete")
        assert run.page.text == question.text
    assert relay()

"""A kernel killed with SIGKILL while it streams: nothing shown is lost, the message goes on, nothing comes twice."""

import random
import time

from questions import chat, check_dead, check_whole, native, numbered, odd_text, pieces, saved, wait_until

SPEEDS = (20, 100, 500, 2000, 0)


def any_question(choose, demo, faults):
    """Draw a source, its speed and its length: a second or two of streaming, or full speed."""
    kind = choose.choice(("native", "chat", "odd", "large"))
    speed = choose.choice(SPEEDS)
    tokens = int(speed * choose.uniform(0.3, 1.5)) or 20_000
    if kind in ("native", "chat"):
        ask = native if kind == "native" else chat
        return ask(demo, f"question {choose.random()}", tokens=max(10, tokens), speed=speed)
    if kind == "odd":
        events = pieces(choose, odd_text(choose, choose.randint(20, 3000)), 12)
        return numbered(faults, events, pause_s=1 / speed if speed else 0)
    return numbered(faults, large_events(choose), pause_s=choose.choice((0, 0.02, 0.2)))


def large_events(choose):
    """Return a few events of 50 to 200 KB each."""
    return [odd_text(choose, choose.randint(25_000, 100_000)) for _ in range(choose.randint(1, 4))]


def any_moment(choose, question, run, store):
    """Wait for a random moment in the life of a stream; returns what it was."""
    kind = choose.choice(("at once", "shown", "shown", "stored", "end"))
    if kind == "at once":
        time.sleep(choose.uniform(0, choose.choice((0.03, 0.2))))
    elif kind == "shown":
        run.page.wait_text(choose.randint(1, len(question.text)))
        time.sleep(choose.choice((0, choose.uniform(0, 0.05))))
    elif kind == "end":
        run.page.wait_text(max(1, len(question.text) - 20))
        time.sleep(choose.uniform(0, 0.02))
    else:
        key = question.key(run.kernel)
        wait_until(lambda: store.find(key), "the stream to be stored", step_s=0)
        wait_records(store, store.find(key), choose.randint(0, 12))
    return kind


def wait_records(store, stream, least):
    """Wait, as closely as we can, until the log has *least* records behind its `open`, or has ended."""
    log = store.log(stream)
    wait_until(lambda: log.tail() >= least or store.status(stream).close, f"{least} records", step_s=0)


def test_killed_at_random_moments(  # noqa: PLR0917 - fixtures
    kernels, store, demo, faults, soak, seed
):
    """After each of 8 (soak: 100) SIGKILLs what was shown is a prefix of the log; the next kernel goes on behind it."""
    choose, kills = random.Random(seed), 0
    kernel = kernels.start().load()
    goal = 100 if soak else 8
    while kills < goal:
        question = any_question(choose, demo, faults)
        before, cursor = [], None
        for _ in range(choose.choice((1, 1, 2, 3))):  # the kernel that resumes is killed, too
            successor = kernels.start()
            run = kernel.execute(question.cell, question.id)
            moment = any_moment(choose, question, run, store)
            kernel.kill()
            kills += 1
            found, page = saved(store, question, kernel), run.pages[0] if run.pages else None
            print(f"kill {kills} ({moment}), {question.label}: {len(page.text) if page else 0} shown, {found}")
            check_dead(page, question, found)
            asked = question.asked()
            assert asked in (before, [*before, cursor])  # one call a kernel, killed before it or not
            before, cursor = asked, found.last_event_id if found else None
            kernel = successor.load()
            if found and found.status.state == "complete":
                break
        page = kernel.execute(question.cell, question.id).page
        page.wait_state("complete")
        check_whole(page, question, saved(store, question, kernel))
        fresh = [] if found and found.status.state == "complete" else [cursor]
        assert question.asked() == before + fresh


def test_killed_inside_an_event_larger_than_a_record(kernels, store, faults, soak, seed):
    """SIGKILL between two records of one event (2 such kills, soak: 30): what is stored of it does not come again."""
    choose, inside, kills = random.Random(seed), 0, 0
    kernel = kernels.start().load()
    while inside < (30 if soak else 2):
        kills += 1
        assert kills <= 300, f"only {inside} of {kills} kills fell inside an event"
        first, large = odd_text(choose, 300), odd_text(choose, choose.randint(100_000, 200_000))
        question = numbered(faults, [first, large, odd_text(choose, 300)], pause_s=0.05)
        run = kernel.execute(question.cell, question.id)
        successor = kernels.start()
        run.page.wait_text(len(first))
        wait_records(store, run.page.stream, choose.randint(2, 10))
        kernel.kill()
        found = saved(store, question, kernel)
        check_dead(run.page, question, found)
        inside += found.behind > 0
        print(f"{question.label}: {found}")
        kernel = successor.load()
        page = kernel.execute(question.cell, question.id).page
        page.wait_state("complete")
        check_whole(page, question, saved(store, question, kernel))
        if found.status.state == "interrupted":
            assert question.asked() == [None, found.last_event_id]


def test_each_stream_of_a_cell_resumes_its_own(kernels, store, demo):
    """Four streams shown by one cell, two of them the same question: killed and run again, each goes on by itself."""
    kernel = kernels.start().load()
    questions = [native(demo, prompt, tokens=300, speed=200 + 40 * n) for n, prompt in enumerate(("a", "b", "c"))]
    cell = "\n".join(question.cell for question in [*questions, questions[0]])
    run = kernel.execute(cell, "several")
    for page in run.shown(4):
        page.wait_text(40)
    successor = kernels.start()
    kernel.kill()
    before = [page.stream for page in run.pages]
    assert len(set(before)) == 4
    again = successor.load().execute(cell, "several")
    pages = again.shown(4)
    for page, old, question in zip(pages, run.pages, [*questions, questions[0]], strict=True):
        page.wait_state("complete")
        assert page.stream == old.stream
        assert page.text == question.text
        assert page.text.startswith(old.text)
    assert [len(question.asked()) for question in questions] == [4, 2, 2]
    assert all(question.asked().count(None) == (2 if question is questions[0] else 1) for question in questions)
    assert len(store.list()) == 4

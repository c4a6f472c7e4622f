"""Two kernels and one cell: nobody attaches to, stops or resumes what is not his."""

import time

from questions import native, read, saved

COPY = "copy of one.ipynb"


def test_two_kernels_run_one_cell_at_once(kernels, store, demo, soak):
    """One upstream call, two kernels show its text; the writer killed, the other one says so, and run again resumes."""
    for _ in range(15 if soak else 2):
        question = native(demo, tokens=900, speed=300)  # on a busy machine the kill comes late
        both = [kernels.start(), kernels.start()]
        for kernel in both:
            kernel.load()
        runs = [kernel.execute(question.cell, question.id) for kernel in both]
        pages = [run.page for run in runs]
        for page in pages:
            page.wait_text(50)
        assert pages[0].stream == pages[1].stream
        assert question.asked() == [None]
        writer = store.status(pages[0].stream).open.writer
        if kernels.host == "relay":
            dead = 0
            assert writer.startswith("relay ")
        else:
            dead = 0 if writer == f"pid {both[0].pid}" else 1
            assert writer == f"pid {both[dead].pid}"
        both[dead].kill()
        other = pages[1 - dead]
        other.wait_state("interrupted", timeout_s=10)
        found = saved(store, question, both[0])
        assert other.text == found.text
        assert found.text.startswith(pages[dead].text)
        again = both[1 - dead].execute(question.cell, question.id).page
        again.wait_state("complete")
        assert again.stream == other.stream
        assert again.text == question.text == read(store, again.stream).text
        assert question.asked() == [None, found.last_event_id]
        both[1 - dead].close()


def test_the_other_page_learns_that_a_silent_writer_has_died(kernels, demo):
    """Nothing is appended when a writer is killed in silence; the other kernel's page says interrupted."""
    question = native(demo, fault="stall:100")
    first, second = kernels.start().load(), kernels.start()
    mine = first.execute(question.cell, question.id).page
    mine.wait_text(100)
    theirs = second.load().execute(question.cell, question.id).page
    theirs.wait_text(len(mine.text))
    time.sleep(1)  # acknowledged, and quiet
    first.kill()
    theirs.wait_state("interrupted", timeout_s=5)
    assert theirs.text == mine.text


def test_a_copied_notebook_has_its_own_streams(kernels, store, demo):
    """The same cell id in a copy: neither attaches to the original's stream, nor stops it by an edit or by Stop."""
    question = native(demo, tokens=400, speed=300)
    original, copy = kernels.start(), kernels.start(COPY)
    mine = original.load().execute(question.cell, question.id).page
    mine.wait_text(50)
    theirs = copy.load().execute(question.cell, question.id).page
    theirs.wait_text(50)
    assert theirs.stream != mine.stream
    assert question.asked() == [None, None]
    edited = native(demo, "another prompt", tokens=400, speed=300)
    new = copy.execute(edited.cell, question.id).page
    new.wait_text(50)
    assert store.status(theirs.stream).state == "stopped"
    new.press("stop")
    new.wait_state("stopped")
    mine.wait_state("complete")
    assert mine.text == question.text
    assert store.status(mine.stream).state == "complete"
    assert question.asked() == [None, None]


def test_an_interrupted_stream_of_the_original_is_not_taken_by_a_copy(kernels, store, demo):
    """The original's kernel is dead, its stream interrupted: the copy's cell with the same id asks for its own."""
    question = native(demo, tokens=300, speed=300)
    kernel = kernels.start().load()
    mine = kernel.execute(question.cell, question.id).page
    mine.wait_text(50)
    kernel.kill()
    before = read(store, mine.stream)
    theirs = kernels.start(COPY).load().execute(question.cell, question.id).page
    theirs.wait_state("complete")
    assert theirs.stream != mine.stream
    assert question.asked() == [None, None]
    after = read(store, mine.stream)
    assert (after.text, after.status.tail, after.status.state) == (before.text, before.status.tail, "interrupted")


def test_an_edit_leaves_the_other_kernels_stream_alone(kernels, demo):
    """Two kernels on one notebook: the prompt edited in one of them starts a new stream, the other's goes on."""
    question, edited = native(demo, tokens=300, speed=200), native(demo, "edited", tokens=40, speed=200)
    first, second = kernels.start(), kernels.start()
    mine = first.load().execute(question.cell, question.id).page
    mine.wait_text(50)
    new = second.load().execute(edited.cell, question.id).page
    new.wait_state("complete")
    mine.wait_state("complete")
    assert (mine.text, new.text) == (question.text, edited.text)
    assert question.asked() == edited.asked() == [None]

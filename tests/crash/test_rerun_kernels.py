"""Running a cell again: each row of the table in DESIGN 5, with real kernels and a server that counts."""

import itertools

import pytest
from questions import Question, chat, native, read, show

from nbstream.testing import Answer

_paths = itertools.count(1)


def with_options(question, options):
    """Return the cell of a `%%stream` question with more options."""
    return question.cell.replace("%%stream", f"%%stream {options}", 1)


def scripted(faults, *answers):
    """Return a question to which the server gives *answers*, one by one."""
    path = f"/scripted-{next(_paths)}"
    faults.script(answers)
    return Question(
        show(faults.url + path), "", lambda: [one.last_event_id for one in faults.requests if one.path == path]
    )


def delta(number, text):
    """Return an event that carries text and an id."""
    return f'id: n{number}\ndata: {{"type": "delta", "text": "{text}"}}\n\n'


def test_live_attaches(kernels, demo):
    """Live, same question: the cell run again shows the same stream from its beginning; no second call."""
    question = native(demo, tokens=200, speed=200)
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_text(50)
    second = kernel.execute(question.cell, question.id).page
    second.wait_state("complete")
    assert second.stream == first.stream
    assert second.text == question.text
    assert question.asked() == [None]


@pytest.mark.parametrize("ask", [native, chat])
def test_interrupted_resumes(kernels, store, demo, ask):
    """Interrupted, same question: it goes on behind the last record, and only what is missing is asked for."""
    question = ask(demo, tokens=200, speed=200)
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_text(50)
    kernel.kill()
    cursor = read(store, first.stream).last_event_id
    second = kernels.start().load().execute(question.cell, question.id).page
    second.wait_state("complete")
    assert (second.stream, second.text) == (first.stream, question.text)
    assert "resumed once" in second.state["line"]
    assert question.asked() == [None, cursor]


def test_failed_after_some_text_resumes(kernels, faults):
    """Failed behind some text: the cell run again goes on behind it."""
    question = scripted(
        faults,
        Answer.sse(delta(1, "one "), 'event: error\ndata: {"error": {"message": "no", "type": "invalid_request"}}\n\n'),
        Answer.sse(delta(2, "two"), "event: done\ndata: {}\n\n"),
    )
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_state("failed")
    second = kernel.execute(question.cell, question.id).page
    second.wait_state("complete")
    assert (second.stream, second.text) == (first.stream, "one two")
    assert question.asked() == [None, "n1"]


def test_failed_before_any_text_asks_anew(kernels, store, faults):
    """Failed before any text: a new stream; the old one is kept."""
    question = scripted(
        faults,
        Answer([b"no"], 401, framing="length"),
        Answer.sse(delta(1, "one"), "event: done\ndata: {}\n\n"),
    )
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_state("failed")
    second = kernel.execute(question.cell, question.id).page
    second.wait_state("complete")
    assert second.stream != first.stream
    assert second.text == "one"
    assert store.status(first.stream).state == "failed"


def test_complete_shows_the_saved_answer_once_after_a_restart(kernels, demo):
    """Complete: the first run in a new kernel shows the saved answer without a call, the second one asks anew."""
    question = chat(demo, tokens=30, speed=0)
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_state("complete")
    first.wait_heard()
    again = kernel.execute(question.cell, question.id).page  # the same kernel
    again.wait_state("complete")
    assert again.stream != first.stream
    assert len(question.asked()) == 2
    kernel.close()  # orderly
    kernel = kernels.start().load()
    saved = kernel.execute(question.cell, question.id).page
    saved.wait_state("complete")
    assert (saved.stream, saved.text) == (again.stream, question.text)
    assert "saved at" in saved.state["line"]
    assert "Regenerate for a new one" in saved.state["line"]
    assert len(question.asked()) == 2
    new = kernel.execute(question.cell, question.id).page
    new.wait_state("complete")
    assert new.stream != saved.stream
    assert question.asked() == [None] * 3


def test_rerun_new_switches_saved_answers_off(kernels, demo):
    """`%config NbStream.rerun = "new"`: the first run in a new kernel asks anew, too."""
    question = chat(demo, tokens=30, speed=0)
    first = kernels.start().load().execute(question.cell, question.id).page
    first.wait_state("complete")
    kernel = kernels.start().load()
    kernel.execute('%config NbStream.rerun = "new"', "config").ok()
    second = kernel.execute(question.cell, question.id).page
    second.wait_state("complete")
    assert second.stream != first.stream
    assert question.asked() == [None, None]


def test_fresh_and_replay(kernels, store, demo):
    """`--replay` shows what is saved and makes no call, `--fresh` always asks anew; nothing is thrown away."""
    question = chat(demo, tokens=30, speed=0)
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_state("complete")
    replayed = kernel.execute(with_options(question, "--replay"), question.id).page
    replayed.wait_state("complete")
    assert (replayed.stream, replayed.text) == (first.stream, question.text)
    assert len(question.asked()) == 1
    kernel = kernels.start().load()
    fresh = kernel.execute(with_options(question, "--fresh"), question.id).page
    fresh.wait_state("complete")
    assert fresh.stream != first.stream
    assert question.asked() == [None, None]
    assert read(store, first.stream).text == question.text


def test_stopped_asks_anew(kernels, store, demo):
    """Stopped: the cell run again is a new stream, in the same kernel and in the next; the old one stays stopped."""
    question = native(demo, tokens=400, speed=100)
    kernel = kernels.start().load()
    pages = []
    for _ in range(2):
        page = kernel.execute(question.cell, question.id).page
        page.wait_text(20)
        page.press("stop")
        page.wait_state("stopped")
        pages.append(page)
    kernel.kill()
    pages.append(kernels.start().load().execute(question.cell, question.id).page)
    pages[2].wait_text(20)
    assert len({page.stream for page in pages}) == 3
    assert question.asked() == [None] * 3
    assert [store.status(page.stream).state for page in pages[:2]] == ["stopped", "stopped"]
    assert all(read(store, page.stream).text == page.text for page in pages[:2])


def test_an_edited_prompt_stops_the_live_stream_first(kernels, store, faults):
    """Another question, the old stream live in this kernel: it is stopped and closed before the new call is made."""
    open_then = []

    def second(request):
        open_then.append(faults.open_connections)
        return Answer.sse(delta(1, "two"), "event: done\ndata: {}\n\n")

    faults.script([Answer.sse(delta(1, "one"), end="stall"), second])
    kernel = kernels.start().load()
    first = kernel.execute(show(f"{faults.url}/one"), "edited").page
    first.wait_text(3)
    page = kernel.execute(show(f"{faults.url}/two"), "edited").page
    page.wait_state("complete")
    assert page.text == "two"
    assert open_then == [1], "the old call was still open"
    assert store.status(first.stream).state == "stopped"
    assert read(store, first.stream).text == "one"


def test_an_edited_prompt_stops_the_dead_stream(kernels, store, demo):
    """Another question, the old stream interrupted: it is stopped, so that nothing resumes it later."""
    question, edited = native(demo, tokens=400, speed=100), native(demo, "edited", tokens=40, speed=100)
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_text(20)
    kernel.kill()
    assert store.status(first.stream).state == "interrupted"
    second = kernels.start().load().execute(edited.cell, question.id).page
    second.wait_state("complete")
    assert second.text == edited.text
    assert store.status(first.stream).state == "stopped"
    assert (edited.asked(), question.asked()) == ([None], [None])


def test_a_key_names_a_stream_across_cells(kernels, demo):
    """`--key` stands for the cell: another cell with it attaches; in another notebook the same key is another one."""
    question = chat(demo, tokens=300, speed=200)
    cell = with_options(question, "--key answer")
    kernel = kernels.start().load()
    first = kernel.execute(cell, "here").page
    first.wait_text(20)
    second = kernel.execute(cell, "there").page
    second.wait_text(20)
    assert second.stream == first.stream
    assert question.asked() == [None]
    other = kernels.start("other.ipynb").load().execute(cell, "here").page
    other.wait_text(20)
    assert other.stream != first.stream


@pytest.mark.host("kernel")
def test_an_object_is_a_new_stream_every_time(kernels, store):
    """A Python object has no question to compare: each run is a new stream, the live old one is stopped and closed."""
    kernel = kernels.start().load(sources="import time\nended = []")
    cell = "def words():\n    try:\n        while True:\n            yield 'word '\n            time.sleep(0.01)\n    finally:\n        ended.append(1)\nnbstream.show(words())"  # noqa: E501
    first = kernel.execute(cell, "object").page
    first.wait_text(20)
    second = kernel.execute(cell, "object").page
    second.wait_text(20)
    assert second.stream != first.stream
    assert store.status(first.stream).state == "stopped"
    assert kernel.execute("print(len(ended))", "ended").ok().printed == "1\n"


def test_what_another_notebook_left_behind_is_offered(kernels, store, demo):
    """The notebook was renamed: its interrupted stream is offered by Resume; no call is made until that is pressed."""
    question = native(demo, tokens=200, speed=200)
    kernel = kernels.start("old name.ipynb").load()
    first = kernel.execute(question.cell, question.id).page
    first.wait_text(50)
    kernel.kill()
    (kernels.home / "notes" / "old name.ipynb").rename(kernels.home / "notes" / "new name.ipynb")
    left = read(store, first.stream)
    offered = kernels.start("new name.ipynb").load().execute(question.cell, question.id).page
    offered.wait_state("interrupted")
    assert (offered.stream, offered.text) == (first.stream, left.text)
    assert "resume" in offered.state["actions"]
    assert question.asked() == [None]
    offered.press("resume")
    offered.wait_state("complete")
    assert (offered.stream, offered.text) == (first.stream, question.text)
    assert question.asked() == [None, left.last_event_id]


def test_the_same_question_in_another_cell_is_offered(kernels, demo):
    """The cell was copied in its notebook: what the old one left interrupted is offered; run again, it asks anew."""
    question = native(demo, tokens=200, speed=200)
    kernel = kernels.start().load()
    first = kernel.execute(question.cell, "old cell").page
    first.wait_text(50)
    kernel.kill()
    kernel = kernels.start().load()
    offered = kernel.execute(question.cell, "new cell").page
    offered.wait_state("interrupted")
    assert offered.stream == first.stream
    assert question.asked() == [None]
    again = kernel.execute(question.cell, "new cell").page
    again.wait_state("complete")
    assert again.stream != first.stream
    assert again.text == question.text
    assert question.asked() == [None, None]

"""A message whose kernel (and relay) was killed, from a source that cannot resume: continued by the next kernel."""

from questions import chat

from nbstream.log.readback import records_of
from nbstream.records import Open
from nbstream.transcript import Transcript


def said(store, stream):
    """Return what the store holds of one stream."""
    transcript = Transcript()
    transcript.add(records_of(store.log(stream)))
    return transcript


def killed(kernels, question):
    """Run the cell of *question* and kill its kernel in the middle of the message; return the stream's id."""
    kernel = kernels.start().load()
    page = kernel.execute(question.cell, question.id).page
    page.wait_text(300)
    kernel.kill()
    return page.stream


def test_killed_then_continued_by_the_button(kernels, store, demo):
    """The next kernel shows what is saved and asks; Continue goes on behind it, behind a seam, once."""
    question = chat(demo, tokens=400, speed=200, fault="noresume")
    stream = killed(kernels, question)
    before = said(store, stream).joined("text")
    page = kernels.start().load().execute(question.cell, question.id).page
    page.wait_state("interrupted")
    assert (page.stream, page.text) == (stream, before)
    assert page.state["actions"] == ["continue", "regenerate"]
    assert question.asked() == [None], "nothing is asked before the button"
    page.press("continue")
    page.wait_state("complete")
    assert (page.stream, page.text, page.contradictions) == (stream, question.text, [])
    assert said(store, stream).joined("text") == question.text
    assert [part.kind for part in said(store, stream).marks] in (["truncate", "seam"], ["seam"])
    assert "continued once by a new generation" in page.state["line"]
    assert question.asked() == [None, None]


def test_killed_then_continued_unasked(kernels, store, demo):
    """With `%config NbStream.auto_continue` running the cell again is enough; the open says what it is."""
    question = chat(demo, tokens=400, speed=200, fault="noresume")
    stream = killed(kernels, question)
    kernel = kernels.start().load()
    kernel.execute("%config NbStream.auto_continue = True", "config").ok()
    page = kernel.execute(question.cell, question.id).page
    page.wait_state("complete")
    assert (page.stream, page.text) == (stream, question.text)
    opens = [record.intent for record in records_of(store.log(stream)) if isinstance(record, Open)]
    assert opens == ["new", "continue"]


def test_killed_again_while_it_is_continued(kernels, store, demo):
    """SIGKILL in the middle of the new generation: what it said is kept, and continued in the same way."""
    question = chat(demo, tokens=500, speed=200, fault="noresume")
    stream = killed(kernels, question)
    for _ in range(2):
        kernel = kernels.start().load()
        page = kernel.execute(question.cell, question.id).page
        page.wait_state("interrupted")
        have = len(page.text)
        page.press("continue")
        page.wait_text(have + 100)
        kernel.kill()
        assert question.text.startswith(said(store, stream).joined("text"))
        assert said(store, stream).joined("text").startswith(page.text)
    page = kernels.start().load().execute(question.cell, question.id).page
    page.wait_state("interrupted")
    page.press("continue")
    page.wait_state("complete")
    assert (page.text, page.contradictions) == (question.text, [])
    assert said(store, stream).joined("text") == question.text
    assert question.asked() == [None] * 4

"""What happened to a stream: below its answer, in the notebook file, and played once more."""

from cells import answer, ask, at_least, whole
from lab import wait_for

TIMELINE = "img[alt^='Stream']"
SHOWN = "(img) => img.complete && img.naturalWidth > 0"


def test_what_happened_is_shown_kept_in_the_file_and_played_again(notebook, demo):
    """A cut that was retried: in the fold below the answer, in a saved output that needs no kernel, and in a replay."""
    text = answer(tokens=80)
    tab = notebook(
        ask(demo, tokens=80, rate=80, fault="cut:150"), "import nbstream\nnbstream.streams()[0].timeline()",
        "nbstream.inspect(nbstream.streams()[0])", "%stream replay --speed 20",
    )  # fmt: skip
    tab.run(1)
    tab.wait_stream("text", at_least(20))
    fold = tab.page.locator(".nbstream-happened").first
    fold.locator("summary").first.click()
    tab.wait_stream("the answer", whole(text))
    picture = fold.locator(".nbstream-pictures img")
    words = fold.locator("pre")
    wait_for("the picture of the whole", lambda: "complete: the source's own end mark" in (words.text_content() or ""))
    assert "connection lost, to be called again" in words.text_content()
    assert "called again, behind what is saved" in words.text_content()
    assert picture.evaluate(SHOWN)
    tab.press("On the wire")
    wait_for("the wire", fold.locator(".nbstream-wire tr").count)
    assert "2 calls (1 of them a reconnection)" in fold.text_content()
    assert fold.locator(".nbstream-wire .nbstream-between").count() >= 2

    for cell in (2, 3):
        tab.run(cell, wait=True)
    assert tab.page.locator(TIMELINE).evaluate(SHOWN)
    assert "2 calls (1 of them a reconnection)" in tab.visible(3)
    (output,) = tab.save()["cells"][2]["outputs"]
    assert "connection lost, to be called again" in "".join(output["data"]["text/html"])

    asked, saved = len(demo.requests), tab.ask_kernel("len(nbstream.streams())")
    tab.run(4)
    view = tab.wait_stream("the replay", whole(text), nth=1)
    assert (view["buttons"], len(demo.requests)) == (["Copy"], asked)
    assert "20 times as fast" in view["line"]
    assert tab.ask_kernel("len(nbstream.streams())") == saved
    tab.save()
    tab.shut_kernel_down()
    tab.reload()
    wait_for("the picture without a kernel", tab.page.locator(TIMELINE).count)
    assert tab.page.locator(TIMELINE).evaluate(SHOWN)
    assert not tab.errors

"""What the notebook file holds: readable in JupyterLab itself, and right after a reload in the middle."""

import pytest
from cells import answer, ask, at_least, whole
from lab import CURRENT, wait_for

TEXT = "from $5 to \\$10, so \\(x_1 < 2\\) for $y_2$\n\n\\[\nz = 3\n\\]\n\n```sh\necho $A $B\n```\n"
CELL = f"""
import nbstream
from nbstream.records import Part
nbstream.show([
    Part("text", "Let me look."),
    Part("tool_call", fields={{"index": 0, "id": "c", "name": "look", "args_delta": "{{}}"}}),
    Part("tool_result", fields={{"id": "c", "content": "seen"}}),
    Part("text", "wrong"), Part("truncate", fields={{"length": 12}}), Part("text", {TEXT!r}),
])"""


@pytest.mark.host("kernel")  # about the page
def test_formulas_are_formulas_and_prices_are_prices(notebook):
    """JupyterLab renders the saved form: three formulas, two prices, code as it was, calls folded, text taken back."""
    tab = notebook(CELL)
    tab.run(1)
    saved = wait_for("the end in the file", lambda: "*complete" in (text := tab.saved(1)) and text)
    assert "wrong" not in saved
    shown = tab.page.locator(".jp-RenderedMarkdown")
    wait_for("the formulas", lambda: shown.locator("mjx-container").count() == 3)
    assert shown.locator("mjx-container[display=true]").count() == 1
    assert "from $5 to $10, so" in shown.first.evaluate("(node) => node.textContent")
    assert shown.locator("pre").last.evaluate("(node) => node.textContent").strip() == "echo $A $B"
    assert shown.locator("summary").all_text_contents() == ["tool call look", "result of look"]


@pytest.mark.host("kernel")  # about the page
def test_a_page_reloaded_mid_message_still_saves_the_answer(notebook, demo):
    """The reloaded page knows its output no more, so it asks for the saved form: the file ends complete and whole."""
    tab = notebook(ask(demo, tokens=600))
    tab.run(1)
    tab.wait_stream("text", at_least(200))
    wait_for("text in the file", lambda: "saved while it was streaming" in tab.saved(1))
    tab.reload()
    tab.wait_stream("the end", whole(answer(tokens=600)))
    outputs = f"{CURRENT}.content.widgets[1].model.outputs"
    ends = f"() => JSON.stringify({outputs}.toJSON()).includes('*complete')"
    wait_for("the end in the document", lambda: tab.page.evaluate(ends))
    assert tab.saved(1).startswith(answer(tokens=600).strip())
    assert tab.page.evaluate(f"() => {outputs}.length") == 2
    assert len(demo.requests) == 1

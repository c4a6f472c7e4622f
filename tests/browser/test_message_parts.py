"""What is no plain text in a message: each part is shown for what it is, at its place, and after a reload again."""

import rich

WALK = """\
(root) => {
  const text = (el) => el?.textContent.trim().replace(/\\s+/g, ' ') ?? null;
  return [...root.querySelectorAll('.nbstream-lane > div:not([class]) > *')].map((el) => {
    if (el.matches('.nbstream-reasoning')) return ['reasoning', text(el.querySelector('.jp-RenderedHTMLCommon'))];
    if (el.matches('.nbstream-tool')) return ['tool', text(el.querySelector('.nbstream-name')), el.dataset.status];
    if (el.matches('.nbstream-mark')) return ['mark', text(el)];
    if (el.matches('.nbstream-refusal')) return ['refusal', text(el.querySelector('.jp-RenderedHTMLCommon'))];
    return ['text', text(el).slice(0, 30)];
  });
}"""


def flow(tab, nth=0):
    """Return what stands in the lane, in order."""
    return tab.page.locator(".nbstream").nth(nth).evaluate(WALK)


def test_every_kind_is_shown_at_its_place(notebook):
    tab = notebook(rich.cell())
    tab.run(1)
    tab.wait_stream("the end", lambda view: view["state"] == "complete" and int(view["offset"]) > 0)
    print(flow(tab))
    tab.page.screenshot(path="/tmp/lanes_scratch/one.png")
    tab.page.locator(".nbstream summary").first.click()
    tab.page.locator(".nbstream summary").nth(1).click()
    tab.page.screenshot(path="/tmp/lanes_scratch/two.png")
    print(tab.stream())
    print(tab.copied() == rich.said(), tab.errors)

"""Each probe alone, in every place that a model or a server fills, through the saved form and two renderers."""

import re

import bs4
import mistune
import nbformat
import pytest
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from probes import HOST, LINKS, PROBES, QUOTED, RUN, TEX

from nbstream import words
from nbstream.records import Close, Delta, Open, Part
from nbstream.state import State
from nbstream.transcript import Transcript
from nbstream.view.harmless import code_block, harmless
from nbstream.view.saved_form import markdown, plain_text

OTHER = mistune.create_markdown(
    escape=False, plugins=["strikethrough", "table", "url", "task_lists", "def_list", "footnotes"]
)
RENDERERS = {"nbconvert": markdown2html_mistune, "mistune": OTHER}
#: What renderers make of Markdown, and what the saved form adds; nothing else may stand there.
ELEMENTS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "ul", "ol", "li", "blockquote", "hr",
    "br", "table", "thead", "tbody", "tr", "th", "td", "a", "div", "span", "dl", "dt", "dd", "section", "input",
    "details", "summary", "sub", "sup", "kbd",
}  # fmt: skip
ATTRIBUTES = {"class", "id", "title", "start", "type", "disabled", "checked", "style"}
#: Written by renderers for the columns of a table.
COLUMN = re.compile(r"text-align: ?(left|center|right);?")
SCHEME = re.compile(r"[^/?#]*:")
SAFE = re.compile(r"(https?|mailto|ftp|tel):", re.IGNORECASE)
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")

OPEN = Open("s1", "k", "new", {"model": "demo:"}, "f", "w", "h", "b", 0.0)


def what_is_wrong(html):
    """Return the first element or attribute that no Markdown of ours makes."""
    for tag in bs4.BeautifulSoup(html, "html.parser").find_all(True):
        if tag.name == "img":
            if not PICTURE.fullmatch(tag.attrs.get("src", "")) or not tag.attrs.keys() <= {"src", "alt", "title"}:
                return str(tag)
            continue
        if tag.name not in ELEMENTS:
            return str(tag)
        for name, value in tag.attrs.items():
            if name == "href":
                target = re.sub(r"[\x00-\x20]", "", value)  # as browsers do
                if SCHEME.match(target) and not SAFE.match(target):
                    return str(tag)
            elif name not in ATTRIBUTES or (name == "style" and not COLUMN.fullmatch(value)):
                return str(tag)
    return None


def everywhere(probe):
    """Return a transcript with *probe* in every place, and its state line."""
    transcript = Transcript()
    parts = [
        Part("agent_start", "", probe, fields={"name": probe, "parent": probe}),
        Part("reasoning", probe, probe),
        Part("text", probe, probe),
        Part("text", f"\n\na {probe} b\n\n- x\n\n  {probe}\n\n> {probe}\n\n# {probe}\n\n", probe),
        Part("tool_call", "", probe, fields={"index": 0, "id": probe, "name": probe, "args_delta": probe}),
        Part("tool_result", "", probe, fields={"id": probe, "content": probe}),
        Part("tool_result", "", probe, fields={"id": "x", "name": probe, "content": {probe: [probe]}}),
        Part("seam", "", probe, fields={"why": probe}),
        Part("gap", "", probe, fields={"expected": probe, "got": probe}),
        Part("text", f"| a | b |\n|---|---|\n| {probe} | x |\n\n```\n{probe}\n```\n{probe}", probe),
        Part("refusal", probe, probe),
        Part("agent_end", "", probe, fields={"status": probe}),
        Part("text", f"1. {probe}\n   ```\n   {probe}", "second"),
    ]
    transcript.add([OPEN, Delta(tuple(parts), 1.0), Close("failed", 2.0)])
    error = {"type": "SourceRefused", "message": probe, "retryable": False}
    facts = words.Facts(State.FAILED, 10, 3, model=probe, error=error, note=probe, unknown={probe: 1})
    return transcript, words.line(facts, buttons=False)


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_is_text_in_every_place(probe):
    """Names, arguments, results, errors, texts: only elements and addresses that Markdown of ours has come out."""
    transcript, line = everywhere(probe)
    out = markdown(transcript, line, stream="s1")
    for name, render in RENDERERS.items():
        assert what_is_wrong(render(out)) is None, (name, out)


@pytest.mark.parametrize("template", ["lab", "classic"])
def test_the_page_that_nbconvert_makes_runs_no_probe(template):
    """`jupyter nbconvert --to html` makes a page of every probe, alone and before a block, and nothing in it runs."""
    saved = [markdown(*everywhere(probe), stream="s1") for probe in PROBES]
    saved += [f"{harmless(probe)}\n\n{code_block(probe, 'json')}" for probe in PROBES]
    outputs = [nbformat.v4.new_output("display_data", {"text/markdown": one}) for one in saved]
    cells = [nbformat.v4.new_code_cell("", outputs=[output]) for output in outputs]
    page, _ = HTMLExporter(template_name=template).from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    assert [one for one in bs4.BeautifulSoup(page, "html.parser").find_all(True) if _is_live(one)] == []


def _is_live(tag):
    if tag.name in ("script", "style", "iframe"):
        return RUN in tag.text or HOST in str(tag.attrs)
    loads = {name: value for name, value in tag.attrs.items() if name in ("src", "srcset", "data", "background")}
    handlers = [name for name in tag.attrs if name.startswith("on")]
    runs = re.match(r"\s*javascript:", tag.attrs.get("href", ""), re.IGNORECASE)
    return bool(handlers or runs or HOST in str(loads))


@pytest.mark.parametrize(
    ("opened", "code"),
    [
        ("[a", f"]: x\n<script>{RUN}</script>"),
        ('[a]: x "t', f'"\n<script>{RUN}</script>'),
        ("```sh\n$$\n```\n\n[a\n```\n]: x\n```\n\n", f"$$ <script>{RUN}</script>"),
    ],
)
def test_what_is_left_open_does_not_end_in_a_block_with_something_active(opened, code):
    """What text leaves open ends in no fence behind it, neither the text's own nor that of a tool: it is no fence."""
    for saved in (harmless(f"{opened}\n```html\n{code}\n```\n"), code_block(code, "json")):
        assert "<script" not in saved
        assert f"&lt;script&gt;{RUN}" in saved


@pytest.mark.parametrize(
    "code",
    [
        '<a title="x"\n   href="y">\n  (it\'s)\n</a>',
        "type A = { [key: string]: Map<string, B> }\nfor (const [a, b] of c) {\n  d(a[0]: e)\n}",
        "#include <vector>\nint main() {\n  f(a[0], '\\'');\n}",
    ],
)
def test_code_with_tags_keeps_its_colours(code):
    """Only a block that could end what was left open before it is no fence any more."""
    assert f"```cpp\n{code}\n```" in harmless(f"See:\n\n```cpp\n{code}\n```\n")
    assert f"```cpp\n{code}\n```" in code_block(code, "cpp")


#: As JupyterLab does it: no blank line in a formula.
FORMULA = re.compile(
    r"(?P<dollars>\$\$?)(?:(?!\n[ \t]*\n).)*?(?P=dollars)"
    r"|\\\\\((?:(?!\n[ \t]*\n).)*?\\\\\)|\\\\\[(?:(?!\n[ \t]*\n).)*?\\\\\]"
    r"|\\begin\{(?P<env>\w*)\}(?:(?!\n[ \t]*\n).)*?\\end\{(?P=env)\}",
    re.DOTALL,
)


#: No block for a renderer that does not let a list that begins with 2 end a paragraph.
AMID_A_PARAGRAPH = f'[a](y "t\n2. ```\n$" onmouseover={RUN} x="$ u")\n```'


@pytest.mark.parametrize("probe", [*QUOTED, *LINKS, *TEX, AMID_A_PARAGRAPH])
def test_no_formula_with_a_quote_stands_in_an_attribute(probe):
    """JupyterLab puts formulas back as they were: none with a quote is part of an address or a title."""
    hidden = FORMULA.sub(lambda found: "@@0@@" if '"' in found[0] else "", harmless(probe))
    for name, render in RENDERERS.items():
        for tag in bs4.BeautifulSoup(render(hidden), "html.parser").find_all(True):
            assert "@@" not in str(tag.attrs), (name, hidden)


@pytest.mark.parametrize("probe", PROBES)
def test_a_terminal_obeys_no_probe(probe):
    """In plain text no control character is left but the ends of lines and tabs, and nothing turns the text round."""
    transcript, line = everywhere(probe)
    out = plain_text(transcript, line, stream="s1")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out)

"""The saved form: inert wherever it is rendered, the model's Markdown otherwise, and honest about how it ended."""

import asyncio
import itertools
import json
import random
import re
import time

import bs4
import mistune
import pytest
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from nbstream import words
from nbstream.clock import Clock
from nbstream.records import Close, Delta, Open, Part, encode
from nbstream.state import State
from nbstream.transcript import Transcript
from nbstream.view.document_server import appends_updates
from nbstream.view.excerpt import Excerpt, excerpts
from nbstream.view.harmless import harmless, plain
from nbstream.view.saved_form import RENDERED, in_order, markdown, plain_text
from nbstream.view.static_output import LIVE_LIMIT, SavedOutput

OTHER = mistune.create_markdown(
    escape=False, plugins=["strikethrough", "table", "url", "task_lists", "def_list", "footnotes"]
)
RENDERERS = [markdown2html_mistune, OTHER]
OURS = {"details", "summary", "code", "pre"}
ACTIVE_TAGS = {
    "script",
    "img",
    "iframe",
    "svg",
    "object",
    "embed",
    "form",
    "style",
    "meta",
    "base",
    "link",
    "video",
    "b",
}
KEPT_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
ACTIVE_TARGET = re.compile(r"[\x00-\x20]*(javascript|vbscript|data|file)", re.IGNORECASE)


def what_is_active(html: str) -> str | None:
    """Return the first element that would run, ask the network, or came from the model as a tag (`b` in our probes)."""
    for tag in bs4.BeautifulSoup(html, "html.parser").find_all(True):
        kept = tag.name == "img" and KEPT_PICTURE.fullmatch(tag.attrs.get("src", ""))
        if kept and tag.attrs.keys() <= {"src", "alt", "title"}:
            continue
        for name, value in tag.attrs.items():
            text = re.sub(r"[\t\r\n]", "", value if isinstance(value, str) else " ".join(value))
            if name.lower().startswith("on") or (name in {"href", "src"} and ACTIVE_TARGET.match(text)):
                return str(tag)[:200]
        if tag.name in ACTIVE_TAGS:
            return str(tag)[:200]
    return None


def said(text="", *, close=True, **kinds):
    """Return the transcript of one voice."""
    parts = [Part(kind, body) for kind, body in {"reasoning": "", "text": text, **kinds}.items() if body]
    return folded([parts], close=close)


def folded(batches, *, close=True):
    """Return the transcript of some records."""
    transcript = Transcript()
    transcript.add([OPEN, *(Delta(tuple(parts), 1.0) for parts in batches)])
    if close:
        transcript.add([Close("complete", 2.0)])
    return transcript


OPEN = Open("s1", "k", "new", {"model": "demo:"}, "f", "w", "h", "b", 0.0)
LINE = "complete · demo: · 12 characters · 1.0 s"

PROBES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<IMG\nSRC='https://e.example/i.png'>",
    "<b onclick=alert(1)>x</b>",
    "<<b>b>",
    "\\<b>",
    "\\\\<b>",
    "<iframe src=javascript:alert(1)>",
    "<!-- <b> -->",
    "<![CDATA[<b>]]>",
    "<?php <b> ?>",
    "<svg/onload=alert(1)>",
    "<\x00b>",
    "![a](https://e.example/i.png)",
    "!![a](https://e.example/i.png)",
    "![](https://e.example/i.png 't')",
    "![a][r]\n\n[r]: https://e.example/i.png",
    "![r]\n\n[r]: https://e.example/i.png",
    "[![a](https://e.example/i.png)](https://e.example)",
    "[![a](https://e.example/i.png)](javascript:alert(1))",
    "[a](javascript:alert(1))",
    "[a]( \n JaVaScRiPt:alert(1))",
    "> [a](\n> javascript:alert(1))",
    "[a](<javascript:alert(1)>)",
    "[a](&#106;avascript:alert(1))",
    "[a](java&Tab;script:alert(1))",
    "[a](javascript&colon;alert(1))",
    "[a](\\javascript:alert(1))",
    "[a](\x01javascript:alert(1))",
    "[a](data:text/html,<b>)",
    "[a](vbscript:x)",
    "[r]: javascript:alert(1)\n\n[r]",
    "[r]:\njavascript:alert(1)\n\n[a][r]",
    "[r]: <javascript:alert(1)>\n\n[r]",
    "<javascript:alert(1)>",
    "```mermaid\n</pre><script>alert(1)</script>\n```",
    "``` MERMAID\n</pre><b>\n```",
    "- ```\n<b>\n```\n```\n<b>\n```",
    "- ```\n  x\n```\n\n```\n<b>\n```",
    "````\n```\n<b>\n```\n````\n```\n<b>\n```",
    "`$a` <b> `b$`",
    "costs $5 `x $ <b>`",
    "$$\n\n```\necho $$ <b>\n```\n",
    "\\begin{x}\n\n```\n\\end{x} <b>\n```\n",
    "| a ` b | <b> ` |\n|---|---|\n| ` | <b> ` |",
    "[a ` ](javascript:x) `",
    "`a\n\n<b>`",
    "`a\n- <b>`",
    "```x `\n```mermaid`\n<b>`\n\n~~~: \n<b>",
    "- ~~~\n\n```mermaid\n~~~\n\n~~~\n<b>\n~~~",
    "- ~~~\n\n```&#109;ermaid\n~~~\n\n~~~\n<b>\n~~~",
    "\\\\[a\\\\](javascript:alert(1))",
    "    <b>\n\ntext\n\n- item\n\n      <b>",
    "```\n<b>",
    "~~~ `\n<b>\n",
    "\r```\r<b>\r",
]


@pytest.mark.parametrize("render", RENDERERS, ids=["nbconvert", "mistune"])
@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    "frame", ["{}", "a {} b", "- x\n\n  {}", "> {}", "```\n{}\n```\n{}", "# {}", "1. {}\n   ```\n   {}"]
)
def test_nothing_active_survives(probe, frame, render):
    """Whatever a model writes: no script, no image, no handler, no odd link is left when others render the file."""
    source = frame.replace("{}", probe)
    out = markdown(said(source, reasoning=source), LINE, stream="s1")
    assert what_is_active(render(out)) is None, out


HTML = ["<img src=x onerror=alert(1)>", "<b>", "</pre>", "</code>", "<!--", "-->", "<?", "<![CDATA[", "<div\n",
        "onclick=x>", "<<", "&lt;", "<https://x.example/z>", "<javascript:x>"]  # fmt: skip
KEPT = ["<sub>", "</sub>", "<kbd>x</kbd>", "<br>", "![a](data:image/png;base64,AA==)", "![a](data:x/y,z)"]
LINKS = ["![a](https://e.example/i)", "![", "]", "(", ")", "[a]", "](javascript:x)", "](<javascript:x>)", "[r]", "![r]",
         "!", "[r]: javascript:x", "[^1]: "]  # fmt: skip
CODES = ["`", "``", "```", "````", "~~~", "```html", "```mermaid", "~~~mermaid"]
MATHS = ["$", "$$", "\\(", "\\)", "=", "\\$", "\\[", "\\]", "\\\\[", "\\\\]", "\\", "\\begin{x}", "\\end{x}"]
MARKS = ["|", "| a | b |\n|---|---|\n|", "", " ", "  ", "    ", "- ", "* ", "1. ", "> ", "# ", "---", "word", ": ",
         "- [ ] ", "**", "_", "\x00", "\r", "\x0c", "\t", *["\n"] * 20, *["\n\n"] * 6]  # fmt: skip


def test_nothing_active_survives_chance(seed, soak):
    """Random piles of Markdown, fences and HTML, on which renderers disagree, come out inert in each of them."""
    rand = random.Random(seed)
    atoms = [*HTML, *KEPT, *LINKS, *CODES, *MATHS, *MARKS]
    for _ in range(20_000 if soak else 400):
        source = "".join(rand.choices(atoms, k=rand.randint(2, 40)))
        out = markdown(said(source), LINE, stream="s1")
        for render in RENDERERS:
            assert what_is_active(render(out)) is None, (source, out)


def test_prose_stays_as_it_was():
    """Markdown without anything active is saved character by character."""
    text = (
        "# Title\n\nSome *text* with `code[0](x)`, a < b, 3 <4, x->y, R&D, &lt;b&gt;, 5 > 4, it's 100 %, wow! [link]"
        "(https://e.example/a_(b) 'title').\n\n1. one\n   ```python\n   print(a[1:])\n   ```\n2. two\n\n> quote\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [ ] task\n\n    indented\n\n$a_1 \\le b$ and\n\n$$\n\\frac{a}{b}\n$$\n\n"
        '```html\nplain\n```\n\n[1]: https://e.example "t"\n\ncosts $5 or 6, https://e.example/x?a=b&c\n\nvec\\!\n'
    )
    assert harmless(text) == text
    assert markdown(said(text), LINE, stream="s1") == text + "\n*" + LINE + "*\n"


CODE = "<b>&lt;x</b> a[0](y:z) *n* $x$ __init__ https://e.example ![i](u)"


@pytest.mark.parametrize(
    "source",
    [
        f"```html\n{CODE}\n```",
        f"~~~\n{CODE}\n~~~",
        f"text\n```\n{CODE}\n```\nmore",
        f"````md\n```\n{CODE}\n```\n````",
        f"- item\n  ```html\n  {CODE}\n  ```\n- next",
        f"1. item\n\n   ```\n   {CODE}\n   ```",
        f"> ```\n> {CODE}\n> ```",
        f"in a span `{CODE}` here",
        f"in a span ``{CODE} ` `` here",
        f"```mermaid\n{CODE}\n```",
        f"para\n\n    {CODE}\n\npara",
        f"cut off\n```\n{CODE}",
    ],
)
@pytest.mark.parametrize("render", RENDERERS, ids=["nbconvert", "mistune"])
def test_code_stays_readable(source, render):
    """Code that holds tags, links and images reads as the model wrote it, in fences, lists, quotes and spans."""
    page = bs4.BeautifulSoup(render(markdown(said(source), LINE, stream="s1")), "html.parser")
    assert CODE in " ".join(tag.get_text() for tag in page.find_all(["code", "pre"]))
    assert page.find_all("p")[-1].get_text() == LINE


def test_formulas_keep_their_meaning():
    """A `<` in a formula becomes TeX's own word for it, since an entity would break the formula."""
    assert harmless("$a<b$ and $$x<y$$ <b>") == "$a\\lt b$ and $$x\\lt y$$ &lt;b>"


MONEY = "<span>&#36;</span>"


@pytest.mark.parametrize(
    ("source", "saved"),
    [
        ("from $5 to $10", f"from {MONEY}5 to {MONEY}10"),
        ("from \\$5 to \\$10", f"from {MONEY}5 to {MONEY}10"),
        ("one $5", "one $5"),
        ("$5 and $x$", f"{MONEY}5 and $x$"),
        ("$x$ is $5", f"$x$ is {MONEY}5"),
        ("$a$ and $b_1$", "$a$ and $b_1$"),
        ("[a](https://e.example/?a=$b&c=$d)", "[a](https://e.example/?a=%24b&c=%24d)"),
        ("a \\(x_1 < 2\\) b", "a $x_1 < 2$ b"),
        ("\\(a\\)\\(b\\)", "$a$ $b$"),
        ("\\[\nx = 1\n\\]", "$$\nx = 1\n$$"),
        ("- a\n\n  \\[ x = 1 \\]", "- a\n\n  $$ x = 1 $$"),
        ("\\[x\\] done", "\\[x\\] done"),
        ("\\[a\\](u) \\(", "\\[a\\](u) \\("),
        ("`$5` and `\\(x\\)` and `$6`", "`$5` and `\\(x\\)` and `$6`"),
        ("```sh\necho $A $B \\(x\\)\n```\n", "```sh\necho $A $B \\(x\\)\n```\n"),
        ("text\n\n    echo $A $B \\(x\\)\n\ntext", "text\n\n    echo $A $B \\(x\\)\n\ntext"),
        ("\\(a<b>![x](u)\\)", "$a\\lt b>! [x] (u)$"),
    ],
)
def test_money_is_no_formula_and_formulas_are_ones_everywhere(source, saved):
    """Prices stay prices; brackets of TeX, which only our page knows, become the dollars that all know; code stays."""
    assert harmless(source) == saved


@pytest.mark.parametrize(
    ("source", "saved"),
    [
        ("H<sub>2</sub>O, x<sup>2</sup>, <kbd>Ctrl</kbd><br>", "H<sub>2</sub>O, x<sup>2</sup>, <kbd>Ctrl</kbd><br>"),
        ("a<br/>b<br />c", "a<br/>b<br />c"),
        ("<sub>open", "&lt;sub>open"),
        ("</sub>", "&lt;/sub>"),
        ("<sub onclick=x>a</sub>", "&lt;sub onclick=x>a&lt;/sub>"),
        ("<kbd>![a](https://e.example/i)</kbd>", "<kbd>[a](https://e.example/i)</kbd>"),
        ("<sub><b>x</b></sub>", "&lt;sub>&lt;b>x&lt;/b>&lt;/sub>"),
        ("<SUB>x</SUB>", "&lt;SUB>x&lt;/SUB>"),
    ],
)
def test_what_markdown_has_no_word_for_survives(source, saved):
    """A few elements without attributes, closed on their line, stay; with anything more they are text."""
    assert harmless(source) == saved


@pytest.mark.parametrize(
    ("source", "saved"),
    [
        ("![a](https://e.example/i)", "[a](https://e.example/i)"),
        ("![](https://e.example/i)", "[image](https://e.example/i)"),
        ("![a][r]", "[a][r]"),
        ("vec![1, 2]", "vec&#33;[1, 2]"),
        ("[![a](https://e.example/i)](https://e.example)", "[a](https://e.example)"),
        ("[a](<https://e.example/x y>)", "[a](https://e.example/x%20y)"),
        ("see <https://e.example/z> <", "see https://e.example/z <"),
        ("[a](javascript:x)", "[a]&#40;javascript:x)"),
        ("![a](data:image/png;base64,iVBO)", "![a](data:image/png;base64,iVBO)"),
        # mistune would make a link to the bytes of it.
        (
            "<https://x.example/z>![a](data:image/png;base64,iVBO)",
            "https://x.example/z&#91;a: image/png, 4 characters, not shown&#93;",
        ),
        ("![a](data:image/svg+xml;base64,iVBO)(x)", "&#91;a: image/svg+xml, 11 characters, not shown&#93;(x)"),
        ("![a](data:image/png;base64," + "A" * 40_000 + ")", "&#91;a: image/png, 40,007 characters, not shown&#93;"),
        ("![a](data:text/html,x<b>)", "[a]&#40;data:text/html,x&lt;b>)"),
        ("![a](data:text/html,x)", "&#91;a: text/html, 1 characters, not shown&#93;"),
    ],
)
def test_images_and_links(source, saved):
    """Images become links that can be seen; links that lead nowhere good are no links."""
    assert harmless(source) == saved


def test_order_of_the_parts():
    """A heading an agent, reasoning and tool calls folded away, the state line last and outside of everything."""
    call = Part("tool_call", fields={"index": 0, "id": "1", "name": "se_arch", "args_delta": '{"q": "</details>"}'})
    planner = [Part("reasoning", "hm *so*", "plan_er<b>"), Part("text", "```py\nx = 1", "plan_er<b>")]
    out = markdown(folded([planner, [call, Part("text", "answer")]]), "failed (<i>a_b*\nc</i>)", stream="s1")
    assert out == (
        "### plan&#95;er&lt;b&gt; (complete)\n\n<details><summary>reasoning</summary>\n\nhm *so*\n\n</details>\n\n"
        "```py\nx = 1\n```\n\n"
        "### assistant (complete)\n\n<details><summary>tool call se&#95;arch</summary>\n\n```json\n"
        '{"q": "</details>"}\n```\n\n</details>\n\nanswer\n\n*failed (&lt;i&gt;a&#95;b&#42; c&lt;/i&gt;)*\n'
    )
    page = bs4.BeautifulSoup(markdown2html_mistune(out), "html.parser")
    assert [tag.summary.get_text() for tag in page.find_all("details")] == ["reasoning", "tool call se_arch"]
    assert page.details.em.get_text() == "so"
    assert page.find_all("p")[-1].parent.name == "[document]"


def call(index, name="look", arguments="{}", **more):
    """Return a whole tool call."""
    return Part("tool_call", fields={"index": index, "id": f"c{index}", "name": name, "args_delta": arguments, **more})


def test_a_message_reads_in_the_order_in_which_it_came():
    """Text, call, result, text: as it was; parallel calls are told apart by name, seams and gaps stand in the text."""
    parts = [
        Part("reasoning", "why"), Part("text", "Let me look."), call(0), call(1, "find"),
        Part("tool_result", fields={"id": "c1", "content": "<b> ```"}),
        Part("tool_result", fields={"id": "c0", "content": {"n": [1]}}),
        Part("text", "One "), Part("gap", fields={"expected": 4, "got": 5}), Part("text", "more."),
        Part("seam", fields={"why": "<i>cut</i>"}), Part("text", "Two."),
    ]  # fmt: skip
    out = markdown(folded([parts]), LINE, stream="s1")
    page = bs4.BeautifulSoup(markdown2html_mistune(out), "html.parser")
    assert [tag.get_text() for tag in page.find_all("summary")] == [
        "reasoning", "tool call look", "tool call find", "result of find", "result of look",
    ]  # fmt: skip
    assert [tag.get_text() for tag in page.find_all("p") if not tag.find_parent("details")] == [
        "Let me look.", "One", "missing here: piece 4", "more.",
        "continued here by a new generation: <i>cut</i>", "Two.", LINE,
    ]  # fmt: skip
    assert "<b> ```" in page.get_text()
    assert what_is_active(str(page)) is None
    plainly = plain_text(folded([parts]), LINE, stream="s1")
    assert (
        plainly.index("calls look") < plainly.index("result of look: {") < plainly.index("One") < plainly.index("Two.")
    )


def test_a_call_inside_of_a_block_of_code_does_not_tear_it():
    """What comes while a fence is open stands behind it."""
    parts = [Part("text", "a\n```py\nx = 1\n"), call(0), Part("text", "y = 2\n```"), call(1), Part("text", "b")]
    agent = folded([parts]).agents["assistant"]
    said = [piece if isinstance(piece, dict) else piece.id for piece in in_order(agent)]
    assert said == [{"text": "a\n```py\nx = 1\ny = 2\n```"}, "c0", "c1", {"text": "b"}]
    assert agent.text == "a\n```py\nx = 1\ny = 2\n```b"


def test_text_that_was_taken_back_does_not_stand_there():
    """A truncate counts for its kind alone, across calls; the rest is exact, in the file, the console and `text`."""
    parts = [
        Part("reasoning", "so"), Part("text", "one two"), call(0), Part("text", " three"),
        Part("truncate", fields={"length": 4}), Part("text", "2."),
        Part("truncate", fields={"length": 1, "of": "reasoning"}), Part("truncate", fields={"length": 99}),
        Part("truncate", fields={"length": "no"}),
    ]  # fmt: skip
    said = folded([parts])
    assert (said.joined("text"), said.joined("reasoning")) == ("one 2.", "s")
    for show in (markdown, plain_text):
        out = show(said, LINE, stream="s1")
        assert "three" not in out
        assert "two" not in out
        assert out.index("one") < out.index("2.")


def test_truncates_at_random_leave_what_a_list_of_characters_would(seed):
    """Any mix of text and truncates: the transcript, and reading past the log, give the text that stays."""
    rand = random.Random(seed)
    for _ in range(300):
        parts, stays = [], {"text": "", "reasoning": ""}
        for _ in range(rand.randint(1, 60)):
            kind = rand.choice(list(stays))
            if rand.random() < 0.6:
                parts.append(Part(kind, "".join(rand.choices("ab\n😀", k=rand.randint(1, 9)))))
                stays[kind] += parts[-1].text
            elif rand.random() < 0.7:
                length = rand.randint(0, len(stays[kind]) + 2)
                parts.append(Part("truncate", fields={"length": length, "of": kind}))
                stays[kind] = stays[kind][:length]
            else:
                parts.append(call(rand.randint(0, 3)))
        records = [OPEN, *(Delta(tuple(parts[at : at + 7]), 1.0) for at in range(0, len(parts), 7))]
        transcript = Transcript()
        transcript.add(records)
        for kind, text in stays.items():
            assert transcript.joined(kind) == text
            assert excerpts(lambda records=records: records, stream="s1").joined(kind) == text


def test_very_many_truncates_are_linear():
    """Taking a little back again and again costs the same behind a long text as behind a short one."""

    def seconds(size):
        transcript = folded([[Part("text", "x" * size)]], close=False)
        parts = [
            part for at in range(20_000)
            for part in (Part("truncate", fields={"length": size - at - 1}), Part("text", "y"))
        ]  # fmt: skip
        started = time.process_time()
        transcript.add([Delta(tuple(parts), 1.0)])
        assert len(transcript.joined("text")) == size - 19_999
        return time.process_time() - started

    assert seconds(5_000_000) < 10 * seconds(100_000) + 0.2


def test_each_agent_has_a_heading_with_its_end():
    """How the source says that an agent ended, else how the stream says so, else how all of it ended."""
    parts = [Part("text", "x", name) for name in ("one", "two", "three")]
    parts.append(Part("agent_end", "", "one", fields={"status": "failed"}))
    out = markdown(folded([parts]), LINE, stream="s1", states={"two": "stopped"})
    assert re.findall("### .*", out) == ["### one (failed)", "### two (stopped)", "### three (complete)"]


def test_a_message_too_long_to_render_is_a_block():
    """The page that renders the hidden file is not held up: above the limit texts, and reasoning, stand as source."""
    out = markdown(said("*a* " * (RENDERED // 4), reasoning="*b*"), LINE, stream="s1")
    page = bs4.BeautifulSoup(markdown2html_mistune(out), "html.parser")
    assert [tag.get_text() for tag in page.find_all("em")] == [LINE]


def test_a_message_that_goes_on_says_so():
    """What is saved before the end has the state line it was given."""
    out = markdown(said("half a sen", close=False), "streaming · demo:", stream="s1")
    assert out == "half a sen\n\n*streaming · demo:*\n"


def test_too_long_keeps_both_ends_and_says_what_is_missing():
    """Above the limit: both ends, the size and the command; a code block that the cut opens is closed and goes on."""
    lines = "".join(f"line {i} <b>\n" for i in range(400_000))
    text = f"begin\n\n```python\n{lines}```\n\nend"
    out = markdown(said(text), LINE, stream="s1")
    assert len(out) < 2.2 * 64 * 1024
    assert out.startswith("begin\n\n\n```python\nline 0 <b>\n")
    assert "nbstream show s1" in out
    page = bs4.BeautifulSoup(markdown2html_mistune(out), "html.parser")
    assert what_is_active(str(page).replace("<b>", "")) is None
    assert page.find_all("pre")[1].get_text().endswith("line 399999 <b>\n")
    (notice,) = [p.get_text() for p in page.find_all("p") if "left out" in p.get_text()]
    missing = int(re.search(r"([\d,]+) characters of", notice)[1].replace(",", ""))
    kept = "".join(tag.get_text() for tag in page.find_all("pre"))
    assert missing == len(lines) - len(kept)


def test_a_late_piece_is_kept_of_a_message_that_is_too_long():
    """Above the limit a gap holds what came late, too, whether the log is read past or a transcript is cut."""
    text = "some words\n" * 40_000
    gap = {"expected": 2, "got": 3, "at": len(text)}
    parts = [
        Part("text", text), Part("gap", fields=gap), Part("text", text, off=len(text)),
        Part("late", fields={"number": 2, "at": len(text), "text": "came late", "closes": True}),
    ]  # fmt: skip
    records = [OPEN, Delta(tuple(parts), 1.0), Close("complete", 2.0)]
    for saved in (excerpts(lambda: records, stream="s1"), folded([parts])):
        out = markdown(saved, LINE, stream="s1", limit=200_000)
        assert len(out) < 300_000
        assert out.count("came late") == 1
        assert "missing here" not in out


def test_excerpt_does_not_depend_on_the_pieces(seed):
    """However a text is cut into pieces, its excerpt is the same, and never longer than its two ends."""
    rand = random.Random(seed)
    for _ in range(50):
        text = "".join(rand.choices(["word ", "\n", "```\n", "```py\n", "- ", "~~~\n"], k=rand.randint(1, 3000)))
        whole = Excerpt(500)
        whole.add(text)
        pieces, at = Excerpt(500), 0
        while at < len(text):
            size = rand.choice([1, 7, 300, 5000])
            pieces.add(text[at : at + size])
            at += size
        assert pieces.text("s1") == whole.text("s1")
        assert len(pieces.text("s1")) <= max(len(text), 1300) if len(text) > 1000 else pieces.text("s1") == text


def test_excerpts_of_a_log_equal_those_of_a_transcript():
    """Reading past a long log gives what folding all of it and cutting would give."""
    records = [OPEN, *(Delta((Part("text", f"{i} word\n"), Part("reasoning", "so ")), 1.0) for i in range(60_000))]
    transcript = excerpts(lambda: records, stream="s1")
    assert transcript.tail == len(records) - 1
    whole = Excerpt()
    whole.add("".join(f"{i} word\n" for i in range(60_000)))
    assert transcript.agents["assistant"].text == whole.text("s1")


@pytest.mark.parametrize(
    "unit",
    ["Some `code` and a < b, <b>x</b> ![i](u) $a<b$.\n\n", "```html\n<b>\n```\n", "- ```\n  <b>\n  ```\n", "<a", "`",
     "](", "![", "\\begin{a}", "$$ ", "\n", " ", "> ", "    <b>\n\n", "` `` ``` ", "$", "$5 ", "\\( ", "\\[\\) ",
     "\\(x\\)", "<sub>", "<sub>a</sub>", "![](data:image/png;base64,", "://$"],
)  # fmt: skip
def test_the_cost_is_linear(unit):
    """Ten times the text takes at most about ten times as long, whatever it repeats."""

    def seconds(size):
        text = unit * (size // len(unit))
        started = time.process_time()
        harmless(text)
        return time.process_time() - started

    small = min(seconds(50_000) for _ in range(3))
    assert seconds(500_000) < 25 * small + 0.2


class Shown:
    """A display that remembers."""

    def __init__(self, *, once=False):
        self.published, self.once = [], once

    def show(self, data):
        assert not self.published
        self.published.append(data["text/markdown"])

    def update(self, data):
        assert self.published or self.once
        self.published.append(data["text/markdown"])


class Growing:
    """A stream and the clock by which it grows: *rate* characters a second, a record every 50 ms."""

    def __init__(self, size, rate, *, ending="complete"):
        self.id, self.now = "s1", 0.0
        self._size, self._rate, self._ending = size, rate, ending
        self._transcript = Transcript()
        self._transcript.add([OPEN])
        self._chars, self._looks = 0, set()

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        new = min(self._size, int(self.now * self._rate)) - self._chars
        self._chars += new
        self._transcript.add([Delta((Part("text", "x" * new),), self.now)])
        if self._chars == self._size:
            self._transcript.add([Close(self._ending, self.now)])
        for look in self._looks:
            look()

    def subscribe(self, look):
        self._looks.add(look)
        return lambda: self._looks.discard(look)

    @property
    def settled(self):
        return self._transcript.close is not None

    def facts(self):
        return words.Facts(State(self._ending) if self.settled else State.STREAMING, self._chars, model="demo:")

    def agent_facts(self):
        return {}

    def transcript(self):
        return self._transcript


def follow(stream, *, once=False):
    """Return what is published while *stream* goes on."""
    shown = Shown(once=once)
    saved = SavedOutput(shown, clock=stream)
    saved.show(stream)
    asyncio.run(saved.follow(stream))
    assert not stream._looks
    return shown.published


def test_a_rerun_while_a_long_answer_waits_leaks_nothing():
    """Cancelled in its first second, too, it hears of its stream no longer."""
    stream = Growing(2 * LIVE_LIMIT, 1e9)
    asyncio.run(stream.sleep(1))  # all of it is there
    saved = SavedOutput(Shown(), clock=Clock())
    saved.show(stream)

    async def rerun():
        following = asyncio.ensure_future(saved.follow(stream))
        await asyncio.sleep(0)
        assert stream._looks
        following.cancel()
        await asyncio.wait([following])

    asyncio.run(rerun())
    assert not stream._looks


@pytest.mark.parametrize(
    ("size", "seen_after_s", "told_after_s"), [(1_000_000, 1, 1), (1_000_000, 99, 3), (1_000, 99, 0)]
)
def test_a_long_answer_is_seen_to_its_end_before_it_is_saved(size, seen_after_s, told_after_s):
    """The page paints the end first, and gets the saved form then, at most 3 s later; a short one comes at once."""
    stream, shown = Growing(size, 1e9), Shown()
    came = stream.monotonic()
    saved = SavedOutput(shown, clock=stream, painted=lambda _: stream.monotonic() - came >= seen_after_s)
    saved.show(stream)
    asyncio.run(saved.follow(stream))
    assert "x" * size in shown.published[-1]
    assert told_after_s <= stream.monotonic() - came <= told_after_s + 1


@pytest.mark.parametrize("rate", [400, 20_000, 400_000])
def test_a_megabyte_is_published_at_little_more_than_its_size(rate):
    """Refreshed while short, once at the end: at most 2.2 bytes a byte, and the end holds everything."""
    published = follow(Growing(1_000_000 if rate > 400 else 100_000, rate))
    size = 1_000_000 if rate > 400 else 100_000
    assert sum(map(len, published)) <= 2.2 * size + 200 if rate > 400 else sum(map(len, published)) <= 4 * size
    assert "x" * size in published[-1]
    assert "complete" in published[-1]
    assert "saved while" not in published[-1]
    assert all(len(text) < LIVE_LIMIT + 500 for text in published[:-1])


def test_the_first_text_is_saved_at_once_and_each_refresh_has_half_as_much_more():
    """A notebook saved mid-message holds most of the message."""
    texts = [max(map(len, re.findall("x+", text)), default=0) for text in follow(Growing(50_000, 1000))]
    assert texts[0] <= 1  # the state line has a "text" in it
    assert 0 < texts[1] <= 500
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(texts[1:-1]))
    assert texts[-1] == 50_000


def test_where_updates_append_the_text_is_written_once_at_the_end():
    """A server that makes an output of every update gets one, with everything in it."""
    (text,) = follow(Growing(50_000, 1000), once=True)
    assert "x" * 50_000 in text
    assert "complete" in text


@pytest.mark.parametrize(
    ("files", "appends"),
    [
        ({}, False),
        ({"env/jupyter_server_config.d/x.json": True}, True),
        ({"env/jupyter_server_config.d/x.json": True, "user/jupyter_server_config.json": False}, False),
        ({"user/jupyter_server_config.d/x.json": False, "env/jupyter_server_config.d/x.json": True}, False),
        ({"env/jupyter_server_config.d/x.json": True, "user/jupyter_server_config.json": "damaged"}, True),
    ],
)
def test_a_server_that_appends_updates_is_known_by_its_configuration(tmp_path, files, appends):
    """Both read the same files: what the user says beats what a package has installed."""
    for name, enabled in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        said = {"ServerApp": {"jpserver_extensions": {"jupyter_server_documents": enabled}}}
        path.write_text("{" if enabled == "damaged" else json.dumps(said))
    assert appends_updates([tmp_path / "user", tmp_path / "env"]) is appends


def test_how_it_ended_is_saved():
    """A stopped message says that it was stopped, in the file too."""
    assert "*stopped by you" in follow(Growing(500, 1000, ending="stopped"))[-1]


def test_plain_is_one_line():
    """Names and errors stay one line, whatever is in them."""
    assert plain(" a\n\nb\x1b[0m\t`c` ") == "a b&#91;0m &#96;c&#96;"
    assert plain("a\u202eb\u2028c\x9b $5") == f"ab c {MONEY}5"


def test_saved_form_survives_the_notebook_file():
    """Records that went through JSON give the same saved form: no lone surrogates, no odd line ends."""
    text = "line\u2028sep 😀 \x85 end"
    assert json.loads(json.dumps(markdown(said(text), LINE, stream="s1"))).startswith(text)
    assert encode(OPEN)


@pytest.mark.parametrize("info", ['x" onmouseover="x', "x' onmouseover='x", 'py title="a"', "mermaid", "&quot;", "a\\"])
def test_the_language_of_a_fence_is_a_word(info):
    """JupyterLab writes the language into an attribute as it is: nothing that ends one stays behind the marks."""
    first = harmless(f"```{info}\ny\n```\n").split("\n")[0]
    assert re.fullmatch(r"```[\w+#. =:,{}()/-]*", first)

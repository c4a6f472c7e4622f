"""README and docs: every block is run or says in words why not, every command exists, every named test is one."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import relays
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

import nbstream
from nbstream import cli
from nbstream.magics import StreamMagics
from nbstream.question import arguments_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
#: A fenced block, with what a comment right above it says of its running.
BLOCK = re.compile(r"^(?:<!-- (not run|run by): (.+?) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"tests/[\w/]+\.py::\w+")
#: Blocks that show what something looks like.
SHOWN = {"text", "json", "toml"}
#: The examples of the protocol stand alone, with a relay by their side: tests/server/test_protocol_examples.py.
BY_OTHERS = {"docs/protocol.md": "tests/server/test_protocol_examples.py"}


def read(name):
    """Return a page's text."""
    return (ROOT / name).read_text("utf-8")


def prose(text):
    """Return a page without its blocks."""
    return BLOCK.sub("", text)


def blocks(name):
    """Yield (language, code, marker, its words, the text above) of each block of a page."""
    text, before = read(name), 0
    for found in BLOCK.finditer(text):
        marker, words, language, code = found.groups()
        yield language, code, marker, words, text[before : found.start()]
        before = found.end()


def is_cell(language, code):
    """Whether a block is what a user puts into a cell."""
    return language == "python" or (not language and code.startswith("%"))


def runnable(name, kind):
    """Return the blocks of a page that are run here; what the README says too runs there."""
    if name in BY_OTHERS:
        return []
    before = read("README.md") if name != "README.md" else ""
    return [
        code
        for language, code, marker, *_ in blocks(name)
        if marker is None and kind(language, code) and code not in before
    ]


def is_shell(language, _):
    """Whether a block is for a shell."""
    return language == "bash"


def test_every_block_is_found():
    """As many blocks as fences; without a language only cells and frames, so that no command hides from the tests."""
    for name in NAMES:
        assert len(re.findall(r"^```", read(name), re.MULTILINE)) == 2 * len(list(blocks(name))), name
        for language, code, *_ in blocks(name):
            shown = language in SHOWN or code.startswith(("id:", "data:"))
            assert shown or is_shell(language, code) or is_cell(language, code), f"{name}: {language} {code}"


@pytest.mark.parametrize("name", [name for name in NAMES if runnable(name, is_cell)])
def test_cells(name, tmp_path):
    """The cells of a page, one after the other in one notebook, as who follows it would: none raises."""
    # At full speed, where a magic asks the demo model: it says the same.
    quick = [re.sub(r"^%%stream.*", r"\g<0> -p tokens_per_s=0", code.rstrip()) for code in runnable(name, is_cell)]
    cells = [nbformat.v4.new_code_cell(code) for code in ["%load_ext nbstream", *quick]]
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=60, resources={"metadata": {"path": tmp_path}}
    )
    client.execute(env=environment(tmp_path), stderr=subprocess.DEVNULL)
    relays.end_all(tmp_path / "runtime")


@pytest.mark.parametrize("name", [name for name in NAMES if runnable(name, is_shell)])
def test_shell(name, tmp_path):
    """The shell blocks of a page, in a shell that ends at the first failure."""
    script = "\n".join(runnable(name, is_shell))
    done = subprocess.run(
        ["bash", "-euc", script], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    relays.end_all(tmp_path / "runtime")


def environment(place):
    """Return that of a user without keys, whose home is *place*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NBSTREAM_") and "KEY" not in name}
    bin_ = Path(sys.executable).parent
    return {
        **kept,
        "PATH": f"{bin_}:{kept['PATH']}",
        "NBSTREAM_HOME": str(place / "home"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "IPYTHONDIR": str(place / "ipython"),
    }


def test_what_is_not_run_says_why_in_words():
    """What a marker says is needed stands in the block, or in the words above it; and the code is at least code."""
    for name in NAMES:
        for language, code, marker, words, above in blocks(name):
            if marker == "not run":
                for word in words.split(", "):
                    assert word in above + code, f"{name}: nobody reads that this needs a {word}: {code}"
            if language == "python":
                plain = TransformerManager().transform_cell(code)
                compile(plain, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


def test_magics_are_understood():
    """Each line with a magic, run or not and in prose too, has arguments and verbs that there are."""
    found = 0
    for name in NAMES:
        for line in magics(name):
            found += 1
            if line.startswith("%%stream"):
                said = line.removeprefix("%%stream").rstrip("?")
                arguments_of(StreamMagics.stream_cell.parser, said, "%%stream")
            else:
                for one in line.removeprefix("%stream").split(" | "):
                    verb = one.split()[0]
                    assert hasattr(StreamMagics, f"_{verb}") or verb == "continue", f"{name}: {line}"
    assert found > 20


def magics(name):
    """Return the magics of a page, without comments."""
    text = read(name)
    spans = re.findall(r"`(%%?stream [^`\n]+?)`", prose(text))
    cells = [code for language, code, *_ in blocks(name) if is_cell(language, code)]
    lines = [line for code in cells for line in code.splitlines() if re.match(r"%%?stream\b.", line)]
    return [re.split(r"\s+#\s", line)[0].strip() for line in spans + lines if "stream:" not in line]


def test_commands_are_understood():
    """Each `nbstream ...` and `make ...` in prose is one."""
    made = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    found = 0
    for name in NAMES:
        for command in re.findall(r"`((?:nbstream|make) [^`\n]+)`", prose(read(name))):
            tool, *words = shlex.split(command.replace("[", "").replace("]", ""))
            found += 1
            if tool == "make":
                assert words[0] in made, f"{name}: {command}"
            elif words != ["..."]:
                # A command may stand for itself, without what it is for.
                assert understood(words) or understood([*words, "ID"]), f"{name}: {command}"
    assert found > 20


def understood(words):
    """Whether the command line takes these words; its help ends with 0."""
    try:
        cli._parser().parse_args(words)
    except SystemExit as exc:
        return exc.code == 0
    return True


def test_named_tests_exist():
    """Each test that a page names is there: a guarantee without its test is none."""
    for name in NAMES:
        for test in TEST.findall(read(name)):
            file, function = test.split("::")
            text = read(file) if (ROOT / file).is_file() else ""
            assert re.search(rf"^(async )?def {function}\(", text, re.MULTILINE), f"{name} names {test}"


def test_every_guarantee_has_tests():
    """A page each, in the table; each names at least five tests."""
    index = read("docs/guarantees/index.md")
    for page in (ROOT / "docs" / "guarantees").glob("*.md"):
        if page.name != "index.md":
            assert f"]({page.name})" in index
            assert len(TEST.findall(page.read_text("utf-8"))) >= 5, page


def test_every_public_name_has_its_place():
    """docs/api.md has each name of the package; errors stand in their module's part."""
    wanted = {name for name in nbstream.__all__ if getattr(nbstream, name).__module__ != "nbstream.errors"}
    assert wanted == set(re.findall(r"^::: nbstream\.(\w+)$", read("docs/api.md"), re.MULTILINE)) - {
        "errors", "testing", "demo",
    }  # fmt: skip


def test_tables_are_those_of_the_code(monkeypatch):
    """docs/options.md, and the lists of walkthroughs, are what their scripts write."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.syspath_prepend(str(ROOT / "binder"))
    import badges
    import tables

    assert tables.PAGE.read_text("utf-8") == tables.written(), "run: python docs/tables.py"
    for page in badges.PAGES:
        assert page.read_text("utf-8") == badges.written(page, badges.repository_in(page)), (
            "run: python binder/badges.py"
        )


def test_badges_name_every_notebook_and_your_repository(tmp_path, monkeypatch):
    """A further notebook gets its line; a repository that is named once stays."""
    monkeypatch.syspath_prepend(str(ROOT / "binder"))
    import badges

    (tmp_path / "notebooks").mkdir()
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- walkthroughs -->\nold\n<!-- /walkthroughs -->\nafter\n")
    for name, heading in (("05-killed.ipynb", "# 05 Killed"), ("01_start.ipynb", "# Start\nmore")):
        cell = nbformat.v4.new_markdown_cell(heading)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / name)
    monkeypatch.setattr(badges, "ROOT", tmp_path)
    monkeypatch.setattr(badges, "PAGES", {page: "docs/"})
    page.write_text(badges.written(page, "somebody/theirs"))
    lines = page.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if "mybinder" in line] == [
        "| [01 Start](notebooks/01_start.ipynb)", "| [05 Killed](notebooks/05-killed.ipynb)"
    ]  # fmt: skip
    assert all("/gh/somebody/theirs/HEAD?urlpath=lab/tree/notebooks/0" in line for line in lines if "mybinder" in line)
    assert (lines[0], lines[-1]) == ("before", "after")
    assert badges.repository_in(page) == "somebody/theirs"


def test_binder_is_pinned():
    """What Binder installs is what the tests run on, and no file there names a registry."""
    files = [path for path in (ROOT / "binder").iterdir() if path.is_file()]
    assert "-c ../constraints.txt" in read("binder/requirements.txt")
    assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line) for line in read("binder/local-model.txt").splitlines())
    assert (ROOT / "binder" / "postBuild").stat().st_mode & 0o111
    assert not [path for path in files if re.search(r"index-url|https?://(?!mybinder)", path.read_text("utf-8"))]

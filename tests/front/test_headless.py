"""Notebooks that nobody looks at: `jupyter execute`, nbclient and nbval run them in processes of their own."""

import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbstream.log.disk import open_disk_store

LOAD = "%load_ext nbstream"
FAST = "-p tokens_per_s=0"
CUT = f"%%stream -p fault=cut:50,noresume {FAST}\nhi"
LOOP = "import nbstream\nfor n in (3, 4, 5):\n    nbstream.show(nbstream.chat('loop', max_tokens=n, tokens_per_s=0))"


class Notebooks:
    """Writes notebooks and runs them as a pipeline does."""

    def __init__(self, place, environment) -> None:
        self.place, self.environment = place, environment

    def write(self, *cells: str) -> str:
        """Write a notebook of code cells; return its path."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel})
        nbformat.write(notebook, self.place / "notebook.ipynb")
        return "notebook.ipynb"

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run a Python module in the place of the notebook."""
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=self.place, env=self.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    def execute(self, *cells: str, allow_errors: bool = False) -> list:
        """Run the cells with `jupyter execute`; return the cells of the result."""
        name = self.write(*cells)
        ran = self.run("jupyter", "execute", "--inplace", *(["--allow-errors"] if allow_errors else []), name)
        assert ran.returncode == 0, ran.stderr
        return nbformat.read(self.place / name, 4).cells


@pytest.fixture
def notebooks(home, tmp_path):
    """Return what runs notebooks in a home of this test."""
    return Notebooks(tmp_path, {**os.environ, "NBSTREAM_HOME": str(home), "PYDEVD_DISABLE_FILE_VALIDATION": "1"})


def saved_form(cell) -> str:
    """Return the Markdown of a cell that has put out one answer and nothing else."""
    (output,) = cell.outputs
    assert output.output_type == "display_data"
    return output.data["text/markdown"]


def test_the_cell_waits_and_its_output_is_the_answer(notebooks, home):
    """
    `jupyter execute`: each %%stream cell waits; its output is the answer as Markdown and how it ended, `--to` is bound
    for the next cell, and `show()` in a loop leaves one output a stream, in order.
    """
    cells = notebooks.execute(
        LOAD,
        f"%%stream -p max_tokens=12 {FAST}\nWhat is a log?",
        f"%%stream --to answer -p max_tokens=6 {FAST}\nAnd a river?",
        "print(answer)",
        LOOP,
        "%stream list",
    )
    said = saved_form(cells[1])
    assert said.startswith("You asked: `What is a log?` Let us")
    assert said.splitlines()[-1].startswith("*complete")
    assert "And a river?" in saved_form(cells[2])
    assert cells[3].outputs[0].text.strip() in saved_form(cells[2])
    texts = [output.data["text/markdown"] for output in cells[4].outputs]
    assert [text.splitlines()[0] for text in texts] == [
        "You asked: `loop`", "You asked: `loop` Let", "You asked: `loop` Let us",
    ]  # fmt: skip
    # The file keeps text, not the address of an object, for front ends that show no Markdown.
    # They get it as it was written, not as Markdown that is made inert.
    plain = cells[1].outputs[0].data["text/plain"]
    assert plain.splitlines()[:-1] == said.splitlines()[:-1]
    assert plain.splitlines()[-1] == f"[{said.splitlines()[-1].strip('*')}]"
    store = open_disk_store(home / "store")
    assert [status.state for status in store.list()] == ["complete"] * 5
    store.close()
    assert len(cells[5].outputs[0].text.splitlines()) == 5


@pytest.mark.host("kernel")  # a demo server that outlives the kernel cuts only the first time
def test_half_an_answer_ends_the_pipeline(notebooks):
    """
    A stream that is cut and cannot resume: the output keeps what came and says so, then the cell raises one line, and
    the cells behind it do not run.
    """
    cells = notebooks.execute(LOAD, CUT, f"%%stream {FAST} -p max_tokens=3\nanother", allow_errors=True)
    shown, raised = cells[1].outputs
    assert "You asked: `hi`" in shown.data["text/markdown"]
    assert "; everything shown is saved, the source cannot resume" in shown.data["text/markdown"]
    assert raised.ename == "SourceLost"
    (line,) = raised.traceback
    assert line.startswith("SourceLost: stream ")
    assert "ended without an end mark" in line
    assert saved_form(cells[2])  # --allow-errors goes on, and each cell stands for itself
    ran = notebooks.run("jupyter", "execute", notebooks.write(LOAD, CUT, "open('went_on', 'w')"))
    assert ran.returncode != 0
    assert "SourceLost: stream" in ran.stderr
    assert not (notebooks.place / "went_on").exists()


def test_the_cell_that_shows_a_stream_says_nothing_more(notebooks):
    """A cell that ends with `nbstream.show(...)` has the answer only; elsewhere the line of `repr` is printed."""
    again = "import nbstream\ns = nbstream.show(iter(['kept']))"
    cells = notebooks.execute("import nbstream\nnbstream.show(iter(['all of it']))", again, "s", "[s]")
    assert "all of it" in saved_form(cells[0])
    assert cells[2].outputs[0].text.startswith("Stream ")
    assert "complete" in cells[2].outputs[0].text
    assert cells[3].outputs[0].data["text/plain"].startswith("[Stream ")


def test_an_error_in_your_code_ends_the_pipeline_with_its_traceback(notebooks):
    """A generator that raises: the cell shows where in the user's own lines, then the line of the stream."""
    bad = "def bad():\n    yield 'so far'\n    raise ValueError('row 5')\n\nimport nbstream\nnbstream.show(bad())"
    (cell,) = notebooks.execute(bad, allow_errors=True)
    raised = cell.outputs[-1]
    assert raised.ename == "SourceRefused"
    first, *_, line = raised.traceback
    assert first == "Traceback (most recent call last):"
    assert "    raise ValueError('row 5')" in raised.traceback
    assert "ValueError: row 5" in raised.traceback
    assert "the iterator raised ValueError in bad, line 3: row 5" in line


def test_a_wrong_option_ends_the_pipeline_with_its_line(notebooks):
    """A wrong option is a UsageError in the output: the pipeline stops there."""
    cells = notebooks.execute(LOAD, "%%stream --nope\nhi", allow_errors=True)
    texts = [str(output.get("text") or output.get("traceback")) for output in cells[1].outputs]
    assert any("UsageError: %%stream: unrecognized arguments: --nope" in text for text in texts), texts


def test_nbval_agrees_with_itself(notebooks):
    """A notebook with `%%stream` that was executed once passes `pytest --nbval-lax`, and its asserting cells count."""
    notebooks.execute(
        LOAD,
        f"%%stream --to answer -p max_tokens=12 {FAST}\nhi",
        "# NBVAL_CHECK_OUTPUT\nprint(answer)",
        LOOP,
    )
    ran = notebooks.run("pytest", "--nbval-lax", "-p", "no:cacheprovider", "-q", "notebook.ipynb")
    assert ran.returncode == 0, ran.stdout
    assert "4 passed" in ran.stdout
    name = notebooks.write(LOAD, CUT)
    ran = notebooks.run("pytest", "--nbval-lax", "-p", "no:cacheprovider", "-q", name)
    assert "1 failed, 1 passed" in ran.stdout
    assert "SourceLost: stream" in ran.stdout

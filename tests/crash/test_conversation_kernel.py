"""Conversations in real kernels: Run All after a restart, an edit, a new cell, two notebooks."""

import json

from nbstream.testing import Answer


def talk(server, name="trip"):
    """Return a function that makes the cell of a question; the server answers "re: QUESTION"."""

    def answer(request):
        if not request.body:
            return Answer([b"ok"], framing="length")
        question = json.loads(request.body)["messages"][-1]["content"]
        body = json.dumps({"model": "pear-1", "choices": [{"index": 0, "delta": {"content": f"re: {question}"}}]})
        return Answer.sse(f"data: {body}\n\n", "data: [DONE]\n\n")

    server.script([], otherwise=answer)
    return lambda question: f"%%stream --in {name} --model pear-1 --base-url {server.url}/v1\n{question}"


def asked(server):
    """Return what each request said, question and answers, as texts."""
    return [[one["content"] for one in json.loads(request.body)["messages"]] for request in server.requests]


def run_all(kernel, cells):
    """Run *cells* one behind the other, as Run All does; return their pages once all is complete."""
    runs = [kernel.execute(code, cell, queued=True) for cell, code in cells.items()]
    pages = [run.ok().page for run in runs]
    for page in pages:
        page.wait_state("complete")
    return pages


def test_run_all_after_a_restart_is_the_same_conversation(kernels, faults):
    """Killed, then all cells again in a new kernel: the same streams, no call; a new cell goes on behind them."""
    cell = talk(faults)
    cells = {"one": cell("a"), "two": cell("b"), "three": cell("c")}
    kernel = kernels.start().load()
    first = run_all(kernel, cells)
    assert asked(faults) == [["a"], ["a", "re: a", "b"], ["a", "re: a", "b", "re: b", "c"]]
    kernel.kill()
    kernel = kernels.start().load()
    again = run_all(kernel, cells)
    assert [page.stream for page in again] == [page.stream for page in first]
    assert len(asked(faults)) == 3
    (last,) = run_all(kernel, {"four": cell("d")})
    assert asked(faults)[-1] == ["a", "re: a", "b", "re: b", "c", "re: c", "d"]
    printed = kernel.execute("%stream history trip", "history").ok().printed
    assert printed.startswith("── 1: you ──\na\n── 1: pear-1 ──\nre: a\n── 2: you ──\nb\n")
    assert last.text == "re: d"
    assert kernel.execute("%stream history", "names").ok().printed == "trip: 4 turns\n"


def test_only_the_new_cell_after_a_restart(kernels, faults):
    """Turns live in the store: a question in a new kernel goes on behind the last one, without running it again."""
    cell = talk(faults)
    run_all(kernels.start().load(), {"one": cell("a"), "two": cell("b")})
    run_all(kernels.start().load(), {"three": cell("c")})
    assert asked(faults)[-1] == ["a", "re: a", "b", "re: b", "c"]


def test_an_edited_cell_and_run_all(kernels, faults):
    """The edited question is asked at its place, those behind it anew; the conversation has as many turns as cells."""
    cell = talk(faults)
    kernel = kernels.start().load()
    run_all(kernel, {"one": cell("a"), "two": cell("b")})
    run_all(kernels.start().load(), {"one": cell("edited"), "two": cell("b")})
    assert asked(faults)[-2:] == [["edited"], ["edited", "re: edited", "b"]]
    names = kernel.execute("%stream history", "names").ok().printed
    assert names == "trip: 2 turns\n"


def test_a_copy_of_the_notebook_has_its_own_conversation(kernels, faults):
    """The same name and cells in another notebook: another conversation."""
    cell = talk(faults)
    run_all(kernels.start().load(), {"one": cell("a")})
    run_all(kernels.start("copy.ipynb").load(), {"one": cell("a"), "two": cell("b")})
    assert asked(faults) == [["a"], ["a"], ["a", "re: a", "b"]]


def test_an_object_without_a_name_is_that_of_its_cell(kernels, faults):
    """`Conversation()` in a cell is the same one whenever that cell runs, in the next kernel too."""
    talk(faults)
    made = f"import nbstream\ntalk = nbstream.Conversation('pear-1', base_url='{faults.url}/v1')"
    cells = {"one": "talk.ask('a')", "two": "s = talk.ask('b')"}
    kernel = kernels.start().load()
    kernel.execute(made, "made").ok()
    first = run_all(kernel, cells)
    kernel = kernels.start().load()
    kernel.execute(made, "made").ok()
    again = run_all(kernel, cells)
    assert [page.stream for page in again] == [page.stream for page in first]
    assert asked(faults) == [["a"], ["a", "re: a", "b"]]


def test_what_goes_with_a_conversation_is_told(kernels, faults):
    """One line for options that do not go together, and for a conversation that there is not."""
    kernel = kernels.start().load()
    for cell, words in (
        ("%%stream --in trip --no-save\na", "--no-save and --in NAME"),
        ("%%stream --in trip --cut drop\na", "cut='drop': use 'keep', 'continue', 'leave-out'"),
        ("%%stream --cut keep\na", "--cut goes with --in NAME"),
        ("%stream history nothing", "no conversation of that name"),
    ):
        run = kernel.execute(cell, "wrong")
        assert run.wait() == "error"
        assert words in run.printed

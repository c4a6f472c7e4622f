"""`%%stream` and `%stream`: what works, and the one line a user sees for everything else."""

import pytest
from kernels import Kernels

import nbstream
from nbstream.demo import DemoModel
from nbstream.options import options
from nbstream.runtime import runtime
from nbstream.testing import Answer, Gate

FAST = "-p tokens_per_s=0 -p max_tokens=6"


def frames(*texts, done=True):
    """Return an answer in our own format."""
    body = [f'data: {{"type": "delta", "text": "{text}"}}\n\n' for text in texts]
    return Answer.sse(*body, *(["event: done\ndata: {}\n\n"] if done else []))


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%stream --nope\nhi", "unrecognized arguments: --nope"),
        ("%%stream hello there\nhi", "unrecognized arguments: hello there"),
        ("%%stream hello\nhi", "the prompt goes into the lines below"),
        ("%%stream --model\nhi", "--model/-m: expected one argument"),
        ('%%stream --system "You are\nhi', "No closing quotation"),
        ("%%stream --model gpt-5\nhi", "unknown model 'gpt-5': did you mean openai:gpt-5?"),
        ("%%stream -p seed\nhi", "-p seed: write it as NAME=VALUE"),
        ("%%stream -p =3\nhi", "-p =3: write it as NAME=VALUE"),
        ("%%stream -p model=x\nhi", "-p model=x: use --model"),
        ("%%stream -p headers=x\nhi", "-p headers=x: give them in Python"),
        ("%%stream --to 1x\nhi", "--to 1x: not a variable name"),
        ("%%stream --to class\nhi", "--to class: not a variable name"),
        ("%%stream --fresh --replay\nhi", "--fresh asks anew and --replay makes no call"),
        ("%%stream\n \n", "the cell is empty: write your prompt below %%stream"),
        ("%stream -m demo:", "the cell is empty: write your prompt below %%stream"),
        ("%%stream -m x --base-url nonsense\nhi", "not an http:// or https:// address"),
        ("%%stream --base-url http://127.0.0.1:9/v1\nhi", "name the model too, as that server calls it: --model NAME"),
        ("%stream --url nonsense", "UsageError: %stream: not an http:// or https:// address: 'nonsense'"),
        ("%%stream --url nonsense\nhi", "UsageError: %%stream: not an http:// or https:// address: 'nonsense'"),
        ("%stream --url http://127.0.0.1:9/ -m x", "--model goes with a model, not with --url"),
        ("%stream --url http://127.0.0.1:9/ -p a=1", "-p goes with a model, not with --url"),
        ("%%stream --modle demo:\nhi", "--modle demo: (did you mean --model? %%stream? lists the options)"),
        ("%%stream --url\nhi", "%%stream: argument --url/-u: expected one argument"),
        (
            "%stream --url",
            "UsageError: %stream: argument --url/-u: expected one argument (%%stream? lists the options)",
        ),
        ("%stream --ulr http://127.0.0.1:9/", "UsageError: %stream: unrecognized arguments: --ulr"),
        ("%stream --ulr http://127.0.0.1:9/", "(did you mean --url? %%stream? lists the options)"),
        ("%stream frobnicate", "%stream frobnicate: unknown; use list, show, resume, continue, stop"),
        ("%stream hello there", "help; a prompt goes into the lines below %%stream"),
        ("%stream shwo", "%stream shwo: unknown; did you mean show? A prompt goes into the lines below %%stream"),
        ("%stream list all", "%stream list takes no arguments, found 'all'"),
        ("%stream help me", "%stream help takes no arguments"),
        ("%stream show a b", "%stream show takes one ID"),
        ("%stream replay X Y --speed 3", "%stream replay takes one ID"),
        ("%stream replay X --speed 3", "%stream replay: stream 'X': not in the store"),
        ("%stream replay X --speed", "--speed: write a number above 0, like 4"),
        ("%stream replay X --speed fast", "--speed fast: write a number above 0, like 4"),
        ("%stream replay X --speed 0", "--speed 0: write a number above 0"),
        ("%stream replay --speed inf", "--speed inf: write a number above 0"),
        ("%stream show nope", "%stream show: stream 'nope': not in the store; `list` shows them all"),
        ("%stream resume nope", "%stream resume: stream 'nope': not in the store"),
        ("%stream stop nope", "%stream stop: stream 'nope': not in the store"),
        ("%stream regenerate nope", "%stream regenerate: stream 'nope': not in the store"),
        ("%stream status nope", "%stream status: stream 'nope': not in the store"),
        ("%stream show", "%stream show needs an ID: this notebook has no stream yet"),
        ("%stream clean --older-than soon", "--older-than soon: write a number of days, like 30d"),
        ("%stream clean --older-than -5d", "--older-than -5d: write a number of days"),
        ("%stream clean --older-than nan", "--older-than nan: write a number of days"),
        ("%stream clean --older-than", "%stream clean --older-than 30d"),
        ("%stream clean 30", "%stream clean takes only --older-than"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_in_one_line(cells, cell, says):
    """Whatever is wrong about a magic is said in one line, and no stream is made."""
    said = cells.line(cell)
    assert said.startswith("UsageError: ")
    assert says in said
    assert len(said) < 200
    assert nbstream.streams() == []


@pytest.mark.parametrize("named", ["$s.id", "{s.id}", "{s.id[:-3]}"])
def test_variables_name_a_stream(cells, named):
    """As in every line magic of IPython: `$x` and `{x}` are what the variable holds."""
    cells("%%stream --to text -p max_tokens=5 -p tokens_per_s=0\nWhat is a name?")
    cells("import nbstream; s = nbstream.streams()[0]")
    assert nbstream.streams()[0].text in cells(f"%stream show {named}")


def test_an_ambiguous_id_says_how_many_fit(cells):
    """The beginning of an id is enough, if it is the beginning of one only."""
    for prompt in ("one", "two"):
        nbstream.start(nbstream.chat(prompt, tokens_per_s=0, max_tokens=3)).wait(5)
    said = cells.line(f"%stream show {nbstream.streams()[0].id[:2]}")
    assert "2 streams begin with it, give more of the id" in said
    newest = nbstream.streams()[0]
    assert newest.text in cells(f"%stream show {newest.id[:-3]}")


def last_line(said: str, kind: str) -> str:
    """Return the error line, which must be the last one, and the only one about an error."""
    *before, last = said.strip("\n").splitlines()
    assert last.startswith(f"{kind}: stream "), said
    assert not any("Traceback" in line or ".py" in line for line in before)
    return last


def test_a_missing_key_is_named(cells):
    """Without OPENAI_API_KEY nothing is sent: the line names the variable and says what to do."""
    last = last_line(cells("%%stream -m openai:gpt-5\nhi"), "SourceRefused")
    assert (
        "failed: OPENAI_API_KEY is not set: put your key into that environment variable (os.environ in a notebook); "
        in last
    )


def test_a_server_that_is_not_there_is_named(cells):
    """An address where nobody listens: the line names it and asks whether the server runs."""
    last = last_line(cells("%%stream -m x --base-url http://127.0.0.1:9/v1\nhi"), "SourceLost")
    assert "interrupted before any text: cannot reach 127.0.0.1:9" in last
    assert "is the server running?" in last


def test_what_is_no_event_stream_is_quoted(cells, server):
    """A page of HTML where events should be: the line says what came instead."""
    server.script([Answer(["<html>hello</html>"], headers={"Content-Type": "text/html"})])
    last = last_line(cells(f"%stream --url {server.url}/x"), "SourceRefused")
    assert "answered 200, but not an event stream: text/html" in last


def test_a_wrong_parameter_is_refused_in_one_line(cells):
    """What the model refuses is said in its words."""
    last = last_line(cells("%%stream -p fault=nonsense\nhi"), "SourceRefused")
    assert "unknown fault 'nonsense': use cut, reset, stall" in last
    last = last_line(cells("%%stream -p max_token=30\nhi"), "SourceRefused")
    assert "unknown parameter 'max_token'; did you mean max_tokens?" in last


def test_the_answer_is_bound_to_a_name(cells):
    """`--to NAME` waits and binds the text; after a stream that is not complete the name is not bound."""
    said = cells(f"%%stream --to answer {FAST}\nhi")
    assert cells.shell.user_ns["answer"] in said
    cells("%%stream --to half -p fault=cut:30,noresume -p tokens_per_s=0\nto be bound")
    assert "half" not in cells.shell.user_ns


def test_a_url_is_streamed_with_and_without_a_body(cells, server):
    """`%stream --url` is a GET; with a cell below it, the cell is the body of a POST."""
    server.script([frames("got"), frames("posted")])
    assert "got" in cells(f"%stream --url {server.url}/x")
    assert "posted" in cells(f"%%stream --url {server.url}/x\nto send")
    assert [(one.method, one.body) for one in server.requests] == [("GET", b""), ("POST", b"to send")]


def test_replay_never_asks(cells, server):
    """`--replay` shows the saved answer of the same question without a call; with nothing saved it says so."""
    server.script([frames("once")])
    assert "nothing is saved" in cells.line(f"%stream --url {server.url}/x --replay")
    cells(f"%stream --url {server.url}/x")
    for _ in range(2):
        assert "once" in cells(f"%stream --url {server.url}/x --replay")
    assert len(server.requests) == 1


def test_replay_with_a_speed_plays_what_is_saved(cells, server, store):
    """`%stream replay` with a speed and `nbstream.replay` write the text again without a call, and save nothing."""
    server.script([frames("once", "again")])
    cells(f"%stream --url {server.url}/x")
    (stream,) = nbstream.streams()
    for cell in (
        "%stream replay --speed 100",
        f"%stream replay {stream.id[:20]} --speed 100",
        "%stream replay --speed 50",
    ):
        said = cells(cell)
        assert "onceagain" in said
        assert f"replay of {stream.id}" in said
    assert "onceagain" in cells(f"import nbstream; s = nbstream.replay({stream.id!r}, speed=100)")
    assert "complete: the source's own end mark" in cells("nbstream.streams()[0].timeline()")
    assert "assistant #1 text 0+" in cells("nbstream.inspect(nbstream.streams()[0])")
    assert [one.stream for one in store.list()] == [stream.id]
    assert len(server.requests) == 1


def test_not_saved_is_in_memory_only(cells, store):
    """`--no-save` leaves nothing on disk, and the stream can be shown while the process lives."""
    shown = cells(f"%%stream --no-save {FAST}\nhi")
    assert "You asked" in shown
    assert store.list() == []
    assert "You asked" in cells("%stream show")


def test_list_show_and_status_describe_what_is_saved(cells):
    """`list` is a line a stream with its question, `show` the text and how it ended, `status` everything."""
    assert cells.line("%stream list") == "no streams are saved"
    assert "nothing is live" in cells("%stream status")
    cells(f"%%stream {FAST}\nWhat is a log?")
    (stream,) = nbstream.streams()
    listed = cells.line("%stream list")
    assert stream.id in listed
    assert "What is a log?" in listed
    assert f" {len(stream.text):,} chars  demo · What is a log?" in listed
    assert "page    0 streams shown, 0 views" in cells("%stream status")
    assert "complete" in listed
    for verb in ("show", "replay", "resume"):
        assert stream.text in cells(f"%stream {verb} {stream.id}")
    status = cells(f"%stream status {stream.id}")
    assert stream.id in status
    assert "offset" in status
    assert len(nbstream.streams()) == 1


def test_what_is_saved_is_shown_without_an_error(cells):
    """`show` and `replay` were asked for what is saved, however it ended: they do not raise."""
    said = cells("%%stream -p fault=cut:30,noresume -p tokens_per_s=0\nto be shown")
    last_line(said, "SourceLost")
    for verb in ("show", "replay"):
        said = cells(f"%stream {verb}")
        assert "; everything shown is saved, the source cannot resume; it can be continued by a new generation" in said
        assert "SourceLost" not in said


def test_resume_goes_on_with_the_one_that_just_failed(cells, server):
    """Without an ID `resume` means the last stream, also when its cell has raised, and completes the same message."""
    first = 'id: 1\ndata: {"type": "delta", "text": "one, "}\n\n'
    rest = 'id: 2\ndata: {"type": "delta", "text": "two"}\n\nevent: done\ndata: {}\n\n'
    server.script([Answer.sse(first, end="cut"), Answer(status=400), Answer.sse(rest)])
    cells(f"%%stream {FAST}\nanother one")
    last = last_line(cells(f"%stream --url {server.url}/x"), "SourceRefused")
    assert "failed" in last
    assert "one, two\n[complete" in cells("%stream resume")
    assert server.requests[-1].last_event_id == "1"
    assert len(nbstream.streams()) == 2


def test_continue_lets_a_new_generation_go_on(cells):
    """Without an ID the last stream; the output has the seam, and the text of the demo model is that of the whole."""
    said = cells("%%stream -p tokens_per_s=0 -p max_tokens=90 -p fault=cut:100,noresume\nto be continued")
    last_line(said, "SourceLost")
    said = cells("%stream continue")
    assert "[continued here by a new generation: demo, behind its own words]" in said
    assert "continued once by a new generation]" in said
    (stream,) = nbstream.streams()
    assert stream.text == DemoModel().text("to be continued", max_tokens=90)


def test_a_conversation_in_cells(cells):
    """`--in NAME` makes a cell a turn; `%stream history` tells all of it, and which conversations there are."""
    assert cells("%stream history") == "no conversation in this notebook yet: %%stream --in NAME\n"
    cells(f"%%stream --in trip {FAST}\nrivers")
    cells(f"%%stream --in trip {FAST} --cut leave-out\nbridges")
    assert cells("%stream history") == "trip: 2 turns\n"
    history = cells("%stream history trip")
    assert history.startswith("── 1: you ──\nrivers\n── 1: demo ──\nYou asked: `rivers`")
    assert "── 2: you ──\nbridges\n── 2: demo ──\nYou asked: `bridges`" in history


def test_regenerate_keeps_the_old_one(cells):
    """`regenerate` asks anew: a second stream, whose parent is the first."""
    cells(f"%%stream {FAST}\nhi")
    (old,) = nbstream.streams()
    assert "You asked" in cells("%stream regenerate")
    new, kept = nbstream.streams()
    assert kept.id == old.id
    assert new.log.read(limit=1)[0].parent == old.id


def until_said(stream, text):
    """Wait until *text* is what is saved of a stream."""
    for _ in range(20):
        offset = stream.offset
        if stream.text == text:
            return
        stream.log.wait(offset, 10)
    raise AssertionError(stream.text)


def test_stop_ends_what_runs(cells, server):
    """`stop` closes the call and prints how the stream stands; `stop all` stops every live one."""
    gates = [Gate(), Gate(), Gate()]
    server.script([Answer.sse('data: {"type": "delta", "text": "so far"}\n\n', gate) for gate in gates])
    streams = [nbstream.start(nbstream.sse(f"{server.url}/{n}")) for n in range(3)]
    for stream in streams:
        until_said(stream, "so far")
    assert "stopped by you · 6 characters" in cells.line(f"%stream stop {streams[0].id}")
    said = cells("%stream stop all")
    assert said.count("stopped by you") == 2
    assert cells.line("%stream stop all") == "nothing is live"
    server.wait_closed(1.0)
    assert {one.state for one in streams} == {"stopped"}


def test_stop_resume_and_regenerate_of_one_agent(cells, server):
    """With an agent behind the ID only that one is meant; a name that is no agent's stops nothing."""
    gates = {"/a": Gate(), "/b": Gate()}
    end = 'id: 2\ndata: {"type": "delta", "text": "."}\n\nevent: done\ndata: {}\n\n'

    def answer(request):
        if request.last_event_id:
            return Answer.sse(end)
        return Answer.sse('id: 1\ndata: {"type": "delta", "text": "so far"}\n\n', gates[request.path], end)

    server.script([answer] * 4)
    stream = nbstream.start(nbstream.merge({name: nbstream.sse(f"{server.url}/{name}") for name in "ab"}))
    until_said(stream, "so far\n\nso far")
    said = cells.line(f"%stream stop {stream.id} c")
    assert said.startswith("UsageError: ")
    assert "has no agent 'c': its agents are a, b" in said
    said = cells.line(f"%stream stop {stream.id} a")
    assert said.startswith(f"Stream {stream.id}, a: stopped by you")
    assert {name: facts.state for name, facts in stream.agent_facts().items()} == {"a": "stopped", "b": "streaming"}
    gates["/b"].open()
    assert stream.wait(10) == "stopped"
    assert "[complete" in cells(f"%stream resume {stream.id} a")
    assert stream.text == "so far.\n\nso far."
    gates["/b"].open()
    cells(f"%stream regenerate {stream.id} b")
    new = nbstream.streams()[0]
    assert new.log.read(limit=1)[0].parent == stream.id
    assert [request.path for request in server.requests].count("/b") == 2
    assert "it is no team" in cells.line(f"%stream stop {one_voice(server)} a")


def one_voice(server):
    """Return the id of a stream that is no team."""
    server.script([frames("text")])
    stream = nbstream.start(nbstream.sse(f"{server.url}/one"))
    assert stream.wait(10) == "complete"
    return stream.id


def test_clean_deletes_what_is_old_enough(cells):
    """`clean` says how many it deleted; the default of 30 days leaves what is new."""
    cells(f"%%stream {FAST}\nhi")
    assert cells.line("%stream clean") == "deleted 0 streams older than 30 days"
    assert cells.line("%stream clean --older-than 0d") == "deleted 1 stream older than 0 days"
    assert nbstream.streams() == []


def test_help_names_every_verb(cells):
    """`%stream` alone is `%stream help`, a line a verb."""
    for cell in ("%stream", "%stream help"):
        said = cells(cell)
        for verb in ("list", "show", "resume", "stop", "regenerate", "replay", "clean", "status"):
            assert f"%stream {verb}" in said


@pytest.mark.host("kernel")  # what a relay records goes on
def test_load_reload_unload(ipython):
    """Load prints nothing, reload changes nothing, unload takes magics and options away and ends what runs."""
    shell = ipython.shell
    assert ipython("%load_ext nbstream") == ""
    for _ in range(2):
        assert "You asked" in ipython(f"%%stream {FAST}\nhi")
        assert ipython("%reload_ext nbstream") == ""
    assert [type(one).__name__ for one in shell.configurables].count("NbStream") == 1
    stream = nbstream.start(nbstream.chat("go on", tokens_per_s=5))
    assert ipython("%unload_ext nbstream") == ""
    assert stream.state == "interrupted"
    assert not runtime().recorders
    assert "not found" in ipython("%stream list")
    assert "not found" in ipython("%%stream\nhi")
    assert "NbStream" not in ipython("%config")
    assert ipython("%load_ext nbstream") == ""
    assert stream.id in ipython("%stream list")


def test_unload_in_a_kernel_ends_what_runs_and_its_views(home):
    """In a kernel with a page: unload prints nothing and ends the stream; loaded again, the cell goes on with it."""
    with Kernels(home) as kernels:
        kernel = kernels.start().load()
        page = kernel.execute("%%stream -p tokens_per_s=20\nhi", "cell").page
        page.wait_text(5)
        unload = kernel.execute("%unload_ext nbstream").ok()
        assert unload.printed == ""
        listed = kernel.execute("%load_ext nbstream\n%stream list").ok()
        assert f"{page.stream}  interrupted  " in listed.printed
        again = kernel.execute("%%stream -p tokens_per_s=20\nhi", "cell").page
        again.wait_text(len(page.text) + 1)
        assert again.stream == page.stream
        assert again.text.startswith(page.text)
        assert kernel.execute("%reload_ext nbstream").ok().printed == ""
        assert "Traceback" not in kernel.stderr


def test_a_page_that_shows_a_stream_gets_no_line_under_it(home):
    """On a page, `nbstream.show(...)` as the last line of a cell leaves no line that would get stale."""
    with Kernels(home) as kernels:
        kernel = kernels.start().load()
        run = kernel.execute("import nbstream\nnbstream.show(iter(['all of it']))", "cell").ok()
        run.page.wait_state("complete")
        assert run.printed == ""
        assert not any("Stream" in str(out.get("data", {}).get("text/plain", "")) for out in run.outputs[1:])
        assert kernel.execute("nbstream.streams()[0]", "other").ok().printed.startswith("Stream ")


def test_options_are_shown_and_set_by_config(cells, caplog):
    """`%config NbStream` shows every option with its help; what is set holds for the next stream."""
    said = cells("%config NbStream")
    for name in ("model", "base_url", "system", "rerun", "wait", "first_s", "idle_s", "store"):
        assert f"NbStream.{name}=" in said
    assert cells("%config NbStream.model = 'nonsense'") == ""
    assert "unknown model 'nonsense'" in cells.line("%%stream\nhi")
    cells("%config NbStream.idle_s = 'soon'")
    cells("%config NbStream.idle_s = -1")
    soon, less = (record.getMessage() for record in caplog.records)
    assert "expected a float, not the str 'soon'" in soon
    assert "should be greater than or equal to 0" in less or "should not be less than 0" in less


def test_options_come_from_the_environment(ipython, monkeypatch):
    """`NBSTREAM_<NAME>` sets an option before anything is loaded."""
    monkeypatch.setenv("NBSTREAM_IDLE_S", "12.5")
    monkeypatch.setenv("NBSTREAM_WAIT", "true")
    monkeypatch.setenv("NBSTREAM_SYSTEM", "Be brief: {now}")
    ipython("%load_ext nbstream")
    assert (options().idle_s, options().wait, options().system) == (12.5, True, "Be brief: {now}")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("IDLE_S", "soon", "use a number of seconds from 0 on"),
        ("FIRST_S", "-1", "use a number of seconds from 0 on"),
        ("WAIT", "perhaps", "use true or false"),
        ("RERUN", "maybe", "use saved or new"),
    ],
)
def test_a_bad_variable_is_named_in_one_line(ipython, monkeypatch, name, value, says):
    """A value that an option does not take: loading says which variable, and what it may be; then it can be loaded."""
    monkeypatch.setenv(f"NBSTREAM_{name}", value)
    said = ipython.line("%load_ext nbstream")
    assert said == f"UsageError: NBSTREAM_{name}='{value}' in the environment: {says}"
    monkeypatch.delenv(f"NBSTREAM_{name}")
    assert ipython("%load_ext nbstream") == ""


def test_an_option_of_all_cells_is_pointed_to(cells):
    """`--linger-s` is no option of one cell: the line says where it is set."""
    said = cells.line("%%stream --linger-s 4\nhi")
    assert said.startswith("UsageError: ")
    assert "%config NbStream.linger_s = ..." in said


def test_items_of_no_known_kind_are_no_empty_answer(cells):
    """An iterator of objects that nobody knows fails and says so; beside text they are counted in the line."""
    raised = last_line(cells("import nbstream\nnbstream.show([1, 2])"), "SourceMalformed")
    assert "nothing to show: the iterator yields int" in raised
    assert "1 piece of unknown kind not shown (int)" in cells('nbstream.show(["text", 2])')


def test_the_list_names_every_stream(cells):
    """One line a stream, under 120 characters, however long its question; without a question: what the source is."""
    cells(f"%%stream -p tokens_per_s=0 -p max_tokens=2\n{'a long question ' * 20}")
    cells('import nbstream\nnbstream.show(part for part in ["text"])')
    by_object, by_question = cells("%stream list").splitlines()
    assert by_object.endswith("generator")
    assert "a long question a long" in by_question
    assert len(by_question) < 120
    assert " chars  demo · a long question" in by_question

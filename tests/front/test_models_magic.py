"""`%stream models`, and models that another package registers."""

import json
import sys
import time

import pytest

import nbstream
from nbstream.catalog import PROBE_S, _served
from nbstream.runtime import runtime
from nbstream.sources.models.providers import PROVIDERS, Provider
from nbstream.testing import Answer, Pause

AS_JSON = {"Content-Type": "application/json"}
KEY = "quiet+harbour-lantern=0042"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    """Let no variable of the environment say anything."""
    for provider in PROVIDERS.values():
        for name in (*provider.keys, provider.base_env):
            monkeypatch.delenv(name or "NONE", raising=False)


def models(cells):
    """Return the lines of `%stream models` by what they are about."""
    said = cells("%stream models")
    assert all(len(line) > 12 for line in said.splitlines()), said
    return {line[:12].strip(): line[12:] for line in said.splitlines()}


@pytest.mark.host("kernel")
def test_models_lists_providers_and_keys(cells, monkeypatch):
    """Every provider, its key by the variable's name and never by its value, the default and the formats."""
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://me:{KEY}@proxy.example/v1")
    monkeypatch.setenv("OLLAMA_HOST", "box.example:1234")
    told = models(cells)
    assert {f"{name}:" for name in PROVIDERS} <= told.keys()
    assert told["demo:"] == "embedded: no key, no network"
    assert told["openai:"] == "OPENAI_API_KEY is not set; asked at https://***@proxy.example/v1"
    assert told["gemini:"] == "GOOGLE_API_KEY is set"
    assert told["groq:"] == "GROQ_API_KEY is set"
    assert told["ollama:"] == "http://box.example:1234 (on another machine: not asked)"
    assert told["local:"].startswith("smollm2 (")
    assert told["default"].startswith("demo: ")
    assert "anthropic.messages" in told["formats"]
    assert KEY not in json.dumps(told)
    cells("%config NbStream.model = 'openai:gpt-x'")
    assert models(cells)["default"].startswith("openai:gpt-x ")


@pytest.mark.host("kernel")
def test_models_asks_the_servers_of_this_machine(cells, server, monkeypatch):
    """A server that answers is named with what it serves; the question is one GET without a key."""
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    names = [f"m-{number}:8b" for number in range(8)]
    server.script([Answer([json.dumps({"models": [{"name": name} for name in names]})], headers=AS_JSON)])
    assert models(cells)["ollama:"] == f"{server.url} serves {', '.join(names[:6])} and 2 more"
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/api/tags")
    assert KEY not in json.dumps(dict(request.headers))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer([json.dumps({"data": [{"id": "qwen"}]})], headers=AS_JSON), "{url}/v1 serves qwen"),
        (Answer([json.dumps({"data": []})], headers=AS_JSON), "{url}/v1 serves no model yet"),
        (Answer([json.dumps({"error": {"message": "Loading model"}})], 503, AS_JSON), "{url}/v1 is loading its model"),
        (Answer(["<html>"]), "something else answers at {url}/v1"),
        (Answer([], 404), "something else answers at {url}/v1"),
        (Answer([], 302, {"Location": "http://192.0.2.1/"}), "something else answers at {url}/v1"),
        (Answer([b"x" * 70_000] * 20), "something else answers at {url}/v1"),
        (Answer(["[", Pause(30)]), "nothing answers at {url}/v1"),
        (Answer(end="reset"), "nothing answers at {url}/v1"),
        (Answer(before=[Pause(30)]), "nothing answers at {url}/v1"),
    ],
)  # fmt: skip
def test_a_probe_is_short_and_asks_nobody_else(server, answer, said):
    """Whatever a server does, a probe takes about a second at most, reads a megabyte at most, follows nowhere."""
    server.script([answer])
    began = time.monotonic()
    told = runtime().submit(_served(Provider(f"{server.url}/v1", "llamacpp"))).result(10)
    assert time.monotonic() - began < PROBE_S + 1
    assert told == said.format(url=server.url)
    assert len(server.requests) == 1
    server.wait_closed(2.0)


@pytest.mark.host("kernel")
def test_a_key_in_a_cell_is_refused(cells):
    """`-p api_key=...` is one line that says where keys go, and does not repeat it."""
    said = cells.line(f"%%stream --model openai:m -p api_key={KEY}\nhi")
    assert "it would stay in the notebook" in said
    assert KEY not in said
    assert nbstream.streams() == []


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return what installs a package of the given name with entry points and one module."""

    def install(name, module, source, entries):
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / f"{module}.py").write_text(source)
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        points = "".join(f"{one} = {module}:{function}\n" for one, function in entries.items())
        (info / "entry_points.txt").write_text(f"[nbstream.sources]\n{points}")
        monkeypatch.syspath_prepend(str(site))

    yield install
    for module in ("tide_models", "other_models"):
        sys.modules.pop(module, None)


TIDES = """
import nbstream

def words(model, messages, shout=False):
    def tell(cursor):
        text = f"{model} heard {messages[-1]['content']!r} under {messages[0]['content']!r}"
        yield from (text.upper() if shout else text).split(" ")
    return tell

def served(model, messages, *, temperature=None):
    return nbstream.chat(messages, "m-" + model, base_url=ADDRESS, temperature=temperature, api_key_env="TIDE_KEY")

def wrong(model, messages):
    return 42

def picky(model, messages, *, port):
    return iter([port])
"""


def test_a_package_brings_its_models(cells, package):
    """`chat(model="tides:low")` asks the function that an installed package registered; `%%stream` finds it, too."""
    package("tide-models", "tide_models", TIDES, {"tides": "words"})
    stream = nbstream.start(nbstream.chat("hello", "tides:low", system="Be brief."))
    assert stream.wait(10) == "complete"
    assert stream.text == "lowheard'hello'under'Bebrief.'"
    said = cells("%%stream --model tides:high --wait -p shout=true\nahoy")
    assert "HIGHHEARD'AHOY'" in said
    assert models(cells)["tides:"] == "from the package tide-models"


def test_a_package_may_return_any_source(home, package, server, monkeypatch):
    """A source of `chat` or `sse` is recorded in the relay as ever, with its key."""
    monkeypatch.setenv("TIDE_KEY", KEY)
    package("tide-models", "tide_models", TIDES.replace("ADDRESS", repr(server.url)), {"tides": "served"})
    chunk = {"choices": [{"index": 0, "delta": {"content": "low"}, "finish_reason": "stop"}]}
    server.script([Answer.sse(f"data: {json.dumps(chunk)}\n\n", "data: [DONE]\n\n")])
    stream = nbstream.start(nbstream.chat("hello", "tides:low", temperature=0))
    assert stream.wait(10) == "complete"
    (request,) = server.requests
    assert json.loads(request.body)["model"] == "m-low"
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.host("kernel")
def test_what_is_wrong_with_a_package_is_one_line(cells, package):
    """It cannot be loaded, returns nothing that streams, or wants other arguments: a line that names it."""
    package("tide-models", "tide_models", TIDES, {"tides": "absent", "wrong": "wrong", "picky": "picky"})
    package("other-models", "other_models", "raise OSError('no licence')", {"other": "x"})
    for model, said in (
        ("tides:low", "the model tides: of the package tide-models cannot be loaded (AttributeError"),
        ("other:x", "the model other: of the package other-models cannot be loaded (OSError: no licence)"),
        ("wrong:x", "the model wrong: of the package tide-models: "),
        ("picky:x", "missing 1 required keyword-only argument: 'port'"),
        ("nobody:x", "unknown model 'nobody:x': use demo:, openai:NAME"),
    ):
        assert said in cells.line(f"%%stream --model {model}\nhi")
    assert "llamacpp, local, other, picky, tides, wrong), or" in cells.line("%%stream --model nobody:x\nhi")


@pytest.mark.host("kernel")
def test_a_package_cannot_take_the_name_of_a_provider(cells, package):
    """A registered `openai` changes nothing: keys go where they always went."""
    package("tide-models", "tide_models", TIDES, {"openai": "words", "demo": "words"})
    assert nbstream.chat("x", "openai:m").call.url == "https://api.openai.com/v1/chat/completions"
    assert nbstream.chat("x").call.url.startswith("demo:")

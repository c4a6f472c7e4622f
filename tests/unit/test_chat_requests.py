"""Models by name: where they are asked, with which key, and how a conversation reads in the words of each API."""

import json

import pytest

from nbstream.catalog import lines
from nbstream.sources import from_spec
from nbstream.sources.models.chat import chat
from nbstream.sources.models.ollama import base_of
from nbstream.sources.models.providers import APIS, PROVIDERS
from nbstream.sources.portable import pack, unpack

VARIABLES = {name for one in PROVIDERS.values() for name in (*one.keys, one.base_env) if name}

#: A conversation with everything that has to be put into other words.
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "When is "}, {"type": "text", "text": "high water?"}]},
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {"id": "t-1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Kiel"}'}},
            {"id": "t-2", "type": "function", "function": {"name": "wind", "arguments": ""}},
        ],
    },
    {"role": "tool", "tool_call_id": "t-1", "content": "at nine"},
    {"role": "tool", "tool_call_id": "t-2", "content": [{"type": "text", "text": "from the west"}]},
    {"role": "developer", "content": "No tables."},
    {"role": "assistant", "content": "At nine."},
    {"role": "user", "content": "And now?"},
]
#: One of each provider.
MODELS = [f"{name}:{(one.models or ('m',))[0]}" for name, one in PROVIDERS.items() if name != "demo"]

BROKEN_CALL = {"id": "t", "function": {"name": "f", "arguments": "{"}}
USED = [("t-1", "tide", {"port": "Kiel"}), ("t-2", "wind", {})]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    """Let no variable of the environment say anything."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def body_of(api, talk=TALK, **params):
    """Return what is sent for *talk* in one API."""
    return json.loads(chat(talk, "m", base_url="http://h/v1", api=api, **params).call.body)


def test_a_conversation_for_chat_completions():
    """As it is: the words are theirs."""
    assert body_of("openai.chat")["messages"] == TALK


def test_a_conversation_for_responses():
    """What stands above it is `instructions`; calls and results of tools are items of their own."""
    body = body_of("openai.responses", max_tokens=5)
    assert (body["instructions"], body["max_output_tokens"]) == ("Be brief.\n\nNo tables.", 5)
    assert body["input"] == [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "When is "}, {"type": "input_text", "text": "high water?"}],
        },
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "t-1", "name": "tide", "arguments": '{"port": "Kiel"}'},
        {"type": "function_call", "call_id": "t-2", "name": "wind", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t-1", "output": "at nine"},
        {"type": "function_call_output", "call_id": "t-2", "output": "from the west"},
        {"role": "assistant", "content": "At nine."},
        {"role": "user", "content": "And now?"},
    ]


def test_a_conversation_for_anthropic():
    """`system` is a field, all results of a turn stand in one message, and there is a limit unless one is given."""
    body = body_of("anthropic.messages", stop="END")
    assert (body["system"], body["max_tokens"], body["stop_sequences"]) == ("Be brief.\n\nNo tables.", 8192, ["END"])
    assert body["messages"] == [
        TALK[1],
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                *({"type": "tool_use", "id": id_, "name": name, "input": given} for id_, name, given in USED),
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t-1", "content": "at nine"},
                {"type": "tool_result", "tool_use_id": "t-2", "content": "from the west"},
            ],
        },
        {"role": "assistant", "content": "At nine."},
        {"role": "user", "content": "And now?"},
    ]
    assert body_of("anthropic.messages", max_tokens=5)["max_tokens"] == 5


def test_a_conversation_for_gemini():
    """Roles are user and model and take turns; a tool's answer goes by its name."""
    body = body_of("gemini.generate", max_tokens=5, stop="END", temperature=0, tools=[{"google_search": {}}])
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief.\n\nNo tables."}]}
    assert body["generationConfig"] == {"maxOutputTokens": 5, "stopSequences": ["END"], "temperature": 0}
    assert body["tools"] == [{"google_search": {}}]
    calls = [{"functionCall": {"name": name, "args": given}} for _, name, given in USED]
    answers = [("tide", "at nine"), ("wind", "from the west")]
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "When is "}, {"text": "high water?"}]},
        {"role": "model", "parts": [{"text": "I look."}, *calls]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": name, "response": {"result": said}}} for name, said in answers],
        },
        {"role": "model", "parts": [{"text": "At nine."}]},
        {"role": "user", "parts": [{"text": "And now?"}]},
    ]


def test_a_conversation_for_ollama():
    """Content is text, arguments are objects, and parameters of the model are `options`."""
    body = body_of("ollama.chat", max_tokens=5, temperature=0, think=True, options={"num_ctx": 2048})
    assert body["options"] == {"num_ctx": 2048, "num_predict": 5, "temperature": 0}
    assert body["think"] is True
    assert body["messages"][1] == {"role": "user", "content": "When is high water?"}
    called = [{"function": {"name": name, "arguments": given}} for _, name, given in USED]
    assert body["messages"][2]["tool_calls"] == called
    assert body["messages"][4]["content"] == "from the west"


@pytest.mark.parametrize("api", APIS)
def test_a_prompt_alone(api):
    """No system prompt and no parameter: nothing empty is sent."""
    body = body_of(api, talk="Hello")
    assert not [name for name, value in body.items() if value in (None, "", {}, [])]
    assert "Hello" in json.dumps(body)
    assert chat("Hello", "m", base_url="http://h", api=api).spec["title"] == "Hello"


@pytest.mark.parametrize(
    ("model", "base_url", "url", "name"),
    [
        # A prefix with an API of its own says how the server is asked; others are part of the model's name.
        ("anthropic:claude-x", "http://h", "http://h/v1/messages", "claude-x"),
        ("anthropic:claude-x", "http://h/proxy/v1/", "http://h/proxy/v1/messages", "claude-x"),
        ("ollama:mistral:7b", "http://h:11434", "http://h:11434/api/chat", "mistral:7b"),
        ("llamacpp:", "http://h:9/v1", "http://h:9/v1/chat/completions", ""),
        ("mistral:7b", "http://h:11434/v1", "http://h:11434/v1/chat/completions", "mistral:7b"),
        ("groq:m", "http://h/v1", "http://h/v1/chat/completions", "groq:m"),
        ("m", "http://h/v1/chat", "http://h/v1/chat/completions", "m"),
        ("mistral:m", None, "https://api.mistral.ai/v1/chat/completions", "m"),
        ("openrouter:x-ai/grok:free", None, "https://openrouter.ai/api/v1/chat/completions", "x-ai/grok:free"),
        ("ollama:llama3:8b", None, "http://127.0.0.1:11434/api/chat", "llama3:8b"),
        ("llamacpp:", None, "http://127.0.0.1:8080/v1/chat/completions", ""),
    ],
)
def test_where_a_model_is_asked(model, base_url, url, name):
    """The address and the model's name there."""
    call = chat("x", model, base_url=base_url).call
    assert (call.url, json.loads(call.body)["model"]) == (url, name)


@pytest.mark.parametrize(
    ("model", "base", "url"),
    [
        ("gemini:m-1", "http://h", "http://h/v1beta/models/m-1:streamGenerateContent?alt=sse"),
        ("gemini:models/m", "http://h/v1beta", "http://h/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("gemini:tunedModels/m", "http://h?key=1", "http://h/v1beta/tunedModels/m:streamGenerateContent?key=1&alt=sse"),
        ("gemini:a b?c#d", "http://h", "http://h/v1beta/models/a%20b%3Fc%23d:streamGenerateContent?alt=sse"),
    ],
)
def test_a_model_in_an_address(model, base, url):
    """Where the name of the model stands in the address it cannot change the rest of it."""
    assert chat("x", model, base_url=base).call.url == url


@pytest.mark.parametrize(
    ("variable", "value", "model", "url"),
    [
        ("OPENAI_BASE_URL", "https://proxy.example/v1", "openai:m", "https://proxy.example/v1/chat/completions"),
        ("ANTHROPIC_BASE_URL", "https://proxy.example", "anthropic:m", "https://proxy.example/v1/messages"),
        ("OLLAMA_HOST", "0.0.0.0", "ollama:m", "http://127.0.0.1:11434/api/chat"),
        ("OLLAMA_HOST", "box:1234", "ollama:m", "http://box:1234/api/chat"),
    ],
)
def test_an_address_from_the_environment(monkeypatch, variable, value, model, url):
    """The variables that the providers' own clients know move the address; `base_url` counts more."""
    monkeypatch.setenv(variable, value)
    assert chat("x", model).call.url == url
    assert chat("x", model, base_url="http://h").call.url.startswith("http://h/")


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("box", "http://box:11434"),
        ("box:1", "http://box:1"),
        (":1", "http://127.0.0.1:1"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:1/ollama/", "https://box:1/ollama"),
        ("[::1]:1", "http://[::1]:1"),
        ("[::]", "http://127.0.0.1:11434"),
        ("https://me:pw@box/", "https://me:pw@box:443"),
    ],
)
def test_what_ollama_host_means(host, base):
    """A host, a port, both, or all of an address, as Ollama's own programs read it."""
    assert base_of(host) == base


@pytest.mark.parametrize(
    ("variable", "value", "model"),
    [
        ("OLLAMA_HOST", "http://me:hunter2@box:99999", "ollama:m"),
        ("OLLAMA_HOST", "http://[", "ollama:m"),
        ("OPENAI_BASE_URL", "http://[", "openai:m"),
        ("ANTHROPIC_BASE_URL", "box:1", "anthropic:m"),
    ],
)
def test_a_variable_that_is_no_address_is_named(monkeypatch, variable, value, model):
    """One line, in the call and in the list of models: which variable it is, and nothing of a password in it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable} is ") as caught:
        chat("x", model)
    listed = next(line for line in lines() if line.startswith(model.partition(":")[0]))
    assert str(caught.value) in listed
    assert "hunter2" not in listed


def test_the_newer_name_of_a_limit(monkeypatch):
    """OpenAI's newer models refuse `max_tokens`; servers that only speak like it may know nothing else."""
    own = {"max_completion_tokens": 9}
    assert own.items() <= json.loads(chat("x", "openai:m", max_tokens=9).call.body).items()
    assert own.items() <= json.loads(chat("x", "openai:m", max_completion_tokens=9).call.body).items()
    assert json.loads(chat("x", "openai:m", base_url="http://h", max_tokens=9).call.body)["max_tokens"] == 9
    assert json.loads(chat("x", "groq:m", max_tokens=9).call.body)["max_tokens"] == 9
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h")
    assert json.loads(chat("x", "openai:m", max_tokens=9).call.body)["max_tokens"] == 9


def test_which_key_is_asked_for(monkeypatch):
    """The first variable that is set, else the first; `api_key_env` counts more; `base_url` alone needs none."""
    assert chat("x", "gemini:m").call.key_env == "GEMINI_API_KEY"
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    assert chat("x", "gemini:m").call.key_env == "GOOGLE_API_KEY"
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert chat("x", "gemini:m").call.key_env == "GEMINI_API_KEY"
    assert chat("x", "gemini:m", api_key_env="MINE").call.key_env == "MINE"
    assert chat("x", "m", base_url="http://h").call.key is None
    assert chat("x", "m", base_url="http://h", api="anthropic.messages", api_key_env="MINE").call.key.sent_as == (
        "x-api-key"
    )


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: chat("x", api_key="sk-secret"), TypeError, "it would stay in the notebook"),
        (lambda: chat("x", "openai:m", api_key=b"sk-secret"), TypeError, "a function that returns the key"),
        (lambda: chat("x", "openai:m", api="responses"), ValueError, "api='responses': use openai.chat, openai.resp"),
        (lambda: chat("x", "nobody:m"), ValueError, "unknown model 'nobody:m': use demo:, openai:NAME (or anth"),
        (lambda: chat("x", "anthropic:"), ValueError, "unknown model"),
        (lambda: chat("x", "demo:big"), ValueError, "unknown model"),
        (lambda: chat("x", "anthropic:", base_url="http://h"), ValueError, "name the model"),
        (lambda: chat("x", "gemini:../secret"), ValueError, "not a model's name"),
        (lambda: chat("x", "openai:m", api_key_env="sk-secret-0123456789abcdef"), ValueError, "takes the name"),
        (lambda: chat("x", "gemini:m", api_key_env="AIza0123456789secretabcdef"), ValueError, "takes the name"),
        (lambda: chat("x", "openai:m", api_key_env=5), TypeError, "api_key_env= must be text, not int"),
        (lambda: chat("x", None), TypeError, "model= must be text, not NoneType"),
        (lambda: chat("x", "m", base_url=5), TypeError, "base_url= must be text, not int"),
        (lambda: chat("x", "openai:m", system=["x"]), TypeError, "system= must be text, not list"),
        (lambda: chat("x", "openai:m", headers=["x"]), TypeError, "headers= must map names to values, not list"),
        (lambda: chat("x", "gemini:m", generationConfig=5), TypeError, "generationConfig= must map names"),
        (lambda: chat("x", "ollama:m", options="x"), TypeError, "options= must map names"),
        (lambda: chat("x", "openai:m", messages=[]), TypeError, "the conversation is the first argument"),
        (lambda: chat(None, "openai:m"), TypeError, "the prompt must be text or a list of messages, not NoneType"),
        (lambda: chat([{"role": "assistant", "tool_calls": 5}], "openai:m"), ValueError, "tool_calls must be a list"),
        (lambda: chat([{"role": "assistant", "tool_calls": ["x"]}], "gemini:m"), ValueError, "tool_calls must be a"),
        (lambda: chat([7], "openai:m"), ValueError, "messages must be"),
        (lambda: chat([{"role": "user", "content": [7]}], "anthropic:m"), ValueError, "content must be text"),
        (
            lambda: chat([{"role": "assistant", "tool_calls": [BROKEN_CALL]}], "gemini:m"),
            ValueError, "the arguments of the tool call 'f' are not JSON",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_clear_line(make, error, said):
    """What to give instead, and never what was given for a key."""
    with pytest.raises(error) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sk-secret" not in str(caught.value)
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize("model", MODELS)
def test_the_log_describes_the_call(monkeypatch, model):
    """From its description any process with the key makes the same call, header for header; no key is in it."""
    source = chat("x", model, system="Be brief.")
    if source.call.key_env:
        monkeypatch.setenv(source.call.key_env, "canary-0042")
    again = from_spec(json.loads(json.dumps(source.spec)))
    assert again.fingerprint == source.fingerprint
    assert sorted(again.call.ready().headers) == sorted(source.call.ready().headers)
    assert (again.call.url, again.call.body, again.format) == (source.call.url, source.call.body, source.format)
    told = json.dumps(source.spec) + repr(source) + repr(source.call) + repr(source.call.key) + source.fingerprint
    assert "canary" not in told


@pytest.mark.parametrize("model", MODELS)
def test_a_call_travels_with_its_key(monkeypatch, model):
    """Another process makes the same call with the key that came along, whatever its own environment says."""
    source = chat("x", model, api_key=lambda: "canary-0042")
    packed = json.loads(json.dumps(pack(source)))
    for name in VARIABLES:
        monkeypatch.setenv(name, "another")
    arrived = unpack(packed)
    assert sorted(arrived.call.ready().headers) == sorted(source.call.ready().headers)
    assert "canary-0042" in arrived.call.ready().secrets
    assert arrived.fingerprint == source.fingerprint

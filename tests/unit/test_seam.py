"""Where a new generation joins on: every place at which a text may be cut, and what a model says again."""

import json
import random
import unicodedata

import pytest

from nbstream.errors import SourceRefused
from nbstream.records import Part
from nbstream.sources.continuing import Continuing
from nbstream.sources.formats.registry import READERS
from nbstream.sources.http.call import Call
from nbstream.sources.http.sse import SSESource
from nbstream.sources.models.providers import APIS
from nbstream.sources.prefill import CONVERSATIONS, GO_ON, PREFILLS, model_of, ways
from nbstream.sources.seam import Seam, word_boundary
from nbstream.transcript import AgentText

#: Latin with marks of its own, Korean, Chinese, emoji with skin and joiners, a flag, code.
TEXT = (
    "The river finds its way, don't ask: 3.14 cafe\u0301 naïve — 강물은 흐른다. 我们用python写诗。船🚢 is 👩🏽‍🚀 here "
    "🇸🇪 ok.\n\n```python\nvalue = [1, 2]\n```\n- one\n- two words\n"
)


def is_inside(text, at):
    """Whether *at* parts what belongs together: two letters of a word, a mark or joiner from what it stands on."""
    if at in (0, len(text)):
        return False
    before, behind = text[at - 1], text[at]
    if unicodedata.category(behind)[0] == "M" or "\u200d" in (before, behind) or "\U0001f3fb" <= behind <= "\U0001f3ff":
        return True

    def wide(char):
        return unicodedata.east_asian_width(char) == "W" and "HANGUL" not in unicodedata.name(char, "")

    return before.isalnum() and behind.isalnum() and not (wide(before) or wide(behind))


@pytest.mark.parametrize("at", range(1, len(TEXT)))
def test_no_cut_leaves_half_a_word(at):
    """Cut at any place: what stays is a prefix that ends between two words of the whole text."""
    stays = word_boundary(TEXT[:at])
    assert stays <= at
    assert not is_inside(TEXT, stays), (TEXT[:stays], TEXT[stays : stays + 3])


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("", ""), ("Hel", ""), ("one tw", "one "), ("one two ", "one two "), ("one\n\n", "one\n\n"),
        ("pi is 3.", "pi is "), ("he is 船", "he is "),
        ("我们用pyth", "我们用"), ("我们", "我"), ("강물은 흐", "강물은 "),
        ("a 👩🏽\u200d🚀", "a "), ("a 👩🏽\u200d🚀 b", "a 👩🏽\u200d🚀 "), ("a " + "x" * 100, "a " + "x" * 99),
        ("a " + "ก" * 99 + "\u0e31", "a " + "ก" * 98), ("see https://exa", "see "),
    ],
)  # fmt: skip
def test_what_stays(text, stays):
    """The last word goes, white space before it stays; a character that is a word goes whole, with all its marks."""
    assert text[: word_boundary(text)] == stays


def joined(shown, pieces, *, prefilled=False):
    """Return the text that stands in the end when a new generation says *pieces* behind *shown*, and the parts."""
    seam = Seam(shown, word_boundary(shown), "why", prefilled=prefilled)
    parts = [part for piece in pieces for part in seam.take([Part("text", piece)])]
    parts += seam.take((), over=True)
    said = AgentText("assistant")
    for part in [Part("text", shown), *parts]:
        said.add(part)
    return said.text, parts


def split(text, rng):
    """Cut *text* into pieces of random lengths."""
    out = []
    while text:
        size = rng.randrange(1, 9)
        out.append(text[:size])
        text = text[size:]
    return out


@pytest.mark.parametrize("at", range(30, len(TEXT), 7))
@pytest.mark.parametrize("prefilled", [True, False])
def test_a_model_that_goes_on_exactly_gives_the_whole_text(at, prefilled, seed):
    """Wherever it is cut, and however the rest comes in pieces: with or without its white space, it joins on."""
    rng = random.Random(f"{seed}-{at}")
    shown, stays = TEXT[:at], word_boundary(TEXT[:at])
    for rest in (TEXT[stays:], TEXT[len(TEXT[:stays].rstrip()) :]):
        text, parts = joined(shown, split(rest, rng), prefilled=prefilled)
        assert text == TEXT
        assert [part.kind for part in parts if part.kind != "text"] == ["truncate"] * (stays < at) + ["seam"]


@pytest.mark.parametrize("again", [20, 60, len(TEXT)])
def test_what_a_model_says_again_is_left_out(again, seed):
    """It repeats the last words, the last sentences or all of it: said once, whatever the pieces."""
    rng = random.Random(f"{seed}-{again}")
    for at in range(80, len(TEXT)):
        stays = len(TEXT[: word_boundary(TEXT[:at])].rstrip())
        text, _ = joined(TEXT[:at], split(TEXT[max(0, stays - again) :], rng))
        assert text == TEXT


@pytest.mark.parametrize(
    ("shown", "says", "text"),
    [
        ("very, very ", "very good", "very, very very good"),  # too short to be told from a word said twice
        ("0, 0, 0, 0, 0, 0, ", "0, 0, 0, 0, 1", "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1"),  # nor from a row of the same
        ("one tw", "", "one tw"),  # nothing stands in the place of the half word: it is not taken back
        ("one tw", "\n\n", "one tw"),
        ("A list:\n\n", "\n\n- one", "A list:\n\n- one"),
        ("A list:\n", "\n\n- one", "A list:\n\n- one"),
        ("A ship. The sh", "The ship", "A ship. The The ship"),
    ],
)
def test_what_may_be_meant_is_kept(shown, says, text):
    """Nothing that may be new is left out; white space that stands already is not doubled."""
    assert joined(shown, list(says))[0] == text


def test_a_refrain_behind_a_prefill_is_the_models_own():
    """A model that got the text as its own beginning says the same line again because it means to."""
    line = "row the boat gently\n"
    assert joined(line * 3, [line, "end"], prefilled=True)[0] == line * 4 + "end"
    assert joined(line * 3, [line * 3, "end"], prefilled=True)[0] == line * 3 + "end", "a server that echoes"


def test_the_seam_stands_before_anything_the_new_generation_says():
    """Reasoning of the new generation is behind the seam too; nothing is taken back before it says something."""
    seam = Seam("one tw", 4, "why", prefilled=False)
    assert seam.take(()) == ()
    first = seam.take([Part("reasoning", "hm")])
    assert [part.kind for part in first] == ["truncate", "seam", "reasoning"]
    assert first[0].fields == {"length": 4}
    assert seam.take([Part("text", "two")]) == (Part("text", "two"),)


# The requests


def asked(format="openai.chat", url="http://127.0.0.1:1/v1/chat/completions", said="It is", **body):
    """Return the bodies that are tried, each with whether it is a prefill."""
    call = Call.of("POST", url, json_body=body)
    return [(json.loads(way.call.body), way.prefilled) for way in ways(call, format, said)]


def test_whatever_chat_asks_can_be_continued():
    """The formats are called as they are elsewhere, and none in which `chat` asks is left out."""
    assert set(APIS) <= set(CONVERSATIONS) <= set(READERS)
    assert {one.format for one in PREFILLS} <= set(CONVERSATIONS)


USER = {"role": "user", "content": "Why?"}
TURN = {"role": "user", "content": GO_ON}
BEGUN = {"role": "assistant", "content": "It is"}


@pytest.mark.parametrize(
    ("format", "url", "model"),
    [
        ("openai.chat", "demo:/v1/chat/completions", "demo"),
        ("anthropic.messages", "https://api.anthropic.com/v1/messages", "claude-3-5-haiku-20241022"),
        ("anthropic.messages", "https://api.anthropic.com/v1/messages", "claude-sonnet-4-20250514"),
        ("anthropic.messages", "https://api.anthropic.com/v1/messages", "claude-opus-4-5"),
        ("openai.chat", "https://openrouter.ai/api/v1/chat/completions", "anthropic/claude-sonnet-4.5"),
        ("ollama.chat", "http://127.0.0.1:11434/api/chat", "qwen3"),
        ("llamacpp", "http://127.0.0.1:8080/v1/chat/completions", "default"),
    ],
)
def test_who_takes_a_prefill_is_given_one(format, url, model):
    """The text so far is the beginning of the model's answer; a turn of the user comes behind it if that is refused."""
    body = {"model": model, "messages": [USER]}
    assert asked(format, url, **body) == [
        ({**body, "messages": [USER, BEGUN]}, True),
        ({**body, "messages": [USER, BEGUN, TURN]}, False),
    ]


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("https://api.mistral.ai/v1/chat/completions", True), ("https://api.deepseek.com/beta/chat/completions", True)],
)
def test_some_want_to_be_told(url, prefix):
    """Mistral and DeepSeek's beta take a prefill that says it is one."""
    (body, prefilled), (turn, _) = asked(url=url, model="m", messages=[USER])
    assert (body["messages"][-1], prefilled) == ({**BEGUN, "prefix": prefix}, True)
    assert turn["messages"] == [USER, BEGUN, TURN]


@pytest.mark.parametrize(
    ("format", "url", "model"),
    [
        ("openai.chat", "https://api.openai.com/v1/chat/completions", "gpt-5"),
        ("openai.chat", "http://127.0.0.1:8080/v1/chat/completions", "whatever"),
        ("openai.chat", "https://api.deepseek.com/chat/completions", "deepseek-chat"),
        ("openai.chat", "https://mistral.ai.example/v1/chat/completions", "m"),
        ("openai.chat", "https://openrouter.ai/api/v1/chat/completions", "openai/gpt-5"),
        ("openai.chat", "https://openrouter.ai/api/v1/chat/completions", "anthropic/claude-sonnet-4.6"),
        ("anthropic.messages", "https://api.anthropic.com/v1/messages", "claude-sonnet-4-6"),
        ("anthropic.messages", "https://api.anthropic.com/v1/messages", "claude-opus-5"),
    ],
)
def test_all_others_get_a_turn(format, url, model):
    """Who refuses a prefill, or answers it as a message of its own, is asked to go on by the user."""
    ((body, prefilled),) = asked(format, url, model=model, messages=[USER], temperature=0.5)
    assert (body["messages"], body["temperature"], prefilled) == ([USER, BEGUN, TURN], 0.5, False)


def test_other_formats_keep_their_conversation_elsewhere():
    """The Responses API has `input`, which may be text; Gemini has contents of a model."""
    ((body, _),) = asked("openai.responses", input="Why?", model="gpt-5")
    assert body["input"] == [USER, BEGUN, TURN]
    contents = [{"role": "user", "parts": [{"text": "Why?"}]}]
    ((body, _),) = asked("gemini.generate", contents=contents)
    gemini = Call.of(
        "POST", "https://g.example/v1beta/models/gemini-3:stream?alt=sse", json_body={"contents": contents}
    )
    assert model_of(gemini) == "gemini-3"
    assert body["contents"][1:] == [
        {"role": "model", "parts": [{"text": "It is"}]}, {"role": "user", "parts": [{"text": GO_ON}]},
    ]  # fmt: skip


def test_what_the_user_began_goes_on():
    """A conversation that ends in the beginning of an answer: what came is added to that."""
    ((body, _),) = asked(model="m", messages=[USER, {"role": "assistant", "content": "Well: "}], said="it is")
    assert body["messages"] == [USER, {"role": "assistant", "content": "Well: it is"}, TURN]


@pytest.mark.parametrize(
    ("format", "body"), [("text", {"messages": [USER]}), ("openai.chat", {"prompt": "x"}), ("openai.chat", [1])]
)
def test_who_has_no_conversation_cannot_be_asked(format, body):
    """One line, which says what can be done."""
    call = Call.of("POST", "http://127.0.0.1:1/", json_body=body)
    with pytest.raises(SourceRefused, match="Regenerate asks anew"):
        list(ways(call, format, "It is"))


def test_half_a_word_is_nothing_to_go_on_behind():
    """All of it would be taken back, so that is refused."""
    call = Call.of("POST", "http://127.0.0.1:1/", json_body={"model": "m", "messages": [USER]})
    with pytest.raises(SourceRefused, match="not a whole word"):
        Continuing(SSESource(call, "openai.chat"), "Hel", {})
    assert model_of(call) == "m"

"""What an answer cost, with and without the package that knows prices."""

import subprocess
import sys
import time

import pytest

from nbstream import prices

USED = {"input": 1000, "output": 100, "total": 1100}
OPENAI = "https://api.openai.com/v1/chat/completions"


@pytest.fixture
def known():
    """Load the prices; skip where they are not installed."""
    pytest.importorskip("genai_prices")
    prices.prepare()
    until = time.monotonic() + 20
    while prices._loaded is None:
        assert time.monotonic() < until, "the prices did not load"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        (OPENAI, "gpt-4o-2024-08-06"),
        ("https://api.anthropic.com/v1/messages", "claude-sonnet-4-20250514"),
        ("https://generativelanguage.googleapis.com/v1beta/models/x:streamGenerateContent?alt=sse", "gemini-2.5-flash"),
        ("https://api.mistral.ai/v1/chat/completions", "mistral-large-latest"),
        ("https://api.deepseek.com/v1/chat/completions", "deepseek-chat"),
        ("https://api.groq.com/openai/v1/chat/completions", "llama-3.3-70b-versatile"),
    ],
)
def test_each_provider_is_known_by_its_address(known, url, model):
    """The address that `chat` asks and the name that the answer gives are enough; twice the tokens cost twice."""
    once = prices.cost(url, model, USED)
    assert once is not None
    assert 0 < once < 0.1
    assert prices.cost(url, model, {name: 2 * count for name, count in USED.items()}) == pytest.approx(2 * once)


def test_what_was_cached_is_part_of_the_input(known):
    """What was read from a cache costs less, and is not counted twice."""
    plain, cached = (prices.cost(OPENAI, "gpt-4o", {**USED, "cached": count}) for count in (0, 800))
    assert 0 < cached < plain


@pytest.mark.parametrize(
    ("url", "model", "usage"),
    [
        (OPENAI, "no-such-model", USED),
        (OPENAI, None, USED),
        (OPENAI, "gpt-4o", {}),
        (OPENAI, "gpt-4o", {"input": 1, "cached": 9, "output": 1}),
        ("https://proxy.example/v1/chat/completions", "gpt-4o", USED),
        ("http://127.0.0.1:8080/v1/chat/completions", "gpt-4o", USED),
        ("demo:/v1/chat/completions", "demo", USED),
        ("", "gpt-4o", USED),
    ],
)
def test_what_nobody_knows_has_no_price(known, url, model, usage):
    """Another server, another model, counts that do not fit: no price, and no error."""
    assert prices.cost(url, model, usage) is None


def test_without_the_package_nothing_is_imported():
    """Nothing is loaded that is not there, and nobody waits: no price."""
    code = (
        "import sys; sys.modules['genai_prices'] = None\n"  # as if it were not there
        "from nbstream.prices import cost, prepare\n"
        f"prepare(); prepare(); print(cost({OPENAI!r}, 'gpt-4o', {USED!r}), 'pydantic' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["None", "False"]

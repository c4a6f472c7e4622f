"""What an answer cost, about: by the optional package `genai-prices`, which knows the list prices of providers."""

from __future__ import annotations

import threading
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Ours -> those of genai-prices; the input has what was cached in it, and the output what was thought.
_WORDS = {"input": "input_tokens", "output": "output_tokens", "cached": "cache_read_tokens"}

_loading = threading.Lock()
_loaded: Any = None
_asked = False


def prepare() -> None:
    """
    Load the prices in the background, if they are installed; twice is once.

    It takes half a second, which no answer should wait for: until then nothing has a price.
    """
    global _asked  # noqa: PLW0603 - once a process
    with _loading:
        if _asked:
            return
        _asked = True
    if find_spec("genai_prices") is not None:
        threading.Thread(target=_load, name="nbstream-prices", daemon=True).start()


def cost(url: str, model: str | None, usage: Mapping[str, int]) -> float | None:
    """
    Return the price in US dollars of *usage* by *model*, asked at *url*; None for what nobody knows.

    That is the provider's list price: no discount, no tax, and nothing for tools of the provider's.
    """
    if _loaded is None or not model or "input" not in usage or not url.startswith("https://"):
        return None
    return _cost(url, model, tuple(sorted(usage.items())))


@lru_cache(256)
def _cost(url: str, model: str, usage: tuple[tuple[str, int], ...]) -> float | None:
    counts = {_WORDS[name]: count for name, count in usage if name in _WORDS}
    try:
        return float(_loaded.calc_price(_loaded.Usage(**counts), model_ref=model, provider_api_url=url).total_price)
    except Exception:  # noqa: BLE001 - a price is worth no error: LookupError for an unknown model, and whatever else
        return None


def _load() -> None:
    global _loaded  # noqa: PLW0603 - once a process
    try:
        import genai_prices
    except Exception:  # noqa: BLE001 - a broken installation; then there are no prices
        return
    _loaded = genai_prices

"""An answer with something of every kind, as a Python source says it: tests copy this module beside their notebook."""

import json
import time
from pathlib import Path

from nbstream.records import Part

REASONING = "The user wants the weather in Lisbon. I will ask the **tool** for it."
FIRST = "Let me look at the forecast.\n"
ARGUMENTS = '{"city": "Lisbon", "days": [1, 2], "id": 12345678901234567890}'
RESULT = {"sky": "sun", "degrees": 21.5}
#: 256 KB.
LONG = "0123456789abcde\n" * 16_384
TEXT = """\
## Weather in Lisbon

It is **sunny**, see [the forecast](https://example.org/lisbon) and `forecast()`.

| day | sky |
|:----|----:|
| Mon | sun |
| Tue | cloud |

- [x] asked
- [ ] packed

![a picture](https://example.org/sky.png)

```python
def forecast(days: int) -> str:
    return "sun" * days
```

The mean is $\\bar x = \\frac{1}{n}\\sum x_i$ degrees.

> A quoted word.

"""
BEFORE_SEAM = "Behind the gap, a word is cut by a se"
BEHIND_SEAM = "am and goes on.\n"
REFUSAL = "I will not book a table."
#: What Copy gives.
COPIED = f"{FIRST}\n{TEXT}{BEFORE_SEAM}{BEHIND_SEAM}\n{REFUSAL}"
#: Code points of text, reasoning and refusal.
CHARS = sum(map(len, (REASONING, FIRST, TEXT, BEFORE_SEAM, BEHIND_SEAM, REFUSAL)))


def call(index, **fields):
    """Return a piece of a tool call."""
    return Part("tool_call", fields={"index": index, **fields})


def result(**fields):
    """Return the result of a tool call."""
    return Part("tool_result", fields=fields)


def parts():
    """Yield the answer, piece by piece."""
    for at in range(0, len(REASONING), 7):
        yield Part("reasoning", REASONING[at : at + 7])
    yield FIRST
    yield call(0, id="call-1", name="get_weather", args_delta="")
    for at in range(0, len(ARGUMENTS), 7):
        yield call(0, args_delta=ARGUMENTS[at : at + 7])
    yield call(1, id="call-2", name="get_map", args_delta="not json")
    yield result(id="call-1", name="get_weather", content=RESULT)
    yield result(id="call-2", content=LONG, failed=True)
    for at in range(0, len(TEXT), 9):
        yield TEXT[at : at + 9]
    yield Part("gap", fields={"expected": 12, "got": 15})
    yield BEFORE_SEAM
    yield Part("seam", fields={"why": "the connection was lost"})
    yield BEHIND_SEAM
    for _ in range(2):
        yield Part("raw", fields={"type": "response.unheard_of"})
    yield Part("usage", fields={"input": 10})
    yield call(0, id="call-3", name="book_a_table", args_delta='{"at": 8')
    yield Part("refusal", REFUSAL)


def answer(*, pause_s=0.0, holds=None, fails=None):
    """
    Yield the answer with *pause_s* before each part.

    holds: {number of a part: file}: that part waits until the file is there. fails: what is raised at the end.
    """
    for number, part in enumerate(parts()):
        time.sleep(pause_s)
        while (path := (holds or {}).get(number)) and not Path(path).exists():
            time.sleep(0.02)
        yield part
    if fails:
        raise RuntimeError(fails)


def number_of(kind, nth=0):
    """Return the number of the n-th part of a kind."""
    kinds = [part.kind if isinstance(part, Part) else "text" for part in parts()]
    return [at for at, one in enumerate(kinds) if one == kind][nth]


def indented():
    """Return the arguments of the first call as they are shown."""
    return json.dumps(json.loads(ARGUMENTS), indent=2)

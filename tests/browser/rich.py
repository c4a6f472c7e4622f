"""A cell whose answer has something of every kind, said by a Python source, and what a page must show of it."""

import json

#: Slow enough to be seen live, fast enough for a test.
PAUSE_S = 0.02

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

The mean is $\\\\bar x = \\\\frac{1}{n}\\\\sum x_i$ degrees.

> A quoted word.
"""
ARGUMENTS = '{"city": "Lisbon", "days": [1, 2], "id": 12345678901234567890}'
RESULT = {"sky": "sun", "degrees": 21.5}
LONG = "0123456789abcde\n" * 16_384  # 256 KB
REASONING = "The user wants the weather. I will ask the **tool**."

#: The parts, in order; every piece on its own.
CELL = f"""\
import time
import nbstream
from nbstream.records import Part

def parts():
    for word in {REASONING.split(" ")!r}:
        yield Part("reasoning", word + " ")
    yield "Let me look.\\n"
    yield Part("tool_call", fields={{"index": 0, "id": "call-1", "name": "get_weather", "args_delta": ""}})
    for piece in {[ARGUMENTS[at : at + 7] for at in range(0, len(ARGUMENTS), 7)]!r}:
        yield Part("tool_call", fields={{"index": 0, "args_delta": piece}})
    yield Part("tool_call", fields={{"index": 1, "id": "call-2", "name": "get_map", "args_delta": "not json"}})
    yield Part("tool_result", fields={{"id": "call-1", "name": "get_weather", "content": {RESULT!r}}})
    yield Part("tool_result", fields={{"id": "call-2", "content": {LONG!r}, "failed": True}})
    text = '''{TEXT}'''
    for at in range(0, len(text), 9):
        yield text[at:at + 9]
    yield Part("gap", fields={{"expected": 12, "got": 15}})
    yield "Behind the gap, a word is cut by a se"
    yield Part("seam", fields={{"why": "the connection was lost"}})
    yield "am and goes on.\\n"
    yield Part("raw", fields={{"type": "response.unheard_of"}})
    yield Part("raw", fields={{"type": "response.unheard_of"}})
    yield Part("usage", fields={{"input": 10}})
    yield Part("tool_call", fields={{"index": 0, "id": "call-3", "name": "book_a_table", "args_delta": "{{\\"at\\": 8"}})
    yield Part("refusal", "I will not book a table.")

def slowly():
    for part in parts():
        time.sleep({PAUSE_S})
        yield part
        {{tail}}
    {{end}}
"""


def cell(*, tail: str = "pass", end: str = "pass") -> str:
    """Return the cell; *end* is what the source does at its end."""
    return CELL.replace("{tail}", tail).replace("{end}", end) + "\nnbstream.show(slowly())"


def said() -> str:
    """Return the text as Copy gives it."""
    refusal = "I will not book a table."
    return f"Let me look.\n\n{TEXT}Behind the gap, a word is cut by a seam and goes on.\n\n{refusal}".replace("\\\\", "\\")


def indented() -> str:
    """Return the arguments of the first call as they are shown."""
    return json.dumps(json.loads(ARGUMENTS), indent=2)

"""Which call a piece of a tool call is of, as the many servers of chat completions send them."""

import json
import random

import pytest
from format_samples import told

from nbstream.sources.formats.openai_chat import OpenAIChat


def called(*pieces):
    """Return the calls that *pieces* (id, name, arguments), all under number 0, make: id, name and arguments."""
    reader, arrivals = OpenAIChat(), []
    for known, name, arguments in pieces:
        call = {"index": 0, "id": known, "function": {"name": name, "arguments": arguments}}
        arrivals.append(reader.frame({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    return [(call["id"], call["name"], call["arguments"]) for call in told(arrivals)["tool_calls"]]


CASES = {
    "id and name with each, an empty tail": (
        [("c", "f", ""), ("c", "f", '{"a":'), ("c", "f", "1}"), ("c", "f", "")], [("c", "f", '{"a":1}')],
    ),
    "a name with each, an empty tail": (
        [(None, "f", '{"a":'), (None, "f", "1}"), (None, "f", "")], [(None, "f", '{"a":1}')],
    ),
    "all of it again": ([("c", "f", '{"a":1}'), ("c", "f", '{"a":1}')], [("c", "f", '{"a":1}')]),
    "a name in pieces": ([("c", "get_", ""), (None, "weather", ""), (None, None, "{}")], [("c", "get_weather", "{}")]),
    "a whole name again": ([("c", "now", ""), (None, "now", ""), (None, None, "{}")], [("c", "now", "{}")]),
    "decoded, without ids": ([(None, "now", {}), (None, "now", {})], [(None, "now", "{}"), (None, "now", "{}")]),
    "another id": ([("c", "now", ""), ("d", "now", "")], [("c", "now", ""), ("d", "now", "")]),
    "back to the first id": (
        [("c", "f", '{"a":'), ("d", "f", "{}"), ("c", "f", "1}")], [("c", "f", '{"a":1}'), ("d", "f", "{}")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pieces", "calls"), CASES.values(), ids=CASES)
def test_which_call_a_piece_is_of(pieces, calls):
    """The same id is the same call; a name alone begins one only behind whole arguments."""
    assert called(*pieces) == calls


def test_two_calls_without_ids_are_two_wherever_they_are_cut(seed):
    """Brackets, quotes and backslashes inside of texts end no arguments."""
    rng = random.Random(f"{seed} calls")
    for _ in range(300):
        wholes = [json.dumps({"a": "".join(rng.choices('{}[]"\\x', k=8)), "b": [1, {}]}) for _ in range(2)]
        pieces = []
        for whole in wholes:
            cut = rng.randrange(1, len(whole))
            pieces += [(None, "f", whole[:cut]), (None, "f", whole[cut:])]
        assert [arguments for _, _, arguments in called(*pieces)] == wholes, pieces

"""The examples of docs/protocol.md, taken from it word for word and run against a real relay."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import relays

from nbstream.demo import DemoModel

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
ANSWER = DemoModel(0).text("rivers", max_tokens=40)


def examples(language):
    """Return the code blocks of the document in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PROTOCOL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def relay(tmp_path):
    """Return the environment of a user whose relay runs."""
    with relays.serving(tmp_path) as environment:
        yield environment


def run(command, environment, place):
    """Run one example in an empty place and return what it prints."""
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def text_of(events):
    """Return the text in a stream of records."""
    records = [json.loads(line[6:]) for line in events.splitlines() if line.startswith('data: {"v"')]
    return "".join(part.get("text", "") for record in records for part in record.get("parts", []))


def test_curl(relay, tmp_path):
    """Started, read to its end, gone on with behind a record, stopped (which changes nothing any more); a ticket."""
    assert shutil.which("curl"), "install curl"
    first, ticket = examples("bash")
    printed = run(["bash", "-euc", first + ticket], relay, tmp_path)
    events, _, rest = printed.rpartition('{"id"')
    assert text_of(events) == ANSWER
    assert "event: caught_up" in events
    behind = (tmp_path / "behind.txt").read_text()
    assert ANSWER.endswith(text_of(behind))
    assert "id: 4\n" in behind
    assert "id: 3\n" not in behind
    assert '"state":"complete"' in rest.replace(" ", "")
    assert "watch?ticket=" in rest


def test_httpx_sse(relay, tmp_path):
    """The whole text, and the same again for who comes later."""
    (example,) = examples("python")
    for _ in range(2):
        assert run([sys.executable, "-c", example], relay, tmp_path) == f"{ANSWER}\n"

"""The programs under examples/: real agent frameworks, offline, in the environment that `make examples` fills."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-examples" / "bin" / "python"

#: What each program prints.
SAYS = {
    "langgraph_team": [
        "planner: First the harbour, then the pears.",
        "reporter: The harbour is quiet, and the pears are ripe.",
        "complete",
    ],
    "pydantic_ai_agui": [
        "I look. ",
        "",
        "It is windy in Zürich.",
        'called weather with {"city": "Zürich"}',
        "complete",
    ],
    "agents_sdk_handoff": [
        "triage: I look at the tide.",
        'triage called tide with {"harbour": "Zürich"}',
        "triage called transfer_to_pilot with {}",
        "pilot: The ferry leaves at nine.",
        "complete",
    ],
}


@pytest.mark.parametrize("name", list(SAYS))
def test_a_program_says_what_its_agents_say(name, tmp_path):
    """Each agent's text and tool calls, and the end that the framework gave."""
    if not PYTHON.exists():
        assert not os.environ.get("CI"), "`make examples` makes the environment of this test"
        pytest.skip("`make examples` makes the environment of this test")
    # Nothing of a proxy, a key or another network: only this machine.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    home = {"NBSTREAM_HOME": str(tmp_path), "NBSTREAM_HOST": "kernel", "PYTHONUTF8": "1"}
    program = ROOT / "examples" / f"{name}.py"
    ran = subprocess.run([PYTHON, program], env=kept | home, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == SAYS[name], ran.stderr

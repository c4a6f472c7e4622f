"""Who may import whom: a module imports only from smaller rows, its own folder or row 0."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "nbstream"

# The table of the design. A new file or folder beside these finds its row here before it is merged.
ROWS = {
    "errors": 0,
    "version": 0,
    "records": 0,
    "clock": 0,  # plain data, and time as an argument
    "shutdown": 1,
    "workers": 1,  # threads for what blocks
    "state": 1,
    "pace": 1,
    "lease": 1,
    "guard": 1,
    "owner": 1,
    "retry": 2,
    "words": 2,  # pure decisions, some of them over states
    "log": 2,
    "wire": 2,
    "transcript": 2,
    "truncation": 1,
    "place": 2,
    "options": 1,
    "prices": 2,
    "demo": 2,  # an island, see below; for those who import it, it stands beside wire
    "rerun": 3,  # pure too, but it decides over what the log says
    "sources": 3,
    "pictures": 3,  # what a log tells, to look at
    "recorder": 4,  # the only writer
    "runtime": 5,  # the only thread and loop
    "recording": 6,
    "monitor": 6,
    "standing": 6,
    "failure": 6,
    "waiting": 6,
    "stopping": 8,
    "stream": 7,
    "host": 8,
    "playing": 9,
    "relay": 9,
    "view": 9,
    "api": 10,
    "catalog": 10,
    "overview": 10,
    "conversation": 11,
    "question": 11,
    "magics": 11,
    "cli": 11,
    "doctor": 11,
    "__main__": 11,
    "__init__": 11,  # what a user touches
    "testing": 12,  # public, but for tests: nothing in the package leans on it
}
ISLANDS = {"demo": {"wire", "records"}}
FRONT_ROW = 11  # one thing in several files: the extension loads the magics, the commands use the public names


def top_of(path: Path, package: Path) -> str:
    """Return the folder or module directly under the package that holds *path*."""
    return path.relative_to(package).with_suffix("").parts[0]


def imported_tops(path: Path, package: Path):
    """Yield (line, top) for every import of the package's own modules, however deep inside a function it stands."""
    here = ["nbstream", *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), path)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else []
            base = base + node.module.split(".") if node.module else base
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] != "nbstream":
                continue
            top = target[1] if len(target) > 1 else "__init__"
            is_module = (package / top).is_dir() or (package / f"{top}.py").is_file()
            yield node.lineno, top if is_module else "__init__"


def complaints(package: Path):
    """Return one line for every file without a row and every import that climbs."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package.parent)
        top = top_of(path, package)
        if top not in ROWS:
            found.append(f"{name}: has no row in the layout table")
            continue
        for line, target in imported_tops(path, package):
            if not may_import(top, target):
                found.append(f"{name}:{line}: {top} (row {ROWS[top]}) imports {target} (row {ROWS.get(target)})")
    return found


def may_import(top: str, target: str) -> bool:
    """Decide one arrow of the table."""
    if top == target:
        return True
    if top in ISLANDS:
        return target in ISLANDS[top]
    row = ROWS.get(target)
    if row is None:
        return False
    return row == 0 or row < ROWS[top] or row == ROWS[top] == FRONT_ROW


def test_imports_point_downwards():
    """Every import inside nbstream, those inside functions too, points to a smaller row, its own folder or row 0."""
    assert not complaints(PACKAGE)


@pytest.mark.parametrize(
    ("path", "code", "fault"),
    [
        ("state.py", "import nbstream.runtime", "state (row 1) imports runtime (row 5)"),
        ("state.py", "from nbstream.pace import x", "state (row 1) imports pace (row 1)"),
        ("state.py", "from . import show", "state (row 1) imports __init__ (row 11)"),
        ("log/disk.py", "def f():\n    from ..recorder import x", "log (row 2) imports recorder (row 4)"),
        ("log/disk.py", "from nbstream import runtime", "log (row 2) imports runtime (row 5)"),
        ("relay/app.py", "import nbstream.view.widget", "relay (row 9) imports view (row 9)"),
        ("demo/model.py", "from ..errors import x", "demo (row 2) imports errors (row 0)"),
        ("wire/sse.py", "from nbstream import demo", "wire (row 2) imports demo (row 2)"),
        ("cli.py", "from nbstream import testing", "cli (row 11) imports testing (row 12)"),
        ("helpers.py", "", "nbstream/helpers.py: has no row in the layout table"),
        ("odd/deep.py", "", "nbstream/odd/deep.py: has no row in the layout table"),
    ],
)
def test_a_climbing_import_is_named(tmp_path, path, code, fault):
    """A forbidden import or a file without a row is reported with its place, so that the table cannot rot."""
    package = small_package(tmp_path)
    (package / path).parent.mkdir(exist_ok=True)
    (package / path).write_text(code, "utf-8")
    found = complaints(package)
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("runtime.py", "import json, httpx\nfrom .log.disk import DiskStore\nfrom nbstream.errors import x"),
        ("errors.py", "from . import records"),
        ("log/disk.py", "from .contract import Log\nfrom nbstream.log import memory"),
        ("demo/server.py", "from nbstream.demo.model import x\nfrom ..wire import sse\nfrom ..records import y"),
        ("sources/team.py", "def f():\n    from ..demo import server"),
        ("__init__.py", "def load_ipython_extension(ip):\n    from .magics import StreamMagics"),
        ("cli.py", "from nbstream import show"),
        ("testing.py", "from .recorder import x"),
    ],
)
def test_a_falling_import_is_fine(tmp_path, path, code):
    """Smaller rows, the own folder, row 0 and foreign packages may be imported."""
    package = small_package(tmp_path)
    (package / path).write_text(code, "utf-8")
    assert complaints(package) == []


def small_package(tmp_path: Path) -> Path:
    """Lay out an empty package with one file for every row of the table."""
    package = tmp_path / "nbstream"
    for top in ROWS:
        folder = top in {"log", "wire", "demo", "sources", "relay", "view"}
        path = package / top / "__init__.py" if folder else package / f"{top}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return package

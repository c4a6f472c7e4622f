"""
Writes the list of walkthroughs, each with its Binder badge, into README.md and docs/walkthroughs.md.

    python binder/badges.py [OWNER/REPOSITORY]      the links name it; without it they stay as they are

The list is that of notebooks/, each by its number and first heading.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {ROOT / "README.md": "docs/", ROOT / "docs" / "walkthroughs.md": ""}
#: Where the notebooks lie, as seen from there; pages of documentation are built without them.
FILES = "notebooks/"
#: What stands in the links until somebody says where the repository lies.
NOWHERE = "OWNER/nbstream"
BETWEEN = re.compile(r"(?<=<!-- walkthroughs -->\n).*?(?=<!-- /walkthroughs -->)", re.DOTALL)
LINK = re.compile(r"mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/HEAD")


def written(page: Path, repository: str) -> str:
    """Return *page* with the list as it should be."""
    return BETWEEN.sub(lambda _: table(repository, PAGES[page]), page.read_text("utf-8"))


def repository_in(page: Path) -> str:
    """Return the repository that the links of *page* name."""
    found = LINK.search(page.read_text("utf-8"))
    return found[1] if found else NOWHERE


def table(repository: str, docs: str) -> str:
    """Return one line a notebook."""
    rows = "".join(
        f"| {f'[{title(path)}]({FILES}{path.name})' if docs else title(path)} | [![open on Binder]({docs}binder.svg)](https://mybinder.org/v2/gh/{repository}/HEAD?"
        f"urlpath=lab/tree/notebooks/{path.name}) |\n"
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    )
    return f"| walkthrough | |\n|---|---|\n{rows}"


def title(path: Path) -> str:
    """Return a notebook's number and first heading."""
    first = next(cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "markdown")
    heading = "".join(first["source"]).splitlines()[0].lstrip("# ")
    number = path.name.partition("_")[0].partition("-")[0]
    return heading if heading.startswith(number) else f"{number} {heading}"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page, sys.argv[1] if sys.argv[1:] else repository_in(page)), "utf-8")

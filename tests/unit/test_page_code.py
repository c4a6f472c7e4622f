"""The page's code as the kernel gives it away."""

import gzip
from pathlib import Path

import pytest

from nbstream.view import code


def test_the_loader_asks_for_the_build_that_is_there():
    """What `npm run build` has written into the loader is what the kernel counts over the parts, and each is there."""
    assert code.build() in code.loader()
    for name in code.PARTS:
        said, buffers = code.answer(name, code.build(), packed=True)
        assert said == {"type": "code", "name": name, "version": code.build()}
        plain, none = code.answer(name, code.build(), packed=False)
        assert (gzip.decompress(buffers[0]).decode(), none) == (plain["text"], None)
    assert code.engine() == code.answer("engine", code.build(), packed=True)[1][0]


@pytest.mark.parametrize(
    ("name", "version"),
    [("engine", "0.0.0-000000000000"), ("widget", None), ("../../secrets", None), ("", None)],
)
def test_what_is_not_there_is_missing(name, version):
    """Another build, and a name that is no part's, is answered, and nothing is read for it."""
    said, buffers = code.answer(name, version or code.build(), packed=False)
    assert said["missing"] is True
    assert "text" not in said
    assert buffers is None


def test_the_folder_goes_into_the_wheel():
    """All of the bundle, with the licences of what is bundled, stands inside the package."""
    folder = Path(code.__file__).parent / "static"
    names = {"widget.js", "widget.css", "licenses.txt", *(f"{name}.js" for name in code.PARTS)}
    assert {path.name for path in folder.iterdir()} == names

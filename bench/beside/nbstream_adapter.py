"""
This project in a harness that knows adapters: `TITLE`, `REQUIRES`, `prepare()` and `stream(tokens, prepared)`.

Copy it into the harness's folder of adapters as `nbstream.py`, next to the others.
"""

TITLE = "nbstream"
REQUIRES = ["nbstream", "anywidget"]


def prepare():
    """Load the extension, as the first cell of a notebook does."""
    from IPython import get_ipython

    get_ipython().run_line_magic("load_ext", "nbstream")


def stream(tokens, _=None):
    """Show *tokens*, and wait for their end as the other adapters do."""
    import nbstream

    nbstream.show(iter(tokens)).wait()

"""
The ways to show an answer that are set beside each other: each takes an iterator of tokens, in a kernel.

`WAYS` maps a name to (what it is, modules it needs, function). A function may return before the answer is over.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def nbstream(tokens: Iterator[str]) -> Any:
    """Show it with this project."""
    import nbstream as ours

    return ours.show(tokens)


def printed(tokens: Iterator[str]) -> None:
    """Print each token."""
    for token in tokens:
        print(token, end="", flush=True)


def markdown(tokens: Iterator[str]) -> None:
    """Update one Markdown output with each token."""
    from IPython.display import Markdown, display

    text, shown = "", display(Markdown(""), display_id=True)
    for token in tokens:
        text += token
        shown.update(Markdown(text))


def output_widget(tokens: Iterator[str]) -> None:
    """Print each token into an Output widget."""
    from IPython.display import display
    from ipywidgets import Output

    output = Output()
    display(output)
    with output:
        printed(tokens)


def html_widget(tokens: Iterator[str]) -> None:
    """Set the value of an HTML widget with each token."""
    from html import escape

    from IPython.display import display
    from ipywidgets import HTML

    text, widget = "", HTML()
    display(widget)
    for token in tokens:
        text += token
        widget.value = f"<pre>{escape(text)}</pre>"


def rich_live(tokens: Iterator[str]) -> None:
    """Update rich's Live with its Markdown."""
    from rich.live import Live
    from rich.markdown import Markdown

    text = ""
    with Live(Markdown(""), refresh_per_second=10) as live:
        for token in tokens:
            text += token
            live.update(Markdown(text))


def chatlas(tokens: Iterator[str]) -> None:
    """Show it as chatlas does in a notebook."""
    from chatlas._display import IPyMarkdownDisplay

    with IPyMarkdownDisplay(echo_options={}) as shown:  # type: ignore[call-arg]
        for token in tokens:
            shown.echo(token)


def panel(tokens: Iterator[str]) -> None:
    """Stream it into Panel's ChatMessage."""
    import panel as pn
    from IPython.display import display

    pn.extension()
    message = pn.chat.ChatMessage("")
    display(message)
    for token in tokens:
        message.stream(token)


WAYS: dict[str, tuple[str, tuple[str, ...], Callable[[Iterator[str]], Any]]] = {
    "nbstream": ("nbstream.show", (), nbstream),
    "print": ("print, no Markdown", (), printed),
    "markdown": ("display(Markdown) updated per token", (), markdown),
    "output": ("ipywidgets Output, no Markdown", ("ipywidgets",), output_widget),
    "html": ("ipywidgets HTML, no Markdown", ("ipywidgets",), html_widget),
    "rich": ("rich Live", ("rich",), rich_live),
    "chatlas": ("chatlas", ("chatlas",), chatlas),
    "panel": ("Panel ChatMessage", ("panel",), panel),
}


def missing(name: str) -> list[str]:
    """Return the modules that *name* needs and that are not installed."""
    return [module for module in WAYS[name][1] if importlib.util.find_spec(module) is None]


def prepare(name: str) -> None:
    """Import what *name* needs and show something with it, so that its start is not measured."""
    if name == "nbstream":
        from IPython import get_ipython

        get_ipython().run_line_magic("load_ext", "nbstream")
    for module in WAYS[name][1]:
        importlib.import_module(module)
    sys.stdout.flush()


def run(name: str, tokens: Iterator[str]) -> Any:
    """Show *tokens* the way *name*."""
    return WAYS[name][2](tokens)

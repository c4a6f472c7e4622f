"""The command line `nbstream`: the walkthroughs, and the saved streams from a terminal."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from typing import TYPE_CHECKING

import nbstream
from nbstream.errors import RelayError, StreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command and return its exit code.

    0: done. 1: it could not be done, one line on stderr says why. 2: the command was not understood.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character shows a question mark; it does not end the answer.
        sys.stdout.reconfigure(errors="replace")
    warnings.formatwarning = lambda message, *_, **__: f"nbstream: {message}\n"
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        code = run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # `nbstream list | head`: the reader has what it wanted. Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except (StreamError, ValueError) as exc:
        print(f"nbstream: {exc}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbstream",
        description="Stream LLM output into live Jupyter cells; every piece is saved before it is shown.",
        epilog="Streams are kept for 30 days after they were last written or shown. Start here: nbstream demo",
    )
    parser.add_argument("--version", action="version", version=f"nbstream {nbstream.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        sub.set_defaults(run=run)
        return sub

    demo = command("demo", _demo, "open JupyterLab on the walkthroughs: demo model, no key, no network")
    demo.add_argument("--check", action="store_true", help="run the quickstart without a page and print its answer")
    demo.add_argument("--no-browser", action="store_true", help="only print the address")
    demo.add_argument("--port", type=_port, help="port of JupyterLab (default: the first free one from 8888 on)")

    command("list", _list, "list the saved streams, newest first")
    show = command("show", _show, "print what is saved of a stream, and how it stands")
    show.add_argument("stream", metavar="ID", help="id of the stream, or its beginning")
    show.add_argument("--follow", "-f", action="store_true", help="go on as it grows, until it is at rest")
    stop = command("stop", _stop, "stop a stream, whichever process records it; it never resumes by itself")
    stop.add_argument("stream", metavar="ID|all", help="id of the stream, or its beginning; all: every live one")
    stop.add_argument("agent", metavar="AGENT", nargs="?", help="only this agent of a team; the others go on")
    clean = command("clean", _clean, "delete old streams; live ones stay")
    clean.add_argument(
        "--older-than", type=_days, default=30.0, metavar="DAYS", help="days since last written or shown (default 30d)"
    )
    relay = command("relay", _relay, "record streams for notebooks; one is started by itself when it is needed")
    relay.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDR", help="127.0.0.1 (default) or ::1; with --tokens any, ADDR:PORT"
    )
    relay.add_argument("--port", type=_port, default=0, help="default: any that is free")
    relay.add_argument(
        "--store", metavar="DIR", help="where the streams are (default: as for this user); with --tokens also redis://"
    )
    relay.add_argument(
        "--exit-after", type=_seconds, default=600.0, metavar="S", help="end when nobody needed it for S seconds (600)"
    )
    relay.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name that a proxy in front passes on"
    )
    relay.add_argument(
        "--stop", action="store_true", help="end the relays of the store; what they record is interrupted"
    )
    many = relay.add_argument_group("for many users", "a service on a network; docs/deploy.md has the files")
    many.add_argument("--tokens", metavar="FILE", help="who may do what, by hashes of tokens (TOML or JSON)")
    many.add_argument("--upstreams", metavar="FILE", help="the only servers that are called, and where their keys are")
    many.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM)")
    many.add_argument("--tls-key", metavar="FILE", help="its private key (PEM)")
    many.add_argument("--behind-proxy", action="store_true", help="no TLS here: a proxy in front has the certificate")
    many.add_argument(
        "--drain-s", type=_seconds, default=30.0, metavar="S", help="behind SIGTERM live streams go on for S s (30)"
    )
    within = relay.add_subparsers(metavar="token", dest="within")
    token = within.add_parser("token", help="make a token for a user", description="Make a token for a user.")
    token.add_argument("user", metavar="USER")
    token.add_argument("--scopes", default="read,start,stop", help="of read, start, stop, metrics; default %(default)s")
    token.set_defaults(run=_token)
    command(
        "doctor", _doctor, "check versions and the store, and try what survives; exit code 1 if something needs you"
    )
    return parser


def _demo(args: argparse.Namespace) -> int:
    from nbstream.cli import demo

    return demo.check() if args.check else demo.lab(port=args.port, browser=not args.no_browser)


def _list(_: argparse.Namespace) -> int:
    from nbstream.cli import streams

    return streams.show_all()


def _show(args: argparse.Namespace) -> int:
    from nbstream.cli import streams

    return streams.show(args.stream, follow=args.follow)


def _stop(args: argparse.Namespace) -> int:
    from nbstream.cli import streams

    return streams.stop(args.stream, args.agent)


def _clean(args: argparse.Namespace) -> int:
    from nbstream.cli import streams

    return streams.clean(args.older_than)


def _relay(args: argparse.Namespace) -> int:
    from nbstream.cli import relay

    if args.stop:
        return relay.end(args.store)
    if args.tokens is not None:
        return relay.run_for_users(
            args.store, bind=args.bind, port=args.port, tokens=args.tokens, upstreams=args.upstreams,
            tls_cert=args.tls_cert, tls_key=args.tls_key, behind_proxy=args.behind_proxy,
            allow_hosts=args.allow_host, drain_s=args.drain_s,
        )  # fmt: skip
    service = (args.upstreams, args.tls_cert, args.tls_key, args.behind_proxy or None)
    if any(one is not None for one in service):
        raise RelayError("--upstreams, --tls-cert, --tls-key and --behind-proxy are for a service: give --tokens, too")
    return relay.run(
        args.store, bind=args.bind, port=args.port, exit_after_s=args.exit_after, allow_hosts=args.allow_host
    )


def _token(args: argparse.Namespace) -> int:
    from nbstream.cli import relay

    return relay.make_token(args.user, args.scopes)


def _doctor(_: argparse.Namespace) -> int:
    from nbstream import doctor

    checks = doctor.examine()
    for check in checks:
        print(check)
    return 0 if all(check.ok for check in checks) else 1


def _days(text: str) -> float:
    try:
        days = float(text.removesuffix("d"))
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: write a number of days, like 30d")
    return days


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: write a number of seconds above 0")
    return seconds


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text}: a port is a number from 1 to 65535")
    return int(text)

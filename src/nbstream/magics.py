"""`%%stream` and `%stream`: what a user types."""

from __future__ import annotations

import keyword
import math
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from nbstream.errors import StreamGone
from nbstream.options import NbStream, options
from nbstream.question import arguments_of, conversation_of, source_of, unknown_verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.stream import Stream

HELP = """\
%stream list                     every saved stream
%stream show ID                  show a saved stream, or watch a live one; no call
%stream resume [ID [AGENT]]      go on behind its last record (the last stream of this notebook without ID)
%stream continue [ID]            let a new generation go on behind the text of one that was cut and cannot be resumed
%stream stop [ID [AGENT]|all]    stop it: the call is closed and never resumes by itself
%stream regenerate [ID [AGENT]]  ask the same question anew; the old answer is kept
                                 with AGENT: only that agent of a team, the others are left as they are
%stream replay ID                show what is saved, without a call
%stream replay ID --speed 4      play it again, four times as fast as it came (1: as fast as it came)
%stream models                   providers and whether their keys are set, this machine's servers, formats
%stream history [NAME]           what was said in a conversation (%%stream --in NAME); without NAME: which there are
%stream clean [--older-than 30d] delete streams nobody has shown or written for so long
%stream status [ID]              what kernel, relay and pages use, and the live streams; all about one stream
%stream --url ADDRESS            stream what an address sends: %%stream without a prompt
%stream doctor                   check versions and the store, say where this is, try what survives
%stream help                     this text;  %%stream? explains the cell magic"""


@magics_class
class StreamMagics(Magics):
    """The magics; `last` is the stream that the last one showed."""

    last: Stream | None = None

    @magic_arguments("%stream")
    @argument("--model", "-m", help="PROVIDER:NAME (%%stream models lists them), or a bare name with --base-url")
    @argument("--base-url", help="address of a server that speaks as OpenAI does, e.g. http://127.0.0.1:8080/v1")
    @argument("--system", "-s", help="system prompt")
    @argument("--key", "-k", help="your own name for this stream, unique in the notebook")
    @argument("--fresh", action="store_true", help="ask anew, whatever is saved")
    @argument("--replay", action="store_true", help="show what is saved, without a call")
    @argument("--wait", action="store_true", help="let the cell wait for the answer")
    @argument("--to", metavar="NAME", help="bind the text to this variable; waits for it")
    @argument("--no-save", action="store_true", help="keep the answer in memory only")
    @argument(
        "-p",
        dest="params",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of the model; demo knows max_tokens seed tokens_per_s tokens_per_frame fault run",
    )
    @argument(
        "--in", dest="conversation", metavar="NAME", help="a turn of this conversation: the model knows the others"
    )
    @argument("--cut", help="turns before that did not end: keep what came (the default), continue, leave-out")
    @argument("--url", "-u", help="stream from this address: POST with the cell as its body, GET as %%stream --url")
    @no_var_expand
    @cell_magic("stream")
    def stream_cell(self, line: str, cell: str) -> None:
        """
        Stream the answer to the prompt in this cell; every piece is saved before it is shown.

        `%config NbStream` lists what holds for all cells (model, time-outs, where streams are recorded).
        """
        self._ask(line, cell, "%%stream")

    def _ask(self, line: str, cell: str, spelled: str) -> None:
        args = arguments_of(self.stream_cell.parser, line, spelled)
        if args.to is not None and (not args.to.isidentifier() or keyword.iskeyword(args.to)):
            msg = f"--to {args.to}: not a variable name"
            raise UsageError(msg)
        if args.fresh and args.replay:
            msg = "--fresh asks anew and --replay makes no call: give one of them"
            raise UsageError(msg)
        from nbstream import api

        # If this raises, the stream that did not end well is the newest in the store: `last_here` finds it.
        self.last, kept = None, {"key": args.key, "fresh": args.fresh, "replay": args.replay}
        if args.conversation is not None:
            conversation, prompt = conversation_of(args, cell, spelled)
            stream = conversation.ask(prompt, **kept)
        elif args.cut is not None:
            msg = "--cut goes with --in NAME: there are no turns before this one"
            raise UsageError(msg)
        else:
            stream = api.show(source_of(args, cell, spelled), save=not args.no_save, **kept)
        self.last = stream
        if args.wait or args.to or options().wait:
            stream.wait()
        if args.to:
            if stream.state != "complete":
                raise stream.exception()
            self._shell.push({args.to: stream.text})

    @line_magic("stream")
    def stream_line(self, line: str) -> None:
        """Find, show, stop, resume, clean: `%stream help`."""
        if line.startswith("-"):
            # What IPython suggests for a %%stream with nothing below it.
            self._ask(line, "", "%stream")
            return
        verb, *rest = line.split() or ["help"]
        verbs: dict[str, Callable[[list[str]], None]] = {
            "list": self._list, "show": self._show, "resume": self._resume, "continue": self._continue,
            "stop": self._stop, "regenerate": self._regenerate, "replay": self._replay, "history": self._history,
            "clean": self._clean, "status": self._status, "models": self._models, "doctor": self._doctor,
            "help": self._help,
        }  # fmt: skip
        if verb not in verbs:
            raise UsageError(unknown_verb(verb, [*verbs]))
        verbs[verb](rest)

    @property
    def _shell(self) -> Any:
        return self.shell

    def _one(self, rest: list[str], verb: str) -> Stream:
        """Return the stream that the user named, or the last one here."""
        from nbstream import api

        if len(rest) > 1:
            msg = f"%stream {verb} takes one ID; `%stream list` shows them"
            raise UsageError(msg)
        if rest:
            try:
                return api.find(rest[0])
            except StreamGone as exc:
                msg = f"%stream {verb}: {exc}"
                raise UsageError(msg) from None
        last = self.last or api.last_here()
        if last is None:
            msg = f"%stream {verb} needs an ID: this notebook has no stream yet; `%stream list` shows all"
            raise UsageError(msg)
        return last

    def _one_of(self, rest: list[str], verb: str) -> tuple[Stream, str | None]:
        """Return the stream that the user named, and the agent of it; None for all of it."""
        from nbstream.stopping import agent_of

        stream, name = self._one(rest[:1], verb), " ".join(rest[1:])
        try:
            return stream, agent_of(stream, name) if name else None
        except ValueError as exc:
            msg = f"%stream {verb}: {exc}"
            raise UsageError(msg) from None

    def _list(self, rest: list[str]) -> None:
        from nbstream import api, overview

        _none(rest, "list")
        found = api.streams()
        if not found:
            print("no streams are saved")
        for stream in found:
            print(overview.listed(stream))

    def _show(self, rest: list[str]) -> None:
        self._display(self._one(rest, "show"), saved=True)

    def _replay(self, rest: list[str]) -> None:
        from nbstream import api

        rest, speed = _speed(rest)
        stream = self._one(rest, "replay")
        if speed is None:
            self._display(stream, saved=True)
        else:
            self.last = stream
            api.replay(stream, speed)

    def _history(self, rest: list[str]) -> None:
        from nbstream.conversation import Conversation, conversations

        names = conversations()
        name = " ".join(rest)
        if not name:
            for known, turns in names.items():
                print(f"{known}: {turns} turn{'' if turns == 1 else 's'}")
            if not names:
                print("no conversation in this notebook yet: %%stream --in NAME")
        elif name in names:
            print(Conversation(name=name).history())
        else:
            msg = f"%stream history {name}: no conversation of that name in this notebook; `%stream history` lists them"
            raise UsageError(msg)

    def _resume(self, rest: list[str]) -> None:
        from nbstream import api

        self._display(api.resume(*self._one_of(rest, "resume")))

    def _continue(self, rest: list[str]) -> None:
        from nbstream import api

        self._display(api.continue_(self._one(rest, "continue")))

    def _regenerate(self, rest: list[str]) -> None:
        from nbstream import api

        self._display(api.regenerate(*self._one_of(rest, "regenerate")))

    def _stop(self, rest: list[str]) -> None:
        from nbstream import api, words
        from nbstream.stopping import STOP_S, stop_agent

        if rest == ["all"]:
            live = [one for one in api.streams() if one.state.live]
        else:
            stream, agent = self._one_of(rest, "stop")
            if agent is not None:
                facts = stop_agent(stream, agent)
                print(f"Stream {stream.id}, {words.plain(agent)}: {words.line(facts, buttons=False)}")
                return
            live = [stream]
        if not rest:  # nobody named it: there is nothing to report of one at rest
            live = [one for one in live if one.state.live]
        for stream in live:
            stream.stop()
        for stream in live:
            stream.wait(STOP_S)
            print(stream)
        if not live:
            print("nothing is live")

    def _clean(self, rest: list[str]) -> None:
        from nbstream import api

        days = 30.0
        if rest:
            if len(rest) != 2 or rest[0] != "--older-than":
                msg = "%stream clean takes only --older-than and a number of days: %stream clean --older-than 30d"
                raise UsageError(msg)
            days = _days(rest[1])
        gone = api.clean(days)
        print(f"deleted {len(gone)} stream{'' if len(gone) == 1 else 's'} older than {days:g} days")

    def _status(self, rest: list[str]) -> None:
        from nbstream import api, overview

        if rest:
            for name, value in self._one(rest, "status").status().items():
                if value not in (None, [], ""):
                    print(f"{name:17} {', '.join(value) if isinstance(value, list) else value}")
            return
        for line in overview.lines():
            print(line)
        live = [one for one in api.streams() if one.state.live]
        for stream in live:
            print(overview.listed(stream))
        if not live:
            print("nothing is live; `%stream list` shows what is saved")

    def _models(self, rest: list[str]) -> None:
        from nbstream import catalog

        _none(rest, "models")
        for line in catalog.lines():
            print(line)

    def _doctor(self, rest: list[str]) -> None:
        from nbstream.doctor import examine

        _none(rest, "doctor")
        for check in examine():
            print(check)

    def _help(self, rest: list[str]) -> None:
        _none(rest, "help")
        print(HELP)

    def _display(self, stream: Stream, *, saved: bool = False) -> None:
        from nbstream import api

        self.last = stream
        api.display_stream(stream, saved=saved)


def load(shell: Any) -> None:
    """Register the magics and the options with *shell*; twice is once."""
    try:
        given = options()
    except ValueError as exc:  # a variable of the environment
        raise UsageError(str(exc)) from None
    shell.register_magics(StreamMagics)
    if given not in shell.configurables:
        shell.configurables.append(given)


def unload(shell: Any) -> None:
    """Undo `load`, and end what was started."""
    for kind in ("cell", "line"):
        shell.magics_manager.magics[kind].pop("stream", None)
    shell.magics_manager.registry.pop("StreamMagics", None)
    if options() in shell.configurables:
        shell.configurables.remove(options())
    NbStream.clear_instance()
    if "nbstream.view.widget" in sys.modules:
        from nbstream.view.widget import unlisten

        # First: the control channel has a thread of its own, and a page may ask while the loop ends.
        unlisten(shell.kernel)
    if "nbstream.runtime" in sys.modules:
        from nbstream.runtime import runtime

        runtime().leave()
        if "nbstream.view.show" in sys.modules:
            from nbstream.view.show import close_all

            close_all()
        runtime().close()


def _days(text: str) -> float:
    try:
        days = float(text.removesuffix("d"))
    except ValueError:
        days = -1
    if not math.isfinite(days) or days < 0:
        msg = f"--older-than {text}: write a number of days, like 30d"
        raise UsageError(msg)
    return days


def _speed(rest: list[str]) -> tuple[list[str], float | None]:
    """Take `--speed X` out of the words behind a verb."""
    if "--speed" not in rest:
        return rest, None
    at = rest.index("--speed")
    text = " ".join(rest[at + 1 : at + 2])
    try:
        speed = float(text)
    except ValueError:
        speed = 0
    if not math.isfinite(speed) or speed <= 0:
        msg = f"--speed {text}".rstrip() + ": write a number above 0, like 4 (1 is the pace at which it came)"
        raise UsageError(msg)
    return [*rest[:at], *rest[at + 2 :]], speed


def _none(rest: list[str], verb: str) -> None:
    if rest:
        msg = f"%stream {verb} takes no arguments, found {' '.join(rest)!r}"
        raise UsageError(msg)

"""The commands by name, and from what was typed to an exit status.

Each command's module is imported when the command runs. The first page of help is written from the table in here
alone, so it is there at once.
"""

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, NamedTuple

from longstop import __version__
from longstop.edges.cli.errors import FAILED, INTERRUPTED, PIPE_CLOSED, USAGE, UsageError, report, say, utf8
from longstop.edges.cli.program import Program
from longstop.model.errors import LongstopError

if TYPE_CHECKING:
    from cyclopts import App


class Command(NamedTuple):
    """A command: what is typed, the function that it runs, and what it is for."""

    name: str
    function: str
    """`package.module:function`, imported when it is run."""
    purpose: str


COMMANDS = (
    Command("init", "longstop.edges.cli.init:init", "Write a configuration to start from"),
    Command(
        "check", "longstop.edges.cli.check:check", "Say all that is wrong with the configuration, or what it means"
    ),
    Command("demo", "longstop.edges.cli.serve:demo", "See it work: a sender, a failing destination, nothing lost"),
    Command("serve", "longstop.edges.cli.serve:serve", "Accept events and deliver them"),
    Command("ingest", "longstop.edges.cli.serve:ingest", "Only accept events"),
    Command("work", "longstop.edges.cli.serve:work", "Only deliver events"),
    Command("send", "longstop.edges.cli.send:send", "Sign a body and post it as the real sender would"),
    Command("sources list", "longstop.edges.cli.sources:list_sources", "List who may send"),
    Command("sources show", "longstop.edges.cli.sources:show_source", "Show a source, without its secrets"),
    Command(
        "sources test", "longstop.edges.cli.sources:try_request", "Say what would become of a captured request, and why"
    ),
    Command(
        "sources rejections",
        "longstop.edges.cli.sources_rejections:list_rejections",
        "List what was refused lately, and why",
    ),
    Command(
        "sources release",
        "longstop.edges.cli.sources_release:release",
        "Accept what was held and is proven by today's secrets",
    ),
    Command("events list", "longstop.edges.cli.events:list_events", "List what was accepted"),
    Command(
        "events show", "longstop.edges.cli.events:show_event", "Show an event, whole, with all that was done with it"
    ),
    Command("dead list", "longstop.edges.cli.dead:list_dead", "List what could not be delivered, and why"),
    Command("dead summary", "longstop.edges.cli.dead:summarize_dead", "Say what they died of, and how many of each"),
    Command("replay", "longstop.edges.cli.replay:replay", "Send events again"),
    Command("jobs list", "longstop.edges.cli.jobs:list_jobs", "List replays and discards of many"),
    Command("jobs show", "longstop.edges.cli.jobs:show_job", "Say how far one is, and what it waits for"),
    Command("jobs pause", "longstop.edges.cli.jobs:pause_job", "Let one rest"),
    Command("jobs resume", "longstop.edges.cli.jobs:resume_job", "Let one go on"),
    Command("jobs cancel", "longstop.edges.cli.jobs:cancel_job", "End one; what it did stays done"),
    Command("expedite", "longstop.edges.cli.expedite:expedite", "Have what waits tried at once"),
    Command("discard", "longstop.edges.cli.discard:discard", "Give up on what is dead or waits, for a reason"),
    Command("pause", "longstop.edges.cli.pause:pause", "Send a destination nothing for a while; events for it wait"),
    Command("resume", "longstop.edges.cli.pause:resume", "Let a paused destination go on"),
    Command("users list", "longstop.edges.cli.users:list_users", "List who may sign in"),
    Command("users add", "longstop.edges.cli.users:add_user", "Let a person sign in"),
    Command("users passwd", "longstop.edges.cli.users:change_password", "Change a person's password"),
    Command("users role", "longstop.edges.cli.users:change_role", "Change what a person may do"),
    Command("users disable", "longstop.edges.cli.users:disable_user", "Let a person sign in no more"),
    Command("users enable", "longstop.edges.cli.users:enable_user", "Let a person who was disabled sign in again"),
    Command("users remove", "longstop.edges.cli.users:remove_user", "Remove a person"),
    Command("tokens list", "longstop.edges.cli.tokens:list_tokens", "List what programs show"),
    Command("tokens create", "longstop.edges.cli.tokens:create_token", "Make a token for a program"),
    Command("tokens revoke", "longstop.edges.cli.tokens:revoke_token", "End a token"),
    Command("audit", "longstop.edges.cli.audit:audit", "List who did and looked at what"),
    Command("backup", "longstop.edges.cli.backup:backup", "Copy the store into a file, while it is in use"),
    Command("export", "longstop.edges.cli.export:export", "Write all events as lines of JSON"),
    Command("import", "longstop.edges.cli.export:import_", "Put exported or archived events into the store"),
    Command("migrate-store", "longstop.edges.cli.migrate:migrate_store", "Move everything to another store"),
    Command("purge", "longstop.edges.cli.purge:purge", "Forget now what is old enough, or count it"),
    Command(
        "status", "longstop.edges.cli.status:status", "Count what waits, is delivered, is dead; say who is at work"
    ),
    Command("alerts list", "longstop.edges.cli.alerts:list_alerts", "List what is wrong now"),
    Command("alerts test", "longstop.edges.cli.alerts:try_channels", "Try whether alerts arrive"),
    Command("alerts silence", "longstop.edges.cli.alerts:silence", "Tell nobody of a kind of alert for a time"),
    Command("alerts unsilence", "longstop.edges.cli.alerts:unsilence", "End such a silence"),
    Command("alerts silences", "longstop.edges.cli.alerts:list_silences", "List what is silenced, by whom and why"),
    Command("tail", "longstop.edges.cli.tail:tail", "Show what happens, as it happens"),
    Command("aws template", "longstop.edges.cli.aws:template", "Write a template of what the store needs in AWS"),
    Command("aws init", "longstop.edges.cli.aws:init", "Make what the store needs in AWS, for a first try"),
    Command("aws check", "longstop.edges.cli.aws:check", "Say what is missing there or too wide"),
    Command("mcp", "longstop.edges.cli.mcp:mcp", "Serve tools to the assistant that you work with"),
    Command("completion", "longstop.edges.cli.completion:completion", "Let a shell complete command lines"),
)
"""In the order in which a person meets them."""

_GROUPS = {
    "sources": "Who may send.",
    "events": "What was accepted.",
    "dead": "What could not be delivered.",
    "jobs": "Replays and discards of many.",
    "users": "Who may sign in.",
    "tokens": "What programs show.",
    "alerts": "What people are told of.",
    "aws": "What the store needs in an account of AWS.",
}
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What standard output says where a disk is full, or a terminal is gone."""
_BESIDE_THE_STORE = {
    **dict.fromkeys(("init", "check", "demo", "serve", "ingest", "work", "completion"), "is for this machine"),
    "send": "signs with the secrets of the configuration, and posts to the senders' port",
    "sources release": "verifies with the secrets of the configuration",
    "backup": "copies the store's file",
    "alerts test": "puts a test into the store's queue itself",
    **dict.fromkeys(("purge", "export", "import"), "works on the store itself"),
    "migrate-store": "works on the stores themselves",
    **dict.fromkeys(("aws template", "aws init", "aws check"), "is for the account that the store is in"),
}
"""Commands that have only one way, and why."""
_DECIDE_BESIDE = ("sources release", "backup", "purge", "export", "import")
_ABOUT = "Longstop: a durable inbox for webhooks. It answers 2xx when an event is on disk, and owns it from then on."
_FOOT = """\
Every command takes --config FILE (default ./longstop.toml, or LONGSTOP_CONFIG); `longstop COMMAND --help` says more.
Those that look or decide take --url URL (or LONGSTOP_URL) in its place, and ask that gateway, from any machine.
Exit status: 0 done, 1 failed, 2 the command line is wrong."""


def run(argv: Sequence[str], program: Program) -> int:
    """Do what a command line asks for; the exit status. Errors are said on standard error, never raised."""
    try:
        status = _dispatch(list(argv), program)
        sys.stdout.flush()
        return status
    except LongstopError as error:
        return report(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in _NOT_WRITTEN or error.filename is not None:
            raise
        _drop_output()
        say([f"longstop: the output cannot be written: {error.strerror}"])
        return FAILED


def _drop_output() -> None:
    """What is still buffered must not raise again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(argv: list[str], program: Program) -> int:
    group = argv[0] if argv and argv[0] in _GROUPS else None
    if argv[1 if group else 0 :] in ([], ["--help"], ["-h"]):
        sys.stdout.write(help_text(group))
        return 0
    if argv == ["--version"]:
        sys.stdout.write(f"{__version__}\n")
        return 0
    return _command(argv, program)


def help_text(group: str | None = None) -> str:
    """The first page of help: of the program, or of a group of commands."""
    shown = [each for each in COMMANDS if group is None or each.name.startswith(f"{group} ")]
    width = max(len(each.name) for each in shown)
    lines = [f"  {each.name:{width}}  {each.purpose}" for each in shown]
    about, usage = (_GROUPS[group], f"longstop {group}") if group else (_ABOUT, "longstop")
    return "\n".join([about, "", f"Usage: {usage} COMMAND", "", *lines, "", _FOOT, ""])


def _command(argv: list[str], program: Program) -> int:
    from cyclopts import CycloptsError

    _refuse_url(_known(argv), argv)
    app = build()
    try:
        command, bound, handed_in = app.parse_args(argv, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        say([f"longstop: {error}", f"`{_help_for(argv)}` says more"])
        return USAGE
    _refuse_other_encodings(bound.arguments)
    injected = {"program": program} if "program" in handed_in else {}
    status = command(*bound.args, **bound.kwargs, **injected)
    return status if isinstance(status, int) else 0


def _refuse_other_encodings(arguments: Mapping[str, object]) -> None:
    """Raise UsageError where text was typed that is no UTF-8: not every store could keep it or look for it.

    Paths may be such, and what bodies are searched for, which is bytes.
    """
    for name, value in arguments.items():
        if is_dataclass(value):
            _refuse_other_encodings(vars(value))
        for text in value if isinstance(value, tuple | list) else (value,):
            if isinstance(text, str) and name != "contains":
                utf8(name, text)


def _known(argv: list[str]) -> str | None:
    """The command that a line begins with."""
    return next((each.name for each in COMMANDS if argv[: len(each.name.split())] == each.name.split()), None)


def _refuse_url(name: str | None, argv: list[str]) -> None:
    """Raise UsageError for a command that does not work over a gateway's API and is asked to."""
    if name not in _BESIDE_THE_STORE or name == "send":
        # `send` has a --url of its own: the senders' port to post to.
        return
    given = {text.partition("=")[0] for text in argv}
    if "--url" in given:
        raise UsageError(f"--url: `longstop {name}` {_BESIDE_THE_STORE[name]}; expected --config, beside the store")
    if name in _DECIDE_BESIDE and os.environ.get("LONGSTOP_URL") and "--config" not in given:
        raise UsageError(
            f"LONGSTOP_URL names a gateway, and `longstop {name}` {_BESIDE_THE_STORE[name]}; expected --config FILE, "
            "so that nobody takes one store for another"
        )


def _help_for(argv: list[str]) -> str:
    found = _known(argv)
    group = argv[0] if argv[0] in _GROUPS else None
    return " ".join(filter(None, ("longstop", found or group, "--help")))


def build() -> "App":
    """The cyclopts app. No command's module is imported yet."""
    from cyclopts import App, Parameter

    def app(name: str, about: str) -> App:
        # Plain text: rendering help as Markdown alone would take half a second.
        return App(
            name=name,
            help=about,
            version=__version__,
            help_format="plaintext",
            default_parameter=Parameter(negative=()),
            result_action="return_value",
        )

    root = app("longstop", _ABOUT)
    groups = {name: app(name, about) for name, about in _GROUPS.items()}
    for group in groups.values():
        root.command(group)
    for each in COMMANDS:
        *of_group, name = each.name.split()
        parent = groups[of_group[0]] if of_group else root
        parent.command(each.function, name=name)
    return root

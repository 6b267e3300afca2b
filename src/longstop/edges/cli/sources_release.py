"""Release: what was held because it was not verified is verified again, and accepted where it passes."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.sources import Name, named

if TYPE_CHECKING:
    from longstop.operating.release import Released


def release(
    name: Name,
    /,
    *,
    dry_run: Annotated[bool, Parameter(help="Change nothing; say what would be accepted.", show_default=False)] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Accept what is held of a source and is proven by its secrets of today; leave the rest held.

    For a secret that was changed on one side only. Signed times are judged by when each request was received.
    """

    async def work(parts: Parts) -> int:
        source = named(parts.config, name)
        released = await parts.release(source.name, caller()).run(dry_run)
        if json:
            output.json_line({"source": source.name, "dry_run": dry_run, **_row(released)})
        else:
            _print(released, dry_run)
        return DONE

    # Its secrets are what this is about.
    return on_store(program, config, work, whole=True)


def _row(released: "Released") -> dict[str, object]:
    return {
        "accepted": released.accepted,
        "duplicates": released.duplicates,
        "quarantined": released.quarantined,
        "answered": released.answered,
        "left": released.left,
        "problems": list(released.problems),
    }


def _print(released: "Released", dry_run: bool) -> None:
    verb = "would be accepted; nothing was changed" if dry_run else "accepted"
    output.line(f"{released.accepted} {verb}")
    others = (("duplicates", "were sent again meanwhile"), ("quarantined", "cannot be read"), ("answered", "no event"))
    for name, what in others:
        if number := getattr(released, name):
            output.line(f"{number} {name}: {what}")
    if released.left:
        output.line(f"{released.left} left: not proven by today's secrets; of the first:")
        for problem in released.problems:
            output.line(f"  {problem}")

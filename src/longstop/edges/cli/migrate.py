"""From one store to another, with everything in it."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, FAILED, CommandError, say
from longstop.edges.cli.options import AsJson, Injected
from longstop.edges.cli.person import caller
from longstop.model.audit import AuditAction
from longstop.model.errors import ConfigurationError, LongstopError
from longstop.operating.move import Compared, Move, is_empty


def migrate_store(
    source: Annotated[str, Parameter(name="FROM", help="The URL of the store to move from: sqlite:///longstop.db.")],
    target: Annotated[str, Parameter(name="TO", help="The URL of the store to move to; it is made where it is not.")],
    /,
    *,
    force: Annotated[
        bool, Parameter(help="Also while a gateway is at work on one of them.", show_default=False)
    ] = False,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Move everything from one store to another, and compare both afterwards. Nothing is taken from the first.

    Events, deliveries, attempts, decisions, dedup keys, jobs, pauses, users, tokens, the audit log, statistics: all
    but processes. It may be stopped, or killed, and started again: what is there already is known by its id.
    """

    async def main() -> int:
        with _said_of("FROM"):
            here_is = program.place_of(source)
            if not program.has_store_at(source):
                raise CommandError(f"there is no store at {here_is}; expected one that is in use")
        with _said_of("TO"):
            there_is = program.place_of(target)
            if here_is == there_is:
                raise CommandError(f"found the store that FROM names, {here_is}; expected another")
        async with contextlib.AsyncExitStack() as stack:
            with _said_of("FROM"):
                here = await stack.enter_async_context(program.opened_at(source))
                if await is_empty(here.store):
                    raise CommandError(f"there is nothing in the store at {here_is}; expected one that is in use")
            with _said_of("TO"):
                there = await stack.enter_async_context(program.opened_at(target))
            move = here.move_to(there.store)
            if not force:
                await move.refuse_in_use()
            await here.auditor(caller()).note(AuditAction.STORE_MIGRATE, "store", there_is)
            return await _move(move, json)

    return program.run(main())


@contextlib.contextmanager
def _said_of(which: str) -> Iterator[None]:
    """What is wrong with one of the two stores is told as that one's."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(tuple(each.replace("store.url", which, 1) for each in error.problems)) from None
    except LongstopError as error:
        raise CommandError(f"{which}: {error}") from error


async def _move(move: Move, json: bool) -> int:
    with output.job_bar("moving") as tell:
        moved = await move.copy(tell)
        compared = await move.verify(tell)
    for each in compared:
        row = {"rows": each.name, "number": each.rows, "moved": moved[each.name], "found": each.found}
        row |= {"besides": each.besides, "checksum": each.checksum, "agrees": each.agrees}
        if json:
            output.json_line(row)
        elif each.rows or each.besides:
            output.line(_sentence(each, moved[each.name]))
    wrong = [each for each in compared if not each.agrees]
    _say_what_next(wrong)
    return FAILED if wrong else DONE


def _sentence(compared: Compared, moved: int) -> str:
    besides = f"; {compared.besides} more there" if compared.besides else ""
    said = f"{compared.name:28}  {compared.rows:>9}, moved now {moved}{besides}"
    return f"{said}; " + (f"same: {compared.checksum}" if compared.agrees else f"found {compared.found} the same")


def _say_what_next(wrong: Sequence[Compared]) -> None:
    if not wrong:
        say(["Everything is there. Name the new store in store.url. The old one is as it was: let nothing run on it."])
        return
    for each in wrong:
        # Of what there is one of, the name says all; what could not be read has none.
        named = ", ".join(filter(None, each.named)) if each.named else "unreadable"
        say([f"{each.name}: {each.rows - each.found} missing or different{': ' if named else ''}{named}"])
    say(
        [
            "Not everything is there as it was; start it again, with no gateway at work on either store. "
            "What TO had of its own by the same name stays: where that is the reason, move into an empty store."
        ]
    )

"""Tokens: what a program shows in place of a person."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, tables
from longstop.edges.cli.errors import DONE, UsageError, say
from longstop.edges.cli.listing import json_lines, say_there_are_more
from longstop.edges.cli.listings import id_cell, time_cell
from longstop.edges.cli.options import AsJson, Injected, Limit, checked_limit
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.caller import Scope
from longstop.model.listing import Page
from longstop.model.retention import DAY_MS

COLUMNS = (
    Column("token"),
    Column("name"),
    Column("scopes"),
    Column("made", right=True),
    Column("made by"),
    Column("ends"),
)


def list_tokens(*, limit: Limit = 50, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """List tokens, newest first. None of them is shown: each was, once."""
    page = Page(checked_limit(limit))

    async def work(desk: Desk) -> int:
        found = await desk.tokens(page)
        if json:
            json_lines(found.items)
        elif found.items:
            tables.write(COLUMNS, [_cells(each, desk.clock.now_ms()) for each in found.items])
        else:
            say(["There is no token. `longstop tokens create NAME --scope view` makes one."])
        say_there_are_more(found)
        return DONE

    return at_desk(program, where, work)


def create_token(
    name: Annotated[str, Parameter(name="NAME", help="What it is called in the audit log: the program's name.")],
    /,
    *,
    scope: Annotated[
        list[Scope],
        Parameter(
            help="view: looks; bodies: sees masked fields, too; replay: looks and decides; admin: all. May be repeated."
        ),
    ],
    days: Annotated[int | None, Parameter(help="It ends after so many days; else when it is revoked.")] = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Make a token, and show it: now, and never again."""
    if days is not None and not 1 <= days <= 3_650:
        raise UsageError(f"--days: found {days}; expected 1 to 3650")

    async def work(desk: Desk) -> int:
        ends_ms = None if days is None else desk.clock.now_ms() + days * DAY_MS
        token = await desk.create_token(name, frozenset(scope), ends_ms)
        if json:
            output.json_line(token)
        else:
            # Alone on standard output, so that it can be sent on into a file.
            say([f"Token {token['id']} of {name}. It is shown this once:"])
            output.line(token["token"])
        return DONE

    return at_desk(program, where, work)


def revoke_token(
    id_: Annotated[str, Parameter(name="ID", help="Of the token, as `tokens list` shows it.")],
    /,
    *,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a token at once."""

    async def work(desk: Desk) -> int:
        token = await desk.revoke_token(id_)
        if json:
            output.json_line({"id": token["id"], "revoked": True})
        else:
            output.line(f"Token {token['id']} of {token['name']} is revoked")
        return DONE

    return at_desk(program, where, work)


def _cells(token: Row, now_ms: int) -> tuple[str, ...]:
    ends_ms = ms_of(token["expires_at"])
    ends = (token["expires_at"] or "") + (" (over)" if ends_ms is not None and ends_ms <= now_ms else "")
    made = time_cell(token["created_at"], now_ms)
    return (id_cell(token["id"]), token["name"], " ".join(token["scopes"]), made, token["created_by"], ends)

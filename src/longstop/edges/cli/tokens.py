"""Tokens: what a program shows in place of a person."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, tables
from longstop.edges.cli.errors import DONE, UsageError, say
from longstop.edges.cli.listing import json_lines
from longstop.edges.cli.listings import id_cell, time_cell
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.tables import Column
from longstop.edges.rows.access import token_meant, token_row
from longstop.model.accounts import Token
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


def list_tokens(
    *, limit: Limit = 50, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected
) -> int:
    """List tokens, newest first. None of them is shown: each was, once."""
    page = Page(checked_limit(limit))

    async def work(parts: Parts) -> int:
        found = await parts.store.tokens(page)
        if json:
            json_lines(map(token_row, found.rows))
        elif found.rows:
            tables.write(COLUMNS, [_cells(each, parts.clock.now_ms()) for each in found.rows])
        else:
            say(["There is no token. `longstop tokens create NAME --scope view` makes one."])
        return DONE

    return on_store(program, config, work)


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
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Make a token, and show it: now, and never again."""
    if days is not None and not 1 <= days <= 3_650:
        raise UsageError(f"--days: found {days}; expected 1 to 3650")

    async def work(parts: Parts) -> int:
        ends_ms = None if days is None else parts.clock.now_ms() + days * DAY_MS
        token, text = await parts.accounts(caller()).create_token(name, frozenset(scope), ends_ms)
        if json:
            output.json_line({**token_row(token), "token": text})
        else:
            # Alone on standard output, so that it can be sent on into a file.
            say([f"Token {token.id} of {name}. It is shown this once:"])
            output.line(text)
        return DONE

    return on_store(program, config, work)


def revoke_token(
    id_: Annotated[str, Parameter(name="ID", help="Of the token, as `tokens list` shows it.")],
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a token at once."""

    async def work(parts: Parts) -> int:
        token = await token_meant(parts.store, id_)
        await parts.accounts(caller()).revoke_token(token.id)
        if json:
            output.json_line({"id": token.id, "revoked": True})
        else:
            output.line(f"Token {token.id} of {token.name} is revoked")
        return DONE

    return on_store(program, config, work)


def _cells(token: Token, now_ms: int) -> tuple[str, ...]:
    row = token_row(token)
    ends = str(row["expires_at"] or "") + (" (over)" if token.is_over(now_ms) else "")
    made = time_cell(token.created_at_ms, now_ms)
    return (id_cell(token.id), token.name, " ".join(row["scopes"]), made, token.created_by, ends)

"""Who may sign in to the operators' side. Whoever has the store before him makes the first one."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, tables
from longstop.edges.cli.errors import DONE, CommandError, UsageError, say
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.listing import json_lines, say_there_are_more
from longstop.edges.cli.listings import time_cell
from longstop.edges.cli.options import AsJson, Injected, Limit, checked_limit
from longstop.edges.cli.program import Program
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk, UserChange
from longstop.edges.rows.values import Row
from longstop.model.accounts import PASSWORD_CHARS_MIN, Role
from longstop.model.listing import Page

Name = Annotated[str, Parameter(name="NAME", help="What the person signs in as; letters, digits and . _ @ + -")]
PasswordFile = Annotated[
    Path | None,
    # Without this cyclopts takes `-` for an option.
    Parameter(
        name="--password-file",
        help="The password stands in this file, or is read from stdin for -; else it is asked for.",
        allow_leading_hyphen=True,
    ),
]
ROLES = "view: looks; replay: decides, too; admin: manages users and tokens, too."

COLUMNS = (Column("name"), Column("role"), Column("signs in by"), Column("changed", right=True), Column("made by"))


def list_users(*, limit: Limit = 500, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """List who may sign in, and as what."""
    page = Page(checked_limit(limit), newest_first=False)

    async def work(desk: Desk) -> int:
        found = await desk.users(page)
        if json:
            json_lines(found.items)
        elif found.items:
            tables.write(COLUMNS, [_cells(each, desk.clock.now_ms()) for each in found.items])
        else:
            say(["There is no user. `longstop users add NAME --role admin` makes the first."])
        say_there_are_more(found)
        return DONE

    return at_desk(program, where, work)


def add_user(
    name: Name,
    /,
    *,
    role: Annotated[Role, Parameter(help=ROLES)],
    password_file: PasswordFile = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Let a person sign in by a password, which is asked for. It is never an argument: others could see it there."""

    async def work(desk: Desk) -> int:
        user = await desk.add_user(name, role, password(password_file))
        if not await desk.asks_who():
            say(['Nobody is asked who he is yet: set operators.auth = "users", and start the gateway again.'])
        return _told(user, f"{name} may sign in, with the role {role}", json)

    return at_desk(program, where, work)


def change_password(
    name: Name,
    /,
    *,
    password_file: PasswordFile = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Change a person's password. Whoever is signed in under the name has to do so again."""

    async def work(desk: Desk) -> int:
        user = await desk.change_user(name, UserChange(password=password(password_file)))
        return _told(user, f"{user['name']} has another password; every session of the user is over", json)

    return at_desk(program, where, work)


def change_role(
    name: Name,
    role: Annotated[Role, Parameter(name="ROLE", help=ROLES)],
    /,
    *,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Change what a person may do. Whoever is signed in under the name has to do so again."""

    async def work(desk: Desk) -> int:
        user = await desk.change_user(name, UserChange(role=role))
        return _told(user, f"{user['name']} has the role {role}; every session of the user is over", json)

    return at_desk(program, where, work)


def disable_user(name: Name, /, *, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """Let a person sign in no more, at once. `longstop users enable` takes that back."""
    return _set_disabled(program, where, name, True, json)


def enable_user(name: Name, /, *, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """Let a person who was disabled sign in again."""
    return _set_disabled(program, where, name, False, json)


def remove_user(name: Name, /, *, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """Remove a person. What was done under the name stays in the audit log."""

    async def work(desk: Desk) -> int:
        await desk.remove_user(name)
        if json:
            output.json_line({"name": name, "removed": True})
        else:
            output.line(f"{name} is removed; every session of the user is over")
        return DONE

    return at_desk(program, where, work)


def _set_disabled(program: Program, where: Where, name: str, disabled: bool, json: bool) -> int:
    async def work(desk: Desk) -> int:
        user = await desk.change_user(name, UserChange(disabled=disabled))
        said = "signs in no more; every session of the user is over" if disabled else "may sign in again"
        return _told(user, f"{user['name']} {said}", json)

    return at_desk(program, where, work)


def password(file: Path | None) -> str:
    """The password: the first line of a file, or what a person types twice. Raises CommandError, UsageError."""
    if file is not None:
        refuse_option(file)
        try:
            return read_bytes(file).decode("utf-8-sig").partition("\n")[0].rstrip("\r")
        except UnicodeDecodeError:
            raise CommandError(
                f"{file}: found bytes that are not UTF-8; expected a password in its first line"
            ) from None
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked for the password here; --password-file FILE says where it stands")
    first = getpass.getpass(f"Password ({PASSWORD_CHARS_MIN} characters or more): ")
    if getpass.getpass("Once more: ") != first:
        raise CommandError("the two passwords differ; nothing was changed")
    return first


def _told(user: Row, said: str, json: bool) -> int:
    if json:
        output.json_line(user)
    else:
        output.line(said)
    return DONE


def _cells(user: Row, now_ms: int) -> tuple[str, ...]:
    role = f"{user['role']} (disabled)" if user["disabled"] else user["role"]
    return (user["name"], role, user["signs_in_by"], time_cell(user["changed_at"], now_ms), user["created_by"])

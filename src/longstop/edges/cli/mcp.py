"""Tools for an assistant, over standard input and output."""

import os
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli.errors import DONE, CommandError
from longstop.edges.cli.options import Injected
from longstop.edges.cli.person import person
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.where import HERE, Where, at_gateway
from longstop.model.caller import Caller, CallerKind, Scope

if TYPE_CHECKING:
    from longstop.edges.desk.desk import Desk
    from longstop.edges.desk.remote_desk import RemoteDesk


def mcp(
    *,
    decide: Annotated[
        bool,
        Parameter(
            help="Offer also what decides: replay, discard, pause. With --url the token says.", show_default=False
        ),
    ] = False,
    bodies: Annotated[
        bool,
        Parameter(help="Show masked fields, too. With --url the token says.", show_default=False),
    ] = False,
    where: Where = HERE,
    program: Injected,
) -> int:
    """Serve tools to an assistant (Model Context Protocol, standard input and output) until it goes.

    It looks at what is failing and why, and where it may, sends again and pauses. Every call is in the audit log.
    """
    _expect_sdk()
    remote = where.remote(os.environ)
    if remote is not None:
        return at_gateway(program, remote, _serve_gateway)
    scopes = {Scope.VIEW, *([Scope.REPLAY] if decide else []), *([Scope.BODIES] if bodies else [])}
    who = Caller(person(), CallerKind.CLI, frozenset(scopes))

    async def work(parts: Parts) -> int:
        from longstop.edges.desk.seen import seen_by
        from longstop.edges.desk.store_desk import StoreDesk

        return await _serve(StoreDesk(seen_by(parts, who), who), who.scopes, who.name)

    return on_store(program, where.file(os.environ), work)


async def _serve_gateway(desk: "RemoteDesk") -> int:
    name, scopes = await desk.who()
    return await _serve(desk, scopes, name)


async def _serve(desk: "Desk", scopes: frozenset[Scope], name: str) -> int:
    from longstop.edges.mcp.server import Seat, build

    await build(lambda: Seat(desk, scopes, name), scopes).run_stdio_async()
    return DONE


def _expect_sdk() -> None:
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise CommandError("found no `mcp` package; expected it: pip install 'longstop[mcp]'") from None

"""What is used of other people's packages beyond what they promise, and the bounds that go with it.

Where a probe fails with a new version of a package, that use has to change, or the package's upper bound in
pyproject.toml has to move down.
"""

import ast
import asyncio
import contextlib
import inspect
import sys
import tomllib
from collections.abc import Callable, Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.client_proto
import fastapi
import h11
import httpx
import jmespath
import pytest
import uvicorn
import uvicorn.server
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter
from packaging.requirements import Requirement
from uvicorn.protocols.http.h11_impl import H11Protocol

PROJECT = Path(__file__).parent.parent
ROOT = PROJECT / "src" / "longstop"
REQUIREMENTS = {
    each.name: each
    for each in map(Requirement, tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"])
}


async def uvicorn_leaves_signals_to_what_it_is_given() -> None:
    """edges/operators/server.py puts a context that captures nothing in the place of the server's own."""
    entered: list[bool] = []

    @contextlib.contextmanager
    def leave() -> Iterator[None]:
        entered.append(True)
        yield

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody asks")

    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    server.capture_signals = leave  # type: ignore[method-assign]
    server.should_exit = True
    await server.serve(sockets=[])
    assert entered == [True]


async def uvicorn_has_a_connection_that_can_be_given_limits() -> None:
    """edges/operators/connection.py derives from it: what it overrides, and what it looks at."""
    served = uvicorn.Config(_nothing, http=H11Protocol, lifespan="off", log_config=None)
    served.load()
    assert served.http_protocol_class is H11Protocol
    state = uvicorn.server.ServerState()
    made = H11Protocol(config=served, server_state=state, app_state={})
    for name in ("connection_made", "data_received", "pause_writing", "resume_writing", "connection_lost"):
        assert callable(getattr(made, name))
    assert list(inspect.signature(made.on_response_complete).parameters) == []
    assert made.cycle is None
    assert made.connections is state.connections
    assert (made.conn.their_state, made.conn.trailing_data) == (h11.IDLE, (b"", False))
    assert made.loop is asyncio.get_running_loop()


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody asks")


async def jmespath_has_an_interpreter_that_is_used_again() -> None:
    """sources/reading.py keeps one interpreter, and hands it the tree of a compiled expression."""
    visit = TreeInterpreter().visit
    assert [visit(jmespath.compile("a.b").parsed, {"a": {"b": each}}) for each in (1, 2)] == [1, 2]


async def jmespath_has_a_table_of_functions() -> None:
    """config/values.py looks up in it whether there is one of a name."""
    assert "length" in Functions.FUNCTION_TABLE


async def aiohttp_hands_out_its_connections_where_they_are_counted() -> None:
    """senders/response_limits.py puts itself between a connection and its handler, in the two methods of a connector
    that the documentation names for being overridden."""
    for name in ("connect", "_create_connection"):
        assert list(inspect.signature(getattr(aiohttp.TCPConnector, name)).parameters) == [
            *("self", "req", "traces", "timeout")
        ]
    handler = aiohttp.client_proto.ResponseHandler(asyncio.get_running_loop())
    assert handler.should_close is False
    assert issubclass(type(handler), asyncio.Protocol)
    assert callable(handler.force_close)


async def fastapi_routes_know_what_they_are_asked() -> None:
    """edges/operators/api/strict.py compares a query with the parameters of its route and of what that depends on."""

    async def depended_on(deep: int = 0) -> None:
        assert deep == 1

    app = fastapi.FastAPI()
    seen: list[Any] = []

    @app.get("/here", dependencies=[fastapi.Depends(depended_on)])
    async def here(request: fastapi.Request, own: int = 0) -> None:
        route = request.scope["route"]
        (dependency,) = route.dependant.dependencies
        seen.extend(
            [route.path, own, [each.alias for each in (*route.dependant.query_params, *dependency.query_params)]]
        )

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.get("/here?own=7&deep=1")).status_code == 200
    assert seen == ["/here", 7, ["own", "deep"]]


PROBES: dict[str, list[Callable[[], Coroutine[Any, Any, None]]]] = {
    "aiohttp": [aiohttp_hands_out_its_connections_where_they_are_counted],
    "fastapi": [fastapi_routes_know_what_they_are_asked],
    "uvicorn": [uvicorn_leaves_signals_to_what_it_is_given, uvicorn_has_a_connection_that_can_be_given_limits],
    "jmespath": [jmespath_has_an_interpreter_that_is_used_again, jmespath_has_a_table_of_functions],
}
DERIVED_FROM = {
    *("pydantic.BaseModel", "msgspec.Struct", "prometheus_client.registry.Collector"),
    # See the probes of aiohttp and uvicorn.
    *("aiohttp.TCPConnector", "uvicorn.protocols.http.h11_impl.H11Protocol"),
    # An abstract class, documented as the way to other ids.
    "opentelemetry.sdk.trace.id_generator.IdGenerator",
}
"""Classes of others that are made to be derived from."""


@pytest.mark.parametrize("probe", [probe for probes in PROBES.values() for probe in probes])
async def test_what_is_used_is_still_so(probe: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await probe()


@pytest.mark.parametrize("package", [*PROBES, "httptools"])
def test_what_is_looked_into_has_an_upper_bound(package: str) -> None:
    """And httptools, on whose strictness about framing so much rests (tests/unit/test_framing.py)."""
    requirement = REQUIREMENTS[package]
    assert any(each.operator == "<" for each in requirement.specifier), f"{requirement}: no upper bound"
    assert requirement.specifier.contains(version(package))


def imported(tree: ast.Module) -> dict[str, str]:
    """The names that stand for something of another package, and what each stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: alias.asname or alias.name for alias in node.names}
    ours = {"longstop", *sys.stdlib_module_names}
    return {name: whole for name, whole in names.items() if whole.split(".")[0] not in ours}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_private_of_others_is_used(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = imported(tree)
    assert not [whole for whole in names.values() if "._" in whole], f"{path}: imports what is private"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            foreign = isinstance(root, ast.Name) and root.id in names
            assert not foreign, f"{path}:{node.lineno}: uses {ast.unparse(node)}"
        elif isinstance(node, ast.ClassDef):
            for base in map(ast.unparse, node.bases):
                root, _, rest = base.partition(".")
                whole = ".".join([names.get(root, ""), *([rest] if rest else [])])
                foreign = root in names and whole not in DERIVED_FROM
                assert not foreign, f"{path}:{node.lineno}: {node.name} derives from {whole}"

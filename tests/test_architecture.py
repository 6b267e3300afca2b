"""The house's rules, as tests: who may import whom, and what may not be called where.

The layers: model <- ports <- services <- edges <- wiring <- what sits on top. Adapters know the model and the
ports. A rule that is broken names the file and the line.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
ROOT = SRC / "longstop"

SERVICES = {"accepting", "delivering", "operating"}
ADAPTERS = {"archives", "identity", "sources", "stores", "senders", "vendors"}
TOP = {"wiring", "aws", "embed", "demo", "__main__"}

# Room -> the rooms it may import, besides itself. The rooms of services know each other by ports and model alone.
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "ports": {"model"},
    "group_commit": {"model", "ports"},
    **{name: {"model", "ports", "group_commit"} for name in SERVICES},
    **{name: {"model", "ports", "aws_api"} for name in ADAPTERS},
    # What all adapters of one provider share.
    "aws_api": {"model"},
    "clock": set(),
    "telemetry": {"model", "ports"},
    "config": {"model"},
    "edges": {"model", "ports", "config", "telemetry", "testing", "client", *SERVICES},
    "client": {"model"},
    "testing": {"model", "ports"},
}

# What reads the wall clock, sleeps or draws from the global generator; time comes in through the clock port.
BANNED_CALLS = {
    "time.time",
    "time.time_ns",
    "time.sleep",
    "asyncio.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "uuid.uuid1",
    "uuid.uuid4",
}
GLOBAL_RANDOM = {"random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "getrandbits"}
# The test kit runs on a virtual loop, where sleeping is how its clock is moved; the demo is a show in real time.
# The client is no part of a gateway: it waits in whatever time its user has.
CALLS_ALLOWED_IN = {"clock", "wiring", "demo", "testing", "client"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    """The first part of the module's name below the package: `model`, `accepting`, `stores`."""
    first = path.relative_to(ROOT).parts[0]
    name = first.removesuffix(".py")
    return "config" if name.startswith("config") else name


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; name the room"
            names = [node.module or ""]
            if node.module == "longstop":
                names = [f"longstop.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("longstop."):
                first = name.split(".")[1]
                yield node.lineno, "config" if first.startswith("config") else first


def called_name(node: ast.Call) -> str:
    parts: list[str] = []
    target: ast.expr = node.func
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    if isinstance(target, ast.Name):
        parts.append(target.id)
    return ".".join(reversed(parts))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_layers(path: Path) -> None:
    here = room(path)
    if here in TOP or here == "__init__":
        return
    assert here in MAY_IMPORT, f"{path}: a new room; say in MAY_IMPORT what it may import"
    for line, there in imported_rooms(path):
        allowed = MAY_IMPORT[here] | {here}
        # The version is the package's own name card.
        assert there in allowed or there == "__version__", f"{path}:{line}: {here} may not import {there}"


@pytest.mark.parametrize("path", sorted((ROOT / "model").rglob("*.py")), ids=lambda path: path.name)
def test_the_model_needs_only_the_standard_library(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first = name.split(".")[0]
            assert first == "longstop" or first in sys.stdlib_module_names, f"{path}:{node.lineno}: imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_time_and_chance_come_in_as_arguments(path: Path) -> None:
    if room(path) in CALLS_ALLOWED_IN:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = called_name(node)
            banned = name in BANNED_CALLS or (name.startswith("random.") and name.split(".")[1] in GLOBAL_RANDOM)
            assert not banned, f"{path}:{node.lineno}: calls {name}; take a Clock or an rng instead"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_cancellation_is_lost(path: Path) -> None:
    """On Python 3.11 `asyncio.wait_for` gives its result to who is cancelled just then, and the task goes on."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert called_name(node) != "asyncio.wait_for", f"{path}:{node.lineno}: take asyncio.timeout instead"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_its_room_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path}: no docstring"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 70, f"{path}:{node.lineno}: {node.name} has {lines} lines; at most 70"


def test_nothing_is_left_lying_about() -> None:
    """Every module is imported by another, or is a door: an entry point or something public."""
    doors = {"__init__", "__main__", "embed", "demo.run"}
    imported: set[str] = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("longstop."):
                imported.add(node.value.split(":")[0])
    for path in modules():
        name = ".".join(path.relative_to(SRC).with_suffix("").parts)
        public = path.relative_to(ROOT).parts[0] in ("testing", "client")
        is_door = name.removeprefix("longstop.") in doors or path.stem == "__init__"
        assert public or is_door or name in imported, f"{path}: nobody imports it"

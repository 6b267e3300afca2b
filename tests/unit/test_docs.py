"""The pages keep to the code: keys and defaults, configurations, command lines, log events, links, the diagram."""

import ast
import importlib.util
import re
import shlex
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, get_args

import pytest
from cyclopts import CycloptsError

from longstop.config import alerts, load, operators, parse, shape, values
from longstop.config.values import Surroundings
from longstop.edges.cli import app
from longstop.edges.cli.starter import STARTER
from longstop.model.delivery import DeadReason, OutcomeKind, State
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event
from longstop.model.settings import AuthScheme, Scheme
from longstop.ports import Inbox, Ledger
from longstop.testing import payloads

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for top in ("docs", "examples", "changes") for p in (ROOT / top).rglob("*.md"))]
)
FRAGMENTS = {page for page in PAGES if page.parent.name == "changes" and page.name != "README.md"}
SECRET = "made:a-secret-of-thirty-characters"
"""With a colon, so that it is also a user and a password."""


class Block(NamedTuple):
    """A code block of a page: its info string and what is in it."""

    page: str
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    # Blocks within a list are indented as their item is.
    found = re.finditer(r"^( *)```([^\n`]+)\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    for each in found:
        indent, info, text = each.groups()
        line = page.read_text()[: each.start()].count("\n") + 1
        yield Block(str(page.relative_to(ROOT)), line, info, re.sub(f"^{indent}", "", text, flags=re.MULTILINE))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(*infos: str) -> list[Block]:
    return [block for block in BLOCKS if block.info in infos]


# -- the tables of configure.md -----------------------------------------------------------------

TABLES: dict[str, type[shape.Table]] = {
    "`[server]`": shape.ServerTable,
    "`[store]`": shape.StoreTable,
    "`[worker]`": shape.WorkerTable,
    "`[retention]`": shape.RetentionTable,
    "`[operators]`": operators.OperatorsTable,
    "`oidc`": operators.OidcTable,
    "`[alerts]`": shape.AlertsTable,
    "`[alerts.channels.NAME]`": alerts.ChannelTable,
    "`smtp`": alerts.SmtpTable,
    "`[telemetry]`": shape.TelemetryTable,
    "`[console]`": shape.ConsoleTable,
    "`[sources.NAME]`": shape.SourceTable,
    "`verify`": shape.VerifyTable,
    "`challenge`": shape.ChallengeTable,
    "`hold`": shape.HoldTable,
    "`[destinations.NAME]`": shape.DestinationTable,
    "`auth`": shape.AuthTable,
    "`tls`": shape.TlsTable,
    "`retry`": shape.RetryTable,
    "`breaker`": shape.BreakerTable,
    "`[[routes]]`": shape.RouteTable,
}
ROW = re.compile(r"^\| `(?P<key>[a-z_]+)` \| .+? \| (?P<default>[^|]+) \| `(?P<example>[^|]+)` \|$", re.MULTILINE)
CRM = "CRM_TOKEN CRM_SECRET CRM_PASSWORD CRM_CLIENT_ID CRM_CLIENT_SECRET"
ALERTS = "ALERT_TOKEN ALERT_SECRET SLACK_WEBHOOK PAGERDUTY_ROUTING_KEY OPSGENIE_API_KEY SMTP_PASSWORD"
NAMES = f"{ALERTS} ORDERS_SECRET ORDERS_SECRET_OLD {CRM}".split()
AROUND = Surroundings(dict.fromkeys(NAMES, SECRET), ROOT)


def documented(heading: str) -> list[re.Match[str]]:
    _, found, section = (ROOT / "docs/configure.md").read_text().partition(f"\n## {heading}\n")
    assert found, f"docs/configure.md has no section {heading}"
    return list(ROW.finditer(section.partition("\n## ")[0]))


def toml_value(text: str) -> Any:
    return tomllib.loads(f"value = {text}")["value"]


def default_of(table: type[shape.Table], key: str) -> Any:
    field = table.by_key()[key]
    return "required" if field.is_required() else field.get_default(call_default_factory=True)


def as_default(cell: str, name: str) -> Any:
    """What a cell of the default's column says, in the unit of the field."""
    if cell in ("required", "none"):
        return None if cell == "none" else cell
    value = toml_value(cell.strip("`"))
    if name.endswith("_ms"):
        return values.duration(value)
    return values.disk_size(value) if name.endswith("_bytes") else value


def test_every_table_is_documented() -> None:
    everything = [each for module in (shape, alerts, operators) for each in vars(module).values()]
    tables = {each for each in everything if isinstance(each, type) and issubclass(each, shape.Table)}
    assert set(TABLES.values()) == tables - {shape.Table, shape.Document}


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_documented_with_its_default(heading: str) -> None:
    table = TABLES[heading]
    rows = {row["key"]: row["default"] for row in documented(heading)}
    assert list(rows) == list(table.by_key())
    names = {field.alias or name: name for name, field in table.model_fields.items()}
    for key, cell in rows.items():
        found = as_default(cell, names[key])
        expected = default_of(table, key)
        if isinstance(expected, shape.Table):
            found = type(expected).model_validate(found)
        assert found == expected, f"{heading} {key}: the page says {cell}"


@pytest.mark.parametrize("heading", TABLES)
def test_every_example_is_accepted(heading: str) -> None:
    examples = {row["key"]: toml_value(row["example"]) for row in documented(heading)}
    TABLES[heading].model_validate(examples, context=AROUND)


def test_every_kind_and_scheme_is_named() -> None:
    page = (ROOT / "docs/configure.md").read_text()
    assert [
        name for name in (*shape.SOURCE_KINDS, *get_args(Scheme), *get_args(AuthScheme)) if f"`{name}`" not in page
    ] == []
    assert [kind for kind in shape.SOURCE_KINDS if not (ROOT / f"docs/sources/{kind}.md").exists()] == []


# -- configurations -----------------------------------------------------------------------------


def environ_of(text: str) -> dict[str, str]:
    names = re.findall(r"\$\{([A-Za-z_]\w*)\}", text) + re.findall(r'^env = \["(\w+)"\]', text, re.MULTILINE)
    return dict.fromkeys(names, SECRET)


def whole(text: str) -> str:
    """A fragment with the sources and destinations that it refers to, and a route to those that it describes."""
    document = tomllib.loads(text)
    routes = document.get("routes", [])
    unused = set(document.get("destinations", {})) - {name for route in routes for name in route["to"]}
    if unused:
        text += f'\n[[routes]]\nfrom = "hello"\nto = {sorted(unused)}\n'
    named = [route["from"] for route in routes]
    sources = {"hello", *(name for given in named for name in ([given] if isinstance(given, str) else given))} - set(
        document.get("sources", {})
    )
    destinations = {name for route in routes for name in route["to"]} - set(document.get("destinations", {}))
    made = [
        f'[sources.{name}]\nkind = "generic"\nverify = {{ scheme = "none" }}\nkey = "k"\n' for name in sorted(sources)
    ]
    made += [f'[destinations.{name}]\nurl = "https://{name}.example"\n' for name in sorted(destinations)]
    return "\n".join([text, *made])


@pytest.mark.parametrize("block", blocks("toml", "toml fragment"), ids=str)
def test_every_configuration_is_one(block: Block) -> None:
    text = whole(block.text) if "fragment" in block.info else block.text
    config = parse(text, where=str(block), environ=environ_of(text), base=ROOT)
    assert config.warnings == ()


def test_no_block_of_toml_is_left_out() -> None:
    infos = {block.info for block in BLOCKS if block.info.startswith("toml")}
    assert infos == {"toml", "toml fragment", "toml broken"}


@pytest.mark.parametrize("block", blocks("toml broken"), ids=str)
def test_what_check_says_is_what_it_says(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("longstop.toml").write_text(block.text)
    with pytest.raises(ConfigurationError) as raised:
        load("longstop.toml", environ={})
    (messages,) = [each.text for each in blocks("text messages") if each.page == block.page]
    assert list(raised.value.problems) == messages.splitlines()


def test_the_starter_is_shown_as_it_is() -> None:
    (shown,) = [tomllib.loads(block.text) for block in blocks("toml") if block.page == "docs/start.md"]
    assert shown == tomllib.loads(STARTER)


# -- commands -----------------------------------------------------------------------------------


def command_lines() -> list[tuple[Block, str]]:
    lines = [(block, line[2:]) for block in blocks("console") for line in block.text.splitlines() if line[:2] == "$ "]
    return [(block, line) for block, line in lines if line.startswith("longstop ")]


@pytest.mark.parametrize(("block", "line"), command_lines(), ids=str)
def test_every_command_line_is_understood(block: Block, line: str) -> None:
    words = shlex.split(line)[1:]
    ends = [place for place, word in enumerate(words) if word in (">", "|", "&")]
    words = words[: min(ends, default=len(words))]
    try:
        app.build().parse_args(words, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        pytest.fail(f"{block}: {line}: {error}")
    if words[0] == "send" and "." not in words[2]:
        assert words[2] in payloads.names()


def test_every_command_is_shown_somewhere() -> None:
    shown = [line for _, line in command_lines()]
    missing = [
        each.name for each in app.COMMANDS if not any(line.startswith(f"longstop {each.name}") for line in shown)
    ]
    assert [name for name in missing if name not in ("init", "check")] == []


@pytest.mark.parametrize(
    "target", sorted({line[7:] for b in blocks("console") for line in b.text.splitlines() if line[:7] == "$ make "})
)
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


# -- Python -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.info.startswith("python")], ids=str)
def test_python_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [each for each in blocks("python") if "FastAPI" not in each.text], ids=str)
def test_python_runs(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "page"})


@pytest.mark.parametrize("block", [each for each in blocks("python") if "FastAPI" in each.text], ids=str)
def test_the_application_of_a_page_is_one(block: Block) -> None:
    pytest.importorskip("fastapi")
    made: dict[str, Any] = {"__name__": "page", "Event": Event}
    exec(compile(block.text, str(block), "exec"), made)
    assert [route.path for route in made["app"].routes][-1] == "/webhooks"


def test_the_worked_example_of_a_source_works(monkeypatch: pytest.MonkeyPatch) -> None:
    (source,), (test,) = blocks("python source"), blocks("python source-test")
    module = types.ModuleType("longstop.sources.cxone_dfo")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source.text, str(source), "exec"), vars(module))
    made: dict[str, Any] = {"__name__": "page"}
    exec(compile(test.text, str(test), "exec"), made)
    checks = [name for name in made if name.startswith("test_")]
    for name in checks:
        made[name]()
    assert len(checks) == 2


# -- the log, the diagram, links ----------------------------------------------------------------

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "src/longstop").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=str(event))]
                ) if level in LEVELS:
                    yield event, level.replace("exception", "error")


def test_every_log_event_is_explained() -> None:
    _, _, section = (ROOT / "docs/operate.md").read_text().partition("\n## The log\n")
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", section, re.MULTILINE)
    assert set(rows) == set(logged())


def test_the_diagram_is_the_table() -> None:
    spec = importlib.util.spec_from_file_location("make_state_diagram", ROOT / "docs/make_state_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs/architecture.md").read_text()
    assert page == module.drawn(page), "run python docs/make_state_diagram.py"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(there), f"{page}: {target}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        linked = (
            (page.parent / target.partition("#")[0]).resolve()
            for target in re.findall(r"\]\(([^)\s:]+)\)", page.read_text())
        )
        waiting += [each for each in linked if each.suffix == ".md" and each.exists() and each not in seen]
    assert set(PAGES) - seen - FRAGMENTS - {ROOT / "CHANGELOG.md"} == set()


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if "://" not in target and not target.startswith("#")
    }
    assert [str(page) for page in sorted((ROOT / "docs").rglob("*.md")) if page.resolve() not in linked] == []
    readme = (ROOT / "README.md").read_text()
    pages = sorted((ROOT / "docs/sources").glob("*.md"))
    assert [page.name for page in pages if f"docs/sources/{page.name}" not in readme] == []


def test_the_glossary_is_in_order_and_knows_every_word_of_the_states() -> None:
    page = (ROOT / "docs/glossary.md").read_text()
    terms = re.findall(r"^\*\*(.+?)\.\*\* ", page, re.MULTILINE)
    assert terms == sorted(set(terms), key=str.lower)
    words = [each.value for kind in (State, DeadReason, OutcomeKind) for each in kind]
    assert [word for word in words if f"`{word}`" not in page] == []


def classes() -> dict[str, set[str]]:
    """The names of each class's methods and fields, by the class's name."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src/longstop").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names = found.setdefault(node.name, set())
                names |= {each.name for each in ast.walk(node) if isinstance(each, ast.FunctionDef)}
                names |= {each.name for each in ast.walk(node) if isinstance(each, ast.AsyncFunctionDef)}
    return found


def test_every_method_that_is_named_exists() -> None:
    known = classes()
    pages = [(ROOT / name).read_text() for name in ("docs/architecture.md", "docs/guarantees.md", "CONTRIBUTING.md")]
    named = [pair for page in pages for pair in re.findall(r"`([A-Z]\w+)\.(\w+)`", page)]
    assert [pair for pair in named if pair[1] not in known.get(pair[0], ())] == []


def test_the_table_of_ports_has_every_method() -> None:
    _, _, section = (ROOT / "docs/architecture.md").read_text().partition("\n## The ports")
    rows = re.findall(r"^\| (?:`(\w+)`)? ?\| [^|]+ \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    told: dict[str, set[str]] = {}
    port = ""
    for name, methods in rows:
        port = name or port
        told.setdefault(port, set()).update(re.findall(r"`(\w+)`", methods))
    parts = [Inbox, *(part for part in Ledger.__bases__ if part is not Protocol)]
    assert told == {part.__name__: {name for name in vars(part) if not name.startswith("_")} for part in parts}


def test_the_picture_of_the_rooms_has_every_room() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    picture = page.partition("<!-- rooms: begin -->")[2].partition("<!-- rooms: end -->")[0]
    top = [
        path for path in (ROOT / "src/longstop").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    inner = [path for path in (ROOT / "src/longstop/edges").iterdir() if (path / "__init__.py").exists()]
    names = {path.name + ("/" if path.is_dir() else "") for path in top} - {"__init__.py", "edges/"}
    names |= {f"edges/{path.name}/" for path in inner}
    assert set(re.findall(r"(?:edges/)?\b\w+(?:/|\.py)|__main__\.py", picture)) - {"br/"} == names


def test_every_file_that_is_named_exists() -> None:
    named = {
        (page, name)
        for page in (ROOT / "docs/architecture.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/guarantees.md")
        for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", page.read_text())
    }
    roots = (ROOT, ROOT / "src/longstop", ROOT / "src/longstop/sources")
    missing = [name for _, name in named if not any((root / name).exists() for root in roots) and "cxone" not in name]
    assert missing == []

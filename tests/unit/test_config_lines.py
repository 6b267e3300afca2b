"""The line that a key stands on: for every way that TOML has to write it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.config import load
from longstop.config.errors import dotted
from longstop.config.lines import lines_of, placed
from longstop.edges.cli.starter import STARTER
from longstop.model.errors import ConfigurationError

TEXT = '''\
# [not.a.table]
top = "a # no comment"

[server]
port = 1 # [neither]
[sources."a.b"]
secrets = [
  "[x]",  # ]
  "y = 1",
  ["nested"],
]
verify = { scheme = "none" }
text = """
[inside]
key = 1
"""
other = 'it''s'
[ destinations . crm ]
retry.cap = "1s"
[[routes]]
from = "a"
[[routes]]
from = "b"
[routes.deeper]
x = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("top", 2),
        ("server", 4),
        ("server.port", 5),
        ('sources."a.b"', 6),
        ('sources."a.b".secrets', 7),
        ('sources."a.b".verify', 12),
        ('sources."a.b".text', 13),
        ('sources."a.b".other', 17),
        ("destinations.crm", 18),
        ("destinations.crm.retry.cap", 19),
        ("routes[0]", 20),
        ("routes[0].from", 21),
        ("routes[1].from", 23),
        ("routes[1].deeper.x", 25),
    ],
)
def test_every_key_has_its_line(path: str, line: int) -> None:
    assert lines_of(TEXT)[path] == line


def test_nothing_else_has_one() -> None:
    assert not {"not", "not.a", "inside", "key", "y", "neither", "nested"} & set(lines_of(TEXT))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ('sources."a.b".secrets[1]', 7),
        ('sources."a.b".verify.scheme', 12),
        ('sources."a.b".key', 6),
        ("routes[1].to[0]", 22),
        ("destinations.crm.retry.first", 19),
    ],
)
def test_what_has_none_has_the_nearest_around_it(path: str, line: int) -> None:
    assert placed(f"{path}: found x", "f.toml", lines_of(TEXT)) == f"f.toml:{line}: {path}: found x"


@pytest.mark.parametrize("problem", ["alerts.url: found x", "f.toml:3:1: found y", "handler 'a:b': is not there", ""])
def test_what_stands_nowhere_is_told_as_it_is(problem: str) -> None:
    assert placed(problem, "f.toml", lines_of(TEXT)) == problem


def keys_of(node: Any, way: tuple[str | int, ...] = ()) -> list[str]:
    """The tables and keys of a document that begin a statement when written plainly."""
    if isinstance(node, dict):
        return [each for key, value in node.items() for each in (dotted((*way, key)), *keys_of(value, (*way, key)))]
    if isinstance(node, list) and node and isinstance(node[0], dict):
        return [each for place, value in enumerate(node) for each in keys_of(value, (*way, place))]
    return []


def test_the_starters_keys_stand_where_it_says() -> None:
    found = lines_of(STARTER)
    written = STARTER.split("\n")
    for path in keys_of(tomllib.loads(STARTER)):
        name = path.split(".")[-1].split("[")[0]
        assert path in found or path.startswith("sources.hello.verify."), path
        assert name in written[found.get(path, found["sources.hello.verify"]) - 1], path


@given(st.text(alphabet="[]{}\"'=#.\\ \n\tab1", max_size=60))
def test_no_text_is_too_broken_to_look_at(text: str) -> None:
    count = text.count("\n") + 1
    assert all(1 <= line <= count for line in lines_of(text).values())


def test_a_file_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "longstop.toml"
    path.write_text('[sources.a]\nkind = "generic"\nverify = { scheme = "none" }\n\nbad = 1\n')
    with pytest.raises(ConfigurationError) as raised:
        load(path, environ={})
    assert raised.value.problems[0].startswith(f"{path}:5: sources.a.bad: found an unknown key")
    path.write_text(
        '[sources.a]\nkind = "generic"\nverify = { scheme = "none" }\n[destinations.d]\nurl = "https://d.example"\n'
    )
    assert load(path, environ={}).warnings[0].startswith(f"{path}:4: destinations.d: found no route")

"""`[console]`: what says which Longstop this is."""

from pathlib import Path

import pytest

from longstop import config
from longstop.model.errors import ConfigurationError
from longstop.model.settings import ConsoleSettings

REST = '[sources.any]\nkind = "generic"\nverify = { scheme = "none" }\n'


def read(text: str) -> ConsoleSettings:
    return config.parse(text + REST, where="longstop.toml", environ={}, base=Path("/nowhere")).console


def test_without_the_table_it_has_no_name() -> None:
    assert read("") == ConsoleSettings(None, "grey")


def test_a_name_and_a_colour() -> None:
    assert read('[console]\nname = " production "\ncolour = "red"\n') == ConsoleSettings("production", "red")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('colour = "pink"', 'console.colour: found "pink"'),
        ('color = "red"', "console.color"),
        ('name = ""', 'console.name: found ""'),
        (f'name = "{"x" * 41}"', "at most 40 characters"),
        ('name = "a\\u0000b"', "console.name"),
        ("name = 1", "console.name: found 1"),
    ],
)
def test_what_is_no_name_or_colour_is_said(line: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(f"[console]\n{line}\n")
    assert said in str(caught.value)

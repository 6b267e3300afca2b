"""`[console]`: what says, on every page of the console, where this Longstop runs."""

from typing import Annotated

from pydantic import AfterValidator, Field

from longstop.config.errors import Fault, quoted
from longstop.config.fields import Table
from longstop.model.settings import ConsoleColour, ConsoleSettings

NAME_CHARS_MAX = 40
_NAME = f'a word or a few, at most {NAME_CHARS_MAX} characters, such as "production"'


def _name(text: str) -> str:
    if not text.strip() or len(text) > NAME_CHARS_MAX or not text.isprintable():
        raise Fault(f"found {quoted(text)}", _NAME)
    return text.strip()


class ConsoleTable(Table):
    """`[console]`"""

    name: Annotated[str, AfterValidator(_name)] | None = Field(default=None, description=_NAME)
    colour: ConsoleColour = Field(
        default="grey", description='"red", "orange", "yellow", "green", "blue", "violet" or "grey"'
    )


def settings(table: ConsoleTable) -> ConsoleSettings:
    """What the table says."""
    return ConsoleSettings(table.name, table.colour)

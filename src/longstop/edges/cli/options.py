"""The options that many commands share, and how they are explained."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.program import Program

DEFAULT_CONFIG = Path("longstop.toml")

ConfigPath = Annotated[
    Path, Parameter(name="--config", env_var="LONGSTOP_CONFIG", help="The configuration file.", show_default=True)
]
AppPath = Annotated[
    str | None,
    Parameter(
        name="--app",
        env_var="LONGSTOP_APP",
        help='An application\'s gateway, as "myapp.main:gateway": its module is imported for the handlers in it.',
    ),
]
AsJson = Annotated[bool, Parameter(name="--json", help="For programs: one JSON object a line.", show_default=False)]
Limit = Annotated[int, Parameter(name="--limit", help="At most so many rows.", show_default=True)]
Injected = Annotated[Program, Parameter(parse=False)]
"""The program, which `app.run` hands in."""

_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(?:/(s|m|h))?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}


def checked_limit(limit: int) -> int:
    """The limit, if it is one. Raises UsageError."""
    if limit < 1:
        raise UsageError(f"--limit: found {limit}; expected 1 or more")
    return limit


def parse_rate(text: str | None) -> float | None:
    """How many a second `5`, `5/s`, `300/m` or `1000/h` is; None for None. Raises UsageError."""
    if text is None:
        return None
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if rate <= 0:
        raise UsageError(f'--rate: found "{text}"; expected a number above 0, as in 5, 5/s, 300/m or 1000/h')
    return rate

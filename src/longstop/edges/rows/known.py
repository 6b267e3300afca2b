"""Names that a person gives: one that nobody knows is a slip of the finger, and not an empty listing."""

import difflib
from collections.abc import Collection

from longstop.edges.rows.looking import Looking
from longstop.model.alert import LONGSTOP
from longstop.model.errors import LongstopError

QUARANTINE = "quarantine"
"""How the place of requests that could not be read is called, which are for no destination yet."""


class UnknownNameError(LongstopError):
    """A source or a destination that neither the configuration nor the store has."""


async def expect_known(parts: Looking, source: str | None, destination: str | None) -> None:
    """Raise UnknownNameError for a source or destination that neither the configuration nor the store has.

    Alerts have a source that every store knows, also before the first of them.
    """
    counts = await parts.store.counts()
    if source not in (None, LONGSTOP):
        expect_one_of("source", source, {*(each.name for each in parts.config.sources), *counts.sources})
    if destination:
        in_store = set(counts.deliveries) - {""}
        expect_one_of("destination", destination, {*(each.name for each in parts.config.destinations), *in_store})


def expect_one_of(what: str, name: str, known: Collection[str]) -> None:
    """Raise UnknownNameError for a name that is none of these."""
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    listed = ", ".join(sorted(known)) or "(there is none)"
    raise UnknownNameError(f'found no {what} "{name}"; expected one of: {listed}{hint}')


def as_stored(destination: str | None) -> str | None:
    """The name as the store has it: requests that could not be read are kept for none."""
    return "" if destination == QUARANTINE else destination

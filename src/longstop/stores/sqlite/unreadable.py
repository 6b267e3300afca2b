"""Rows that cannot be read: by a fault of the disk, or because another program wrote them.

The columns' types are looked at before anything is made of a row, because SQLite keeps what it is given. Who asks for
one such row gets an error that names it; from a list it is left out, and told once. A delivery that was to be leased,
or that a person decides about, is made readable (`readable`) and parked: see `parking`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, TypeVar

import apsw
import structlog

from longstop.model.errors import UnreadableRowError

T = TypeVar("T")
Row = tuple[Any, ...]

log = structlog.get_logger("longstop.store")

_NUMBERS = frozenset(
    "received_at_ms occurred_at_ms due_at_ms round round_at_ms attempts tries lost token leased_at_ms lease_until_ms "
    "last_status ended_at_ms expires_at_ms skipped number started_at_ms duration_ms status at_ms opened_at_ms "
    "probe_at_ms answer_ms version failed passed seen_at_ms n keys count first_at_ms last_at_ms body_bytes body_kept "
    "size began_at_ms created_at_ms changed_at_ms disabled until_ms cpu_percent".split()
)
_BYTES = frozenset("dedup headers body answer problems fingerprint answered digest details".split())
_MAY_BE_NULL = frozenset(
    "type key lane dedup parent occurred_at_ms leased_at_ms lease_until_ms worker reason last_status last_error "
    "ended_at_ms expires_at_ms wait replaced_by status error frames why probe_key asked nearest client answered "
    "address password subject cpu_percent".split()
)


def reader(what: str, names: Sequence[str], make: Callable[[Row], T], known_by: int = 0) -> Callable[[Row], T]:
    """`make` for rows with these columns; raises UnreadableRowError where a value is not what its column holds.

    what: what a row is, for people. known_by: the place of the column that says which.
    """

    @lru_cache(maxsize=1_000)
    def trouble(types: tuple[type, ...]) -> str | None:
        return next(filter(None, map(_trouble, names, types)), None)

    def read(row: Row) -> T:
        wrong = trouble(tuple(map(type, row)))
        if wrong is not None:
            raise UnreadableRowError(f"{what} {row[known_by]}", wrong)
        try:
            return make(row)
        except ValueError as error:
            raise UnreadableRowError(f"{what} {row[known_by]}", str(error)) from None

    return read


def _kind(name: str) -> type:
    return int if name in _NUMBERS else bytes if name in _BYTES else str


def _trouble(name: str, found: type) -> str | None:
    if found is _kind(name) or (found is NoneType and name in _MAY_BE_NULL):
        return None
    return f"{name} is {_NAMES.get(found, found.__name__)}, not {_NAMES[_kind(name)]}"


_NAMES = {int: "a whole number", float: "a fraction", str: "text", bytes: "bytes", NoneType: "null"}


def each(rows: Iterable[Row], read: Callable[[Row], T], of: str = "") -> Iterator[T]:
    """What can be read of these rows; what cannot is told and left out. of: what they belong to, for people."""
    for row in fetched(rows, of):
        try:
            made = read(row)
        except UnreadableRowError as error:
            _tell(_place(error.row, of), error.trouble)
            continue
        yield made


def each_of(ids: Iterable[str], find: Callable[[str], T | None], what: str) -> list[T]:
    """What is found by these ids and can be read; what cannot is told and left out."""
    made = []
    for id_ in ids:
        try:
            found = find(id_)
        except UnreadableRowError as error:
            _tell(error.row, error.trouble)
        except UnicodeDecodeError as error:
            _tell(f"{what} {id_}", str(error))
        else:
            made += [] if found is None else [found]
    return made


def fetched(rows: Iterable[Row], of: str = "") -> Iterator[Row]:
    """The rows of a cursor; one with text that is none is told and passed over, and the next comes."""
    rows = iter(rows)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            _tell(_place("a row", of), str(error))
            continue
        yield row


def _place(row: str, of: str) -> str:
    return f"{row} of {of}" if of else row


@lru_cache(maxsize=1_000)
def _tell(row: str, trouble: str) -> None:
    """Once: most of what reads it does so again and again."""
    log.error("row_unreadable", row=row, error=trouble)


def readable(connection: apsw.Connection, table: str, names: Sequence[str], rowid: int) -> dict[str, Any]:
    """The columns of a row with the right type each: what has another becomes what is most like it, or nothing."""
    asked = ", ".join(f"typeof({name}), CAST({name} AS BLOB)" for name in names)
    found = next(connection.execute(f"SELECT {asked} FROM {table} WHERE rowid = ?", (rowid,)))
    return {name: _readable(name, type_, raw) for name, type_, raw in zip(names, found[::2], found[1::2], strict=True)}


def _readable(name: str, type_: str, raw: bytes | None) -> Any:
    kind = _kind(name)
    if kind is str and raw is not None:
        return raw.decode(errors="replace")
    if kind is int and type_ == "integer" and raw is not None:
        return int(raw)
    return None if name in _MAY_BE_NULL else kind()

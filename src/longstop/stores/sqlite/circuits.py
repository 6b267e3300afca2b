"""The open circuits. Each function is inside one transaction."""

import apsw

from longstop.model.breaker import Circuit
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.rows import columns

_COLUMNS = "destination opened_at_ms probe_at_ms answer_ms why version failed passed probe_key".split()
_ALL = f"SELECT {columns(_COLUMNS)} FROM circuits ORDER BY destination"
_ONE = f"SELECT {columns(_COLUMNS)} FROM circuits WHERE destination = ?"
_CLOSE = "DELETE FROM circuits WHERE destination = ?"
_PUT = f"INSERT OR REPLACE INTO circuits ({columns(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"

_to_circuit = unreadable.reader("circuit", _COLUMNS, lambda row: Circuit(*row))


def circuits(connection: apsw.Connection) -> list[Circuit]:
    """All that are open, by destination."""
    return list(unreadable.each(connection.execute(_ALL), _to_circuit))


def change(connection: apsw.Connection, destination: str, version: int, circuit: Circuit | None) -> bool:
    """Put `circuit` in place of the one of this version, 0 being the closed one; None closes it."""
    kept = next(unreadable.each(connection.execute(_ONE, (destination,)), _to_circuit), None)
    # One that cannot be read is as good as closed, which is what those who look at it see.
    if (kept.version if kept else 0) != version:
        return False
    if circuit is None:
        connection.execute(_CLOSE, (destination,))
    else:
        put(connection, circuit)
    return True


def put(connection: apsw.Connection, circuit: Circuit) -> None:
    """Keep it as it is now."""
    connection.execute(_PUT, tuple(getattr(circuit, name) for name in _COLUMNS))

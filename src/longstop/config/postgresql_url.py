"""`postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=…`: what of it is the driver's, and what is ours."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote

from longstop.config.errors import Fault, listed, nearest, quoted
from longstop.config.values import Surroundings, expand, url_of_hosts

SCHEMES = ("postgresql", "postgres")
EXPECTED = "postgresql://USER:${PASSWORD}@HOST:5432/DATABASE"
DRIVERS = ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "passfile")
"""What PostgreSQL's own programs take in a URL, and asyncpg too."""
_FILES = ("sslrootcert", "sslcert", "sslkey", "passfile")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]*)(:[0-9]{1,5})?")
"""One of the hosts, of which there may be several with commas between."""
_OURS = {
    "durability": (r"relaxed|strict", "relaxed or strict"),
    "pgbouncer": (r"transaction", "transaction"),
    "schema": (r"[a-z_][a-z0-9_]{0,62}", "a-z, 0-9 and _, at most 63, the first no digit"),
    "connections": (r"[2-9]|[1-9][0-9]|100", "2 to 100"),
}
"""And what each may be, as an expression and for people."""


@dataclass(frozen=True, slots=True)
class PostgresqlSettings:
    """A server, and what is asked of it."""

    address: str = field(repr=False)
    """What the driver is given: the URL with what it refers to, without what is ours."""
    place: str
    """For people."""
    schema: str = "longstop"
    relaxed: bool = False
    """A server may be used that can lose what it has acknowledged."""
    pooled: bool = False
    """A PgBouncer in transaction mode stands between."""
    connections: int = 8


def postgresql(text: str, around: Surroundings) -> PostgresqlSettings:
    """What a URL asks for. What is read from a variable may hold any character. Raises Fault."""
    parts = _split(text)
    if not text.partition(":")[2].startswith("//") or parts.fragment or not parts.path.strip("/"):
        raise Fault("found a URL without a database, or with #", EXPECTED)
    login, _, host = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    database = _value(parts.path.removeprefix("/"), around)
    login = _quoted(user, around) + (f":{_quoted(password, around)}" if colon else "")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    ours = {name: _ours(name, value, around) for name, value in options.items() if name in _OURS}
    theirs = {name: _theirs(name, value, around) for name, value in options.items() if name not in _OURS}
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in theirs.items())
    host = expand(host, around.environ, "it to hold the server's name")
    address = (
        f"postgresql://{login}{'@' if login else ''}{host}/{quote(database, safe='')}{'?' if query else ''}{query}"
    )
    where = host or theirs.get("host") or "localhost"
    schema = ours.get("schema", "longstop")
    return PostgresqlSettings(
        address,
        place=f"{database} on {where}, schema {schema}",
        schema=schema,
        relaxed=ours.get("durability") == "relaxed",
        pooled="pgbouncer" in ours,
        connections=int(ours.get("connections", "8")),
    )


def _split(text: str) -> SplitResult:
    parts = url_of_hosts(text)
    if any(_HOST.fullmatch(each) is None for each in parts.netloc.rpartition("@")[2].split(",")):
        raise _unreadable()
    return parts


def _unreadable() -> Fault:
    return Fault("found a URL that cannot be read", EXPECTED, "a password of another kind goes into ${NAME}")


def _value(text: str, around: Surroundings) -> str:
    return expand(text, around.environ, "it to hold a part of the URL") if "${" in text else unquote(text)


def _quoted(text: str, around: Surroundings) -> str:
    return quote(_value(text, around), safe="")


def _ours(name: str, value: str, around: Surroundings) -> str:
    value = expand(value, around.environ, f"it to hold {name}")
    expression, said = _OURS[name]
    if re.fullmatch(expression, value) is None:
        raise Fault(f"found {name}={quoted(value)}", f"{name}={said}")
    return value


def _theirs(name: str, value: str, around: Surroundings) -> str:
    if name not in DRIVERS:
        known = (*DRIVERS, *_OURS)
        raise Fault(f"found the option {quoted(name)}", listed(known), nearest(name, known))
    expanded = expand(value, around.environ, f"it to hold {name}")
    return _file(name, value, around.base / expanded) if name in _FILES else expanded


def _file(name: str, written: str, path: Path) -> str:
    """The driver would say of one that is not there only that it is not, or would pass it over."""
    if not path.is_file():
        hint = "a relative path starts at the configuration's folder"
        raise Fault(f"found {name}={quoted(written)}, and no such file", "a file that can be read", hint)
    return str(path)

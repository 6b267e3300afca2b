"""Which of the hosts in a URL is connected to: the one that takes writes, and the last that did before all others.

The driver would go through them as well, with one limit of time for all: a host that answers nothing at all (its
machine is off) would take up the whole of it each time, and nobody would get to the next.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import asyncpg

from longstop.stores.postgres.failures import BROKEN, said


class Hosts:
    """The hosts of one URL."""

    def __init__(self, url: str) -> None:
        self._urls = one_by_one(url)
        self._last = 0

    async def connect(
        self, connect: Callable[[str, float], Awaitable[asyncpg.Connection]], within_s: float
    ) -> asyncpg.Connection:
        """A connection to the first that takes it. Raises ConnectionError: what each of them said."""
        errors: list[str] = []
        why: Exception | None = None
        for number in sorted(range(len(self._urls)), key=lambda number: number != self._last):
            try:
                connection = await connect(self._urls[number], within_s / len(self._urls))
            except (*BROKEN, asyncpg.PostgresError) as error:
                why = error
                errors.append(f"{called(self._urls[number])}: {said(error).removeprefix('PostgreSQL: ')}")
            else:
                self._last = number
                return connection
        raise ConnectionError("; ".join(errors)) from why


def one_by_one(url: str) -> tuple[str, ...]:
    """The same URL for each of its hosts alone."""
    # Not by urlsplit, which takes one host, and in newer versions refuses an IPv6 address among several.
    scheme, slashes, rest = url.partition("//")
    place, mark, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    netloc, slash, path = place.partition("/")
    login, at, hosts = netloc.rpartition("@")
    if hosts:
        behind = f"{slash}{path}{mark}{query}"
        return tuple(f"{scheme}{slashes}{login}{at}{host}{behind}" for host in hosts.split(","))
    folders = options.get("host", "").split(",")
    ports = options.get("port", "").split(",")
    ports = ports if len(ports) == len(folders) else ports * len(folders)
    return tuple(
        _with(url, options | {name: value for name, value in (("host", host), ("port", port)) if value})
        for host, port in zip(folders, ports, strict=True)
    )


def called(url: str) -> str:
    """The host of a URL of one host, for people: without user and password."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    host = parts.netloc.rpartition("@")[2] or ":".join(filter(None, (options.get("host"), options.get("port"))))
    return host or "this machine"


def _with(url: str, options: dict[str, str]) -> str:
    query = urlencode(options, quote_via=quote, safe="/")
    return url.partition("?")[0] + (f"?{query}" if query else "")

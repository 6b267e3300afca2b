"""`store.url = "redis://…"`: where the server is, and what is asked of it."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from longstop.config import s3_url
from longstop.config.errors import Fault, quoted
from longstop.config.url_options import options_of
from longstop.config.values import NAME, Surroundings, expand, size, url_of_hosts
from longstop.model.s3_place import S3Place

SCHEMES = ("redis", "rediss", "valkey", "valkeys")
"""With an s at the end: over TLS."""
EXPECTED = "redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/DATABASE], with options behind a ?"
BODY_BYTES_MAX = 2**20
"""A body's size where `body_max` does not say otherwise: all of them are in the server's memory."""
BODY_BYTES_MOST = 16 * 2**20
REPLICAS_MOST = 16
BODIES_OVER = 64 * 2**10
"""Where bodies may lie elsewhere, larger ones than this do."""
_OPTIONS = ("bodies", "bodies_over", "body_max", "durability", "prefix", "replicas")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """A server, and what is asked of it."""

    url: str = field(repr=False)
    """redis:// or rediss://, with the password."""
    place: str
    """For people."""
    others: tuple[str, ...] = field(default=(), repr=False)
    """Of servers that may have taken its place, likewise."""
    prefix: str = "longstop"
    """What all keys begin with, so that several gateways may share a server."""
    relaxed: bool = False
    """A server may be used that can lose what it has acknowledged."""
    replicas: int = 0
    """So many have a write before it is acknowledged."""
    body_bytes_max: int | None = BODY_BYTES_MAX
    """None: as each source says."""
    bodies: str | S3Place | None = None
    """Where those are that are larger than `bodies_over` bytes: a folder's absolute path, or a place in S3; None: all
    are in memory."""
    bodies_over: int = BODIES_OVER


def redis(text: str, around: Surroundings) -> RedisSettings:
    """What a URL asks for. Raises Fault, which shows no password."""
    try:
        parts = url_of_hosts(text)
        user, at, hosts = parts.netloc.rpartition("@")
        servers = [urlsplit(f"//{user}{at}{each}") for each in hosts.split(",")]
        addresses = [(each.hostname, each.port or 6379) for each in servers]
    except ValueError:
        raise Fault("found a URL of Redis that cannot be read", EXPECTED) from None
    if not all(host for host, _ in addresses) or parts.fragment or not re.fullmatch(r"/?|/[0-9]{1,5}", parts.path):
        raise Fault("found a URL of Redis without a host, or with more than a number behind it", EXPECTED)
    scheme = "rediss" if parts.scheme.lower() in ("rediss", "valkeys") else "redis"
    places = [f"{f'[{host}]' if host and ':' in host else host}:{port}" for host, port in addresses]
    database = parts.path.rstrip("/")
    begin = f"{scheme}://{_credentials(servers[0].username, servers[0].password, around)}"
    options = options_of(parts.query, _OPTIONS)
    prefix = options.get("prefix", "longstop")
    if not _NAME.fullmatch(prefix):
        raise Fault(f"found {quoted(prefix)} as the prefix", NAME)
    return RedisSettings(
        url=f"{begin}{places[0]}{database}",
        others=tuple(f"{begin}{each}{database}" for each in places[1:]),
        place=f"{scheme}://{','.join(places)}{database}, keys {{{prefix}}}:…",
        prefix=prefix,
        relaxed=_relaxed(options.get("durability", "strict")),
        replicas=_replicas(options.get("replicas", "0")),
        body_bytes_max=_body_max(options),
        bodies=_bodies(options["bodies"], around) if "bodies" in options else None,
        bodies_over=_bodies_over(options),
    )


def _body_max(options: dict[str, str]) -> int | None:
    if "bodies" in options:
        return size(options["body_max"]) if "body_max" in options else None
    return size(options["body_max"], BODY_BYTES_MOST, "16MiB") if "body_max" in options else BODY_BYTES_MAX


def _bodies(text: str, around: Surroundings) -> str | S3Place:
    if text.startswith("s3:"):
        return s3_url.s3(text, around)
    path = text.removeprefix("file://")
    if path == text or not path.startswith("/") or "\0" in path or os.path.normpath(path) in ("/", "//"):
        expected = "file:///ABSOLUTE/FOLDER, which every machine of this store sees, or s3://BUCKET/PREFIX"
        raise Fault(f"found bodies={quoted(text)}", expected)
    return os.path.normpath(path)


def _bodies_over(options: dict[str, str]) -> int:
    if "bodies_over" not in options:
        return BODIES_OVER
    if "bodies" not in options:
        raise Fault(
            "found bodies_over without bodies", "bodies=file:///FOLDER or s3://BUCKET/PREFIX, where the larger ones go"
        )
    return size(options["bodies_over"], BODY_BYTES_MOST, "16MiB")


def _credentials(user: str | None, password: str | None, around: Surroundings) -> str:
    if user is None and password is None:
        return ""
    expected = "it to hold a part of store.url"
    read = [quote(expand(unquote(each or ""), around.environ, expected), safe="") for each in (user, password)]
    return f"{read[0]}:{read[1]}@"


def _relaxed(text: str) -> bool:
    if text not in ("strict", "relaxed"):
        raise Fault(f"found durability={quoted(text)}", "strict or relaxed")
    return text == "relaxed"


def _replicas(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > REPLICAS_MOST:
        raise Fault(f"found replicas={quoted(text)}", f"a whole number from 0 to {REPLICAS_MOST}")
    return int(text)

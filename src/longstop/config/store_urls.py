"""`store.url`: which store, and where. A function a scheme; what reads one knows nothing of the others."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from longstop.config import aws_url, postgresql_url, redis_url
from longstop.config.aws_url import AwsSettings
from longstop.config.errors import Fault, nearest, quoted
from longstop.config.postgresql_url import PostgresqlSettings
from longstop.config.redis_url import RedisSettings
from longstop.config.values import Surroundings, expand

_EXPECTED = (
    "sqlite:///FILE (beside the configuration), sqlite:////ABSOLUTE/FILE, postgresql://USER@HOST/DATABASE, "
    "redis://HOST, aws://REGION?table=NAME or memory://"
)
SPOOL_EXPECTED = "sqlite:///FILE or sqlite:////ABSOLUTE/FILE"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where events are kept."""

    url: str = field(repr=False)
    """As written."""
    kind: Literal["sqlite", "memory", "postgresql", "redis", "aws"]
    path: str | None = None
    """sqlite: the absolute path of the database file."""
    postgresql: PostgresqlSettings | None = None
    redis: RedisSettings | None = None
    aws: AwsSettings | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other processes can see it."""
        return self.kind != "memory"

    @property
    def has_transactions(self) -> bool:
        """Whether a handler's writes can be in the transaction that settles its delivery."""
        return self.kind in ("sqlite", "postgresql")

    @property
    def place(self) -> str:
        """Where it is, for people. It shows no secret."""
        server = self.postgresql or self.redis or self.aws
        return server.place if server else self.path or "in memory: gone when the program ends"

    @property
    def disk(self) -> str | None:
        """The folder on whose disk there has to be room; None: what it keeps is on none of this machine's."""
        return os.path.dirname(self.path) if self.path is not None else self.bodies_folder

    @property
    def bodies_folder(self) -> str | None:
        """The folder of the large bodies, where they are apart, and in one."""
        bodies = self.redis.bodies if self.redis else None
        return bodies if isinstance(bodies, str) else None

    @property
    def body_bytes_max(self) -> int | None:
        """How large a body may be; None: as its source says."""
        server = self.redis or self.aws
        return server.body_bytes_max if server else None


def store(text: str, around: Surroundings) -> StoreSettings:
    """The store that a URL names."""
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    if scheme not in _READ:
        raise _not_a_store(scheme)
    return _READ[scheme](text, around)


def _memory(text: str, _: Surroundings) -> StoreSettings:
    if text != "memory://":
        raise Fault("found more than memory://", _EXPECTED)
    return StoreSettings(text, "memory")


def _sqlite(text: str, around: Surroundings) -> StoreSettings:
    if not text.startswith("sqlite:///"):
        raise Fault("found sqlite: without three slashes", _EXPECTED)
    path = expand(text.removeprefix("sqlite:///"), around.environ, "it to hold a part of the path")
    if path == ":memory:":
        raise Fault('found "sqlite:///:memory:"', "memory:// for a store that is gone when the program ends")
    if not path or path.endswith("/") or re.search(r"[?#\x00]", path):
        raise Fault("found no file's path after sqlite:///", _EXPECTED, "without ? or #")
    return StoreSettings(text, "sqlite", os.path.abspath(around.base / path))


def spool(text: str, around: Surroundings) -> str:
    """The absolute path of the spool that a URL names: a file, whatever the store is."""
    match = _SCHEME.match(text)
    if match is None or match[1].lower() != "sqlite":
        found = f"a URL that begins with {quoted(match[0])}" if match else "text that is not a URL"
        raise Fault(f"found {found}", SPOOL_EXPECTED, "a spool is on this machine's own disk")
    path = _sqlite(text, around).path
    assert path is not None
    return path


def _postgresql(text: str, around: Surroundings) -> StoreSettings:
    return StoreSettings(text, "postgresql", postgresql=postgresql_url.postgresql(text, around))


def _redis(text: str, around: Surroundings) -> StoreSettings:
    return StoreSettings(text, "redis", redis=redis_url.redis(text, around))


def _aws(text: str, around: Surroundings) -> StoreSettings:
    return StoreSettings(text, "aws", aws=aws_url.aws(text, around))


_READ: dict[str, Callable[[str, Surroundings], StoreSettings]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    **dict.fromkeys(postgresql_url.SCHEMES, _postgresql),
    **dict.fromkeys(redis_url.SCHEMES, _redis),
    **dict.fromkeys(aws_url.SCHEMES, _aws),
}


def _not_a_store(scheme: str) -> Fault:
    begins = f"found a URL that begins with {quoted(scheme + ':')}" if scheme else "found text that is not a URL"
    return Fault(begins, _EXPECTED, nearest(scheme, _READ))

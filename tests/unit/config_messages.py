"""Short configurations with one thing wrong, and what is said of it: shared by the tests of the refusals."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from longstop.config import SOURCE_KINDS, Config, parse
from longstop.model.errors import ConfigurationError

BASE = Path("/etc/longstop")
NOTHING: Mapping[str, str] = MappingProxyType({})
HELLO = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
CRM = '[destinations.crm]\nurl = "https://crm.example/events"\n'
IN_ORDER = "[destinations.crm]\nordered = true"
KINDS = ", ".join(SOURCE_KINDS)
SCHEMES = "none, header, basic, bearer, hmac-sha1, hmac-sha256, hmac-sha512"
STORES = (
    "sqlite:///FILE (beside the configuration), sqlite:////ABSOLUTE/FILE, postgresql://USER@HOST/DATABASE, "
    "redis://HOST, aws://REGION?table=NAME or memory://"
)
SELECTOR = "a JMESPath expression over the body, header:NAME or hash:body"
DURATION = 'a duration such as "10s", "5m" or "3d"'
UNITS = "a whole number with one of the units ms, s, m, h, d, w"


def read(
    text: str, environ: Mapping[str, str] = NOTHING, *, handlers: tuple[str, ...] = (), base: Path = BASE
) -> Config:
    return parse(text, where="longstop.toml", environ=environ, base=base, handlers=handlers)


def problems(
    text: str, environ: Mapping[str, str] = NOTHING, *, handlers: tuple[str, ...] = (), base: Path = BASE
) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(text, environ, handlers=handlers, base=base)
    return list(raised.value.problems)


def source(lines: str) -> str:
    return f"[sources.a]\n{lines}"


def generic(lines: str, scheme: str = "none") -> str:
    return source(f'kind = "generic"\nverify = {{ scheme = "{scheme}" }}\n{lines}')


def verify(table: str, secrets: str = '["${S}"]') -> str:
    return source(f'kind = "generic"\nverify = {{ {table} }}\nsecrets = {secrets}')


def destination(lines: str) -> str:
    return f"{HELLO}[destinations.d]\n{lines}"


def to_url(lines: str) -> str:
    return destination(f'url = "https://d.example"\n{lines}')


def url(text: str) -> str:
    return destination(f'url = "{text}"')


def route(lines: str) -> str:
    return f"{HELLO}{CRM}[[routes]]\n{lines}"


SECRETS = {"S": "s3cret-of-many-characters", "EMPTY": ""}

"""Single values of the configuration, from the text a person writes to what the program uses.

Every function takes one value and returns it read, or raises Fault. Where a value may hold a secret, the
Fault says what is wrong with it and never the value.
"""

import codecs
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from longstop.config.errors import Fault, listed, nearest, quoted, shown
from longstop.model.routing import SEEN_NAMES

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DURATION_MS_MAX = 3_650 * _UNIT_MS["d"]
_UNIT_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
ROOM_BYTES_MAX = 10**15
SIZE_BYTES_MAX = 512 * 2**20
"""SQLite keeps no row over 10^9 bytes (https://sqlite.org/limits.html); this leaves the headers room."""
SELECTOR = "a JMESPath expression over the body, header:NAME or hash:body"
"""What says where the dedup key, the type or the key of an event stands."""
_SECRET_FILE_BYTES_MAX = 65_536
URL_NOT_READ = "https://not-read.invalid/"
SECRET_NOT_READ = "c2VjcmV0LXRoYXQtd2FzLW5vdC1yZWFk"  # noqa: S105
"""Stands in for every secret where none is needed. Base64, as some kinds of sources ask for."""

NAME = "1 to 63 of a-z, 0-9, _ and -, the first a letter or a digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AMOUNT = re.compile(r"([0-9]{1,12})([A-Za-z]{1,3})")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?")
_VISIBLE = re.compile(r"[!-~]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

ARCHIVE = 'text such as "file:archive/" or "s3://BUCKET/PREFIX"'


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a configuration refers to and does not hold itself."""

    environ: Mapping[str, str] = field(repr=False)
    base: Path
    """The folder that relative paths start from."""
    handlers: frozenset[str] = frozenset()
    """Names of destinations whose handler is registered in code."""
    more_in_code: bool = False
    """There may be more of them, which are not known here."""
    secrets_read: bool = True
    """False: nothing is verified or sent, so every secret is SECRET_NOT_READ, whatever stands there."""


# -- amounts ------------------------------------------------------------------------------------

SPOOL_AFTER_MS_MAX = 3_000


def duration(value: object) -> int:
    """Milliseconds of `"250ms"`, `"10s"`, `"5m"`, `"1h"`, `"3d"`, `"2w"`."""
    ms = _amount(value, _UNIT_MS)
    if ms is None:
        raise Fault(f"found {shown(value)}", hint=_duration_hint(value))
    if ms > DURATION_MS_MAX:
        raise Fault(f"found {shown(value)}", "at most 3650d")
    return ms


def positive_duration(value: object) -> int:
    """A duration that is not zero."""
    ms = duration(value)
    if ms == 0:
        raise Fault(f"found {shown(value)}", "more than zero")
    return ms


def spool_after(value: object) -> int:
    """A duration that leaves the spool time before a sender has to be answered."""
    ms = positive_duration(value)
    if ms > SPOOL_AFTER_MS_MAX:
        raise Fault(f"found {shown(value)}", "at most 3s, for a sender is answered within 4 s")
    return ms


def _duration_hint(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12:
        return f'write "{value}s" if seconds are meant'
    return "a whole number with one of the units ms, s, m, h, d, w"


def size(value: object, most: int = SIZE_BYTES_MAX, said: str = "512MiB") -> int:
    """Bytes of `"10MB"` (powers of 1000), `"512KiB"` (powers of 1024), or of a plain number."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    amount = value if plain else _amount(value, _UNIT_BYTES)
    if not isinstance(amount, int):
        raise Fault(f"found {shown(value)}", hint="the units are B, KB, MB, GB, KiB, MiB, GiB")
    if not 1 <= amount <= most:
        raise Fault(f"found {shown(value)}", f"from 1B to {said}")
    return amount


def disk_size(value: object) -> int:
    """As `size`, of room on a disk."""
    return size(value, ROOM_BYTES_MAX, "1000000GB")


def _amount(value: object, units: Mapping[str, int]) -> int | None:
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * units[match[2]] if match and match[2] in units else None


# -- variables and secrets ----------------------------------------------------------------------


def url_of_hosts(text: str) -> SplitResult:
    """As urlsplit, which takes one host, and newer versions of which refuse an IPv6 address among several."""
    head, slashes, rest = text.partition("//")
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    return urlsplit(head + slashes + rest.removeprefix(netloc))._replace(netloc=netloc)


def variables(document: object) -> set[str]:
    """The variables that any text in it takes from the environment."""
    if isinstance(document, str):
        return {match[1] for match in _VARIABLE.finditer(document) if match[1]}
    inner = document.values() if isinstance(document, Mapping) else document if isinstance(document, list) else ()
    return set().union(*map(variables, inner))


def expand(text: str, environ: Mapping[str, str], expected: str, hint: str = "set it before the start") -> str:
    """`text` with every `${NAME}` replaced; `expected` says what an unset variable should hold."""
    found = [match[1] for match in _VARIABLE.finditer(text)]
    if None in found:
        raise Fault('found "${" with no name of a variable after it', "${NAME}", "NAME is letters, digits and _")
    names = dict.fromkeys(found)
    for complaint, broken in (
        ("not set", [n for n in names if n not in environ]),
        ("empty", [n for n in names if environ.get(n) == ""]),
    ):
        if broken:
            many = len(broken) > 1
            which = f"the environment variable{'s' if many else ''} {' and '.join(broken)}"
            held, do = (
                (expected.replace("it to", "them to"), hint.replace("set it", "set them")) if many else (expected, hint)
            )
            raise Fault(f"{which} {'are' if many else 'is'} {complaint}", held, do)
    return _VARIABLE.sub(lambda match: environ[match[1]], text)


def secret(text: str, around: Surroundings, held: str = "the secret shared with the sender") -> str:
    """The secret that `${VAR}`, `file:PATH` or a literal stands for; `held` says what an unset variable should hold."""
    if not around.secrets_read:
        return SECRET_NOT_READ
    if text.startswith("file:"):
        return _secret_file(text.removeprefix("file:"), around)[0]
    if not text:
        raise Fault("found an empty text")
    return expand(text, around.environ, f"it to hold {held}", "set it, or use file:PATH")


def secret_and_mark(text: str, around: Surroundings) -> tuple[str, bool]:
    """A secret, and whether its file begins with a byte order mark. Raises Fault."""
    if not text.startswith("file:") or not around.secrets_read:
        return secret(text, around), False
    return _secret_file(text.removeprefix("file:"), around)


def credential(text: str, around: Surroundings) -> str:
    """A secret, or a name beside one, by which a destination knows us."""
    return secret(text, around, "what the destination knows us by")


def bearer_token(text: str, around: Surroundings) -> str:
    """A credential that is sent as it is (RFC 6750, 2.1)."""
    token = credential(text, around)
    if not _VISIBLE.fullmatch(token):
        found = "found a space, a line break, a control character or a character beyond ASCII"
        raise Fault(found, "a token of visible ASCII characters")
    return token


def user_name(text: str, around: Surroundings) -> str:
    """A user name for HTTP Basic (RFC 7617, 2: without a colon)."""
    name = credential(text, around)
    if ":" in name:
        raise Fault("found a colon in it", "a user name without one", "the password has a key of its own")
    return name


def file_path(text: str, around: Surroundings) -> str:
    """The absolute path of a file. Whether there is one is found out when it is read."""
    if text.startswith("file:"):
        raise Fault(f"found {quoted(text)}", "a path", "without file:")
    path = expand(text, around.environ, "it to hold a part of the path")
    if not path:
        raise Fault("found an empty text")
    return os.path.abspath(around.base / path)


def _secret_file(path: str, around: Surroundings) -> tuple[str, bool]:
    full = around.base / expand(path, around.environ, "it to hold a part of the path")
    # The path is shown as written: a variable in it stays a name.
    expected, hint = "a file that holds only the secret", "a relative path starts at the configuration's folder"
    try:
        with full.open("rb") as file:
            content = file.read(_SECRET_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        raise Fault(f"the file {quoted(path)} cannot be read ({reason})", expected, hint) from None
    value = _secret_text(content, f"the file {quoted(path)}", expected)
    return value, content.startswith(codecs.BOM_UTF8)


def _secret_text(content: bytes, subject: str, expected: str) -> str:
    if len(content) > _SECRET_FILE_BYTES_MAX:
        raise Fault(f"{subject} is over 64 KiB", expected)
    try:
        # Editors of some systems begin a file with a mark, which is no part of the secret.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    # Outside the handler: the decoding error carries the content along.
    if text is None:
        raise Fault(f"{subject} is not UTF-8 text", expected, "save it as UTF-8")
    if "\0" in text:
        raise Fault(f"{subject} has NUL characters in it, as UTF-16 text has", expected, "save it as UTF-8")
    value = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not value:
        raise Fault(f"{subject} is empty", expected)
    return value


def is_literal(text: str) -> bool:
    """Whether a secret stands in the file itself."""
    return not text.startswith("file:") and "${" not in text


# -- expressions --------------------------------------------------------------------------------


def name(text: str) -> str:
    """What a source, a destination or an order may be called."""
    if not _NAME.fullmatch(text):
        raise Fault(f"found {quoted(text)}")
    return text


def variable_name(text: str) -> str:
    """The name of an environment variable."""
    if not _VARIABLE_NAME.fullmatch(text):
        raise Fault(f"found {quoted(text)}", hint="letters, digits and _, the first no digit")
    return text


def condition(text: str) -> str:
    """A JMESPath expression that decides about an event."""
    check_jmespath(text, "a JMESPath expression", "text stands in single quotes, as in type == 'Text'")
    return text


def condition_names(text: str | None) -> frozenset[str]:
    """Which of SEEN_NAMES stand in a condition that compiles; none in None."""
    return frozenset(_fields(jmespath.compile(text.strip()).parsed)).intersection(SEEN_NAMES) if text else frozenset()


def _fields(tree: Mapping[str, Any]) -> Iterator[str]:
    if tree["type"] == "field":
        yield tree["value"]
    for child in tree["children"]:
        yield from _fields(child)


def network(text: str) -> str:
    """A network in CIDR form, or a single address."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        expected = 'a network as "203.0.113.0/24", or an address'
        raise Fault(f"found {quoted(text)}", expected, "its host bits must be zero" if "/" in text else "") from None


def rate(value: object) -> float:
    """Requests per second, from "100/s", "600/m" or "5000/h"."""
    found = re.fullmatch(r"([0-9]{1,9})/([smh])", value) if isinstance(value, str) else None
    if found is None or int(found[1]) == 0:
        raise Fault(f"found {shown(value)}", 'a rate such as "100/s", "600/m" or "5000/h"')
    return int(found[1]) * 1_000 / _UNIT_MS[found[2]]


def signed_content(text: str) -> str:
    """The template of what a signature covers."""
    names = re.findall(r"\{([^{}]*)\}", text)
    if names.count("body") != 1 or not set(names) <= {"body", "timestamp", "id"}:
        raise Fault(f"found {quoted(text)}", "text with {body} once, and {timestamp} or {id} if they are signed")
    return text


def selector(text: str) -> str:
    """`header:NAME`, `hash:body`, or a JMESPath expression that picks a value out of a body."""
    if text.startswith("header:"):
        header_name(text.removeprefix("header:"))
    elif text != "hash:body":
        check_jmespath(text, SELECTOR, "as in data.conversation.id")
    return text


def check_jmespath(text: str, expected: str, hint: str) -> None:
    """Raises Fault, with the place of the syntax error, where `text` is not JMESPath or calls what does not exist."""
    try:
        tree = jmespath.compile(text).parsed
    except RecursionError:
        raise Fault(f"found {quoted(text)}, which is nested too deeply", expected, hint) from None
    except (JMESPathError, ValueError) as error:
        raise Fault(f"found {quoted(text)}, {_broken_at(error, text)}", expected, hint) from None
    for name in _functions(tree):
        if name not in Functions.FUNCTION_TABLE:
            found = f"found {quoted(text)}, which calls the unknown function {quoted(name)}"
            raise Fault(found, "a function of JMESPath", nearest(name, Functions.FUNCTION_TABLE))


def _broken_at(error: Exception, text: str) -> str:
    position = getattr(error, "lex_position", getattr(error, "lexer_position", None))
    if not text.strip():
        return "which is empty"
    if position is None:
        return "which is not JMESPath"
    if position >= len(text):
        return "which ends too early"
    return f"which is not JMESPath from character {position + 1} ({quoted(text[position])}) on"


def _functions(tree: dict[str, Any]) -> list[str]:
    found, nodes = [], [tree]
    while nodes:
        node = nodes.pop()
        if node.get("type") == "function_expression":
            found.append(node["value"])
        nodes += [child for child in node.get("children", ()) if isinstance(child, dict)]
    return found


# -- HTTP ---------------------------------------------------------------------------------------


def header_name(text: str) -> str:
    """The name of an HTTP header (RFC 9110, 5.6.2: a token)."""
    if not _TOKEN.fullmatch(text):
        raise Fault(f"found {quoted(text)}", "the name of an HTTP header", 'letters, digits and -, as in "X-Signature"')
    return text


def header_value(text: str, around: Surroundings) -> str:
    """The value of a static header, variables filled in."""
    value = expand(text, around.environ, "it to hold a part of the header's value")
    if _UNPRINTABLE.search(value.replace("\t", "")) or not value.isascii():
        raise Fault("found a line break, a control character or a character beyond ASCII", "printable ASCII")
    return value


def host(text: str) -> str:
    """A name or an address to listen on."""
    if address(text) is None and not _HOST_NAME.fullmatch(text):
        raise Fault(f"found {quoted(text)}", hint="without scheme, port or brackets")
    return text


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that `text` is, or None."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def http_url(text: str, around: Surroundings) -> str:
    """A destination's URL, variables filled in. No part of it is ever shown: tokens travel in paths and queries."""
    url = expand(text, around.environ, "it to hold a part of the URL")
    if fault := next((said for is_wrong, said in _URL_FAULTS if is_wrong(url)), None):
        raise Fault(*fault)
    return url


def secret_url(text: str, around: Surroundings) -> str:
    """A URL that is a secret itself, or holds one: where no secrets are read, whatever stands there will do."""
    return URL_NOT_READ if not around.secrets_read and "${" in text else http_url(text, around)


def _unreadable(url: str) -> bool:
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True


_URL_EXPECTED = "http:// or https://, a host and a path"
# In this order: each may rely on those before it having passed.
_URL_FAULTS: tuple[tuple[Callable[[str], bool], tuple[str, ...]], ...] = (
    (
        lambda url: not url.lower().startswith(("http://", "https://")),
        ("found no http:// or https:// at its start", _URL_EXPECTED),
    ),
    (
        lambda url: bool(re.search(r"\s|[\x00-\x1f\x7f]", url)),
        ("found a space or a control character in it", _URL_EXPECTED),
    ),
    (_unreadable, ("found a host or port that cannot be read", "a host name or address and a port from 1 to 65535")),
    (lambda url: not urlsplit(url).hostname, ("found no host", _URL_EXPECTED)),
    (
        lambda url: "@" in urlsplit(url).netloc,
        (
            "found a user name or a password in it",
            "a URL without them",
            'send them in a header: headers = { Authorization = "${VAR}" }',
        ),
    ),
    (
        lambda url: "#" in url,
        ("found a fragment (#…) in it", "a URL without one", "a fragment is never sent to a server"),
    ),
)


def handler(text: str) -> str:
    """`package.module:function`."""
    module, colon, function = text.partition(":")
    parts = [*module.split("."), function]
    if not colon or not all(part.isidentifier() for part in parts):
        raise Fault(f"found {quoted(text)}", hint='as in "myapp.handlers:update_crm"')
    return text


# -- archives -------------------------------------------------------------------------------------


def archive_folder(text: str, around: Surroundings) -> str:
    """The folder that `file:…` names, as an absolute path."""
    scheme, found, path = text.partition(":")
    if not found or scheme != "file":
        raise Fault(f"found {shown(text)}", ARCHIVE)
    path = expand(path, around.environ, "it to hold a part of the path")
    if not path or "\x00" in path:
        raise Fault("found no folder's path after file:", ARCHIVE)
    return os.path.abspath(around.base / path)


def choice(text: str, names: Mapping[str, object], what: str) -> str:
    """One of `names`; otherwise a Fault with all of them and the nearest."""
    if text not in names:
        raise Fault(f"found {quoted(text)}", f"{what}: {listed(names)}", nearest(text, names))
    return text

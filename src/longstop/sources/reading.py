"""What a request says: bodies parsed, expressions compiled, values turned into keys.

Everything here takes whatever bytes a stranger sends and raises nothing but MalformedError.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from longstop.model.errors import ConfigurationError, MalformedError
from longstop.model.exchange import Request
from longstop.model.routing import Condition
from longstop.sources.document_size import require_few_nodes
from longstop.sources.duplicate_names import RepeatedNames, ambiguous

KEY_BYTES_MAX = 1024
"""A longer key is kept as its SHA-256: an index entry must not grow with what a sender writes."""

_HEADER = "header:"
_HASH_OF_BODY = "hash:body"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")

Find = Callable[[Any], Any]
"""Takes the parsed body and gives the value that an expression means, None where there is none."""

# -- bodies -------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_YEAR_10000_MS = 253_402_300_800_000

_decode = msgspec.json.Decoder().decode


def parse_json(body: bytes) -> Any:
    """The body as JSON; whole numbers of any size stay exact.

    Raises MalformedError: not JSON, not UTF-8, empty, nested too deep, too many values, a number that Python cannot
    hold.
    """
    require_few_nodes(body)
    return _parsed(body)


def _parsed(body: bytes) -> Any:
    try:
        return _decode(body)
    except RecursionError:
        raise MalformedError("the body is JSON nested too deep to be read") from None
    except ValueError:
        found = "an empty body" if not body.strip() else "bytes that are no JSON"
        raise MalformedError(f"the body cannot be read: found {found}; expected JSON in UTF-8") from None


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises MalformedError also for any other JSON."""
    document = parse_json(body)
    if type(document) is not dict:
        raise MalformedError(f"the body cannot be read: found {json_type(document)}; expected a JSON object")
    return document


def parse_leniently(body: bytes) -> Any:
    """The body as JSON, or None where it is not JSON. Raises MalformedError where it is too much of it."""
    require_few_nodes(body)
    try:
        return _parsed(body)
    except MalformedError:
        return None


def json_type(value: Any) -> str:
    """What JSON calls a value, with its article, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case dict():
            return "an object"
        case list():
            return "an array"
        case str():
            return "a string"
        case _:
            return "a number"


# -- values -------------------------------------------------------------------------------------


def fingerprint(data: bytes) -> bytes:
    """`sha256:` and the hash in hex: a name for bytes that are too long for one."""
    return b"sha256:" + hashlib.sha256(data).hexdigest().encode()


def text_of(value: Any) -> str | None:
    """A value as an event's type or key: strings as they are, numbers and booleans as JSON writes them.

    None for null, empty strings, objects and arrays. What is too long for an index, or holds a NUL
    (which not every database can keep in a text), is replaced by its fingerprint.
    """
    text = _scalar_text(value)
    if not text or (len(text) <= KEY_BYTES_MAX // 4 and "\0" not in text):
        return text or None
    data = text.encode("utf-8", "surrogatepass")
    return fingerprint(data).decode() if len(data) > KEY_BYTES_MAX or b"\0" in data else text


def _scalar_text(value: Any) -> str | None:
    if type(value) is str:
        return value
    if type(value) in (bool, float):
        return msgspec.json.encode(value).decode()
    return str(value) if type(value) is int else None


def dedup_of(value: Any) -> bytes | None:
    """A value as a dedup key: its text in UTF-8, or the fingerprint of it when over KEY_BYTES_MAX.

    None for null and the empty string: they name no event, and as keys they would make one event of
    all that have none. Raises MalformedError for objects and arrays, and for booleans, of which there are
    but two.
    """
    if value is None or value == "":
        return None
    text = None if type(value) is bool else _scalar_text(value)
    if text is None:
        raise ambiguous(json_type(value))
    data = text.encode("utf-8", "surrogatepass")
    return data if len(data) <= KEY_BYTES_MAX else fingerprint(data)


def time_of(value: Any) -> int | None:
    """A time as Unix milliseconds: RFC 3339 with its offset, or a whole number of milliseconds as Genesys writes it.

    None for everything else, and for what lies before 1970 or after 9999.
    """
    if type(value) is str:
        value = _milliseconds(value)
    return value if type(value) is int and 0 <= value < _YEAR_10000_MS else None


def _milliseconds(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
        return None if time.tzinfo is None else (time - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        return None


def time_at(*paths: str) -> Callable[[Request, Any], int | None]:
    """A reading of the event's time: the first of these paths (of plain names) that leads to one."""
    finds = [plain_path(*path.split(".")) for path in paths]

    def read(_request: Request, document: Any) -> int | None:
        for find in finds:
            found = time_of(find(document))
            if found is not None:
                return found
        return None

    return read


def joint_key(parts: Iterable[str | None]) -> bytes:
    """A dedup key of several texts: their JSON array, which nothing but the same texts in the same order can equal."""
    key = msgspec.json.encode(list(parts))
    return key if len(key) <= KEY_BYTES_MAX else fingerprint(key)


# -- expressions --------------------------------------------------------------------------------


class Selector:
    """A compiled expression: where in a request an event's dedup key, type or key stands.

    `header` is the header's name for `header:NAME`, else None; `whole` is true for `hash:body`; `find` reads the
    parsed body; `names` are the members that a plain path follows, None where the expression is more than a path.
    """

    __slots__ = ("_repeated", "find", "header", "names", "whole")

    def __init__(
        self, find: Find, header: str | None = None, names: tuple[str, ...] | None = None, whole: bool = False
    ) -> None:
        self.find = find
        self.header = header
        self.names = names
        self.whole = whole
        self._repeated = RepeatedNames(find, names)

    def text(self, request: Request, document: Any) -> str | None:
        """What it finds, as an event's type or key; None also where it cannot be evaluated."""
        if self.header is not None:
            return text_of(request.headers.get(self.header))
        if self.whole:
            return fingerprint(request.body).decode()
        try:
            return text_of(self.find(document))
        except (JMESPathError, ValueError, TypeError, ArithmeticError, RecursionError):
            return None

    def dedup(self, request: Request, document: Any) -> bytes | None:
        """What it finds, as a dedup key; None where there is nothing.

        Raises MalformedError where the key is ambiguous: an object, an array, a header sent twice with
        different values, a member name repeated on the way, an expression that fails on this body.
        """
        if self.header is not None:
            return _dedup_of_header(request, self.header)
        if self.whole:
            return fingerprint(request.body)
        try:
            found = self.find(document)
            self._repeated.check(request.body, document, found)
            return dedup_of(found)
        except (JMESPathError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise ambiguous("a body on which the `dedup` expression fails") from None


def _dedup_of_header(request: Request, name: str) -> bytes | None:
    values = set(request.headers.get_all(name))
    if len(values) > 1:
        raise ambiguous(f"header {name} more than once, with different values")
    return dedup_of(values.pop()) if values else None


def compile_selector(expression: str, path: str = "expression") -> Selector:
    """`header:NAME`, `hash:body` or a JMESPath expression, compiled once.

    `path` says where in the configuration it stands. Raises ConfigurationError where it is neither.
    """
    text = expression.strip()
    if text.lower().startswith(_HEADER):
        return Selector(_nothing, header=_header_name(text[len(_HEADER) :].strip(), path))
    if text.lower() == _HASH_OF_BODY:
        return Selector(_nothing, whole=True)
    if _PLAIN_PATH.fullmatch(text):
        names = tuple(text.split("."))
        return Selector(plain_path(*names), names=names)
    return Selector(_compile_jmespath(text, path))


def plain_path(*names: str) -> Find:
    """What JMESPath means by a path of plain identifiers, in a fraction of its time: null off the path."""

    def find(document: Any) -> Any:
        value = document
        try:
            for name in names:
                value = value.get(name)
        except AttributeError:
            return None
        return value

    return find


def compile_condition(expression: str, path: str = "when") -> Condition:
    """A route's condition: true where JMESPath holds the result for true.

    False are null, false and empty strings, arrays and objects. A body on which the expression fails
    does not match; the condition never raises. Raises ConfigurationError where it is no JMESPath.
    """
    find = _compile_jmespath(expression.strip(), path)

    def matches(document: Any) -> bool:
        try:
            result = find(document)
        except Exception:
            # One route's slip must not refuse an event that others want.
            return False
        return result is not None and result is not False and result not in ("", [], {})

    return matches


def _compile_jmespath(expression: str, path: str) -> Find:
    try:
        tree = jmespath.compile(expression).parsed
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ConfigurationError((f"{path}: found {expression!r}; expected JMESPath: {error}",)) from None
    # One interpreter for all bodies: it keeps no state but a cache, and making one costs half of a search.
    visit = TreeInterpreter().visit
    return lambda document: visit(tree, document)


def _header_name(name: str, path: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ConfigurationError((f"{path}: found {_HEADER + name!r}; expected header: and the name of a header",))
    return name


def _nothing(_document: Any) -> None:
    return None

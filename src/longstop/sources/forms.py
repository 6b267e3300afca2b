"""Bodies of HTML forms (application/x-www-form-urlencoded), as documents."""

from typing import Any
from urllib.parse import parse_qsl

from longstop.model.errors import MalformedError

FIELDS_MAX = 10_000


def parse_form(body: bytes) -> dict[str, Any]:
    """Names and their values; a list of values where a name is repeated.

    Bytes that are no UTF-8 become U+FFFD: the document is for routes, and the body itself is kept as it came.
    Raises MalformedError where there are more than FIELDS_MAX of them.
    """
    text = body.decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise MalformedError(f"the body is a form of more than {FIELDS_MAX} fields") from None
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name not in document:
            document[name] = value
        elif isinstance(document[name], list):
            document[name].append(value)
        else:
            document[name] = [document[name], value]
    return document

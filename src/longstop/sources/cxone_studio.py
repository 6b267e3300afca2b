"""NICE CXone Studio: what a script posts with the "REST API" action.

The script's author decides the body and the headers. Facts from the vendor's documentation: the Content-Type is
`application/x-www-form-urlencoded` unless the script says otherwise, also where the body is JSON; a request is tried
again twice; the answer has to be JSON of at most 32 KB.

So the body itself says what it is: JSON, or a form, which becomes an object of its fields. The page of this kind has a
template with `eventId` (dedup key), `eventType` (type) and `contactId` (key), each of which may be missing.
"""

from dataclasses import replace
from urllib.parse import parse_qsl

import msgspec

from longstop.model.errors import MalformedError
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, parse_json, parse_leniently

FIELDS_MAX = 1_000
"""A form with more fields is not read: each costs far more than its bytes."""


def as_json(body: bytes) -> bytes:
    """The body if it is JSON; of a form, the JSON object of its fields, a repeated one as an array.

    Raises MalformedError where it is neither.
    """
    if parse_leniently(body) is not None or body.strip() == b"null":
        return body
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        fields = []
    # What begins as JSON or XML is that, and broken or not for here, though an = in it makes it look like a field.
    if not fields or body.lstrip()[:1] in (b"{", b"[", b"<"):
        raise MalformedError("the body cannot be read: expected JSON in UTF-8, or the fields of a form")
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return msgspec.json.encode({name: several if several[1:] else several[0] for name, several in values.items()})


RETRY_AFTER_MAX_S = 5
"""It tries again twice by itself, and a caller may be waiting: a script asked back later than that would be lost."""


class StudioSource(Dialect):
    """A dialect that reads a form as if its fields had been sent as JSON."""

    def unpacked(self, request: Request) -> Request:
        """The request with JSON in it. Raises MalformedError where it is neither that nor a form."""
        request = super().unpacked(request)
        return replace(request, body=as_json(request.body))


def build(settings: SourceSettings) -> Source:
    """A source of Studio scripts. Raises ConfigurationError where the settings cannot be used."""
    return StudioSource(
        settings,
        parse=parse_json,
        dedup=compile_selector("eventId").dedup,
        type=compile_selector("eventType").text,
        key=compile_selector("contactId").text,
        retry_after_max_s=RETRY_AFTER_MAX_S,
    )

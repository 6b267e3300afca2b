"""A request as an HTTP API or a function URL hands it to a function, and the answer as it takes it (format 2.0).

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
Header names come in lower case, several values of one name joined by a comma; cookies apart. A body that is no text
comes as base64. So the bytes of the body are those that were sent, and a signature over headers that the service joins
or drops cannot be checked here.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from longstop.edges.senders_http.answers import problem
from longstop.edges.senders_http.app import IngestApp
from longstop.model.errors import IngestError, MalformedError
from longstop.model.exchange import Answer


async def answer(app: IngestApp, event: Mapping[str, Any]) -> dict[str, Any]:
    """What the function returns for a request. Raises TypeError where that comes in another format."""
    if "http" not in event.get("requestContext", {}):
        found = ", ".join(sorted(event)) or "nothing"
        expected = "one of an HTTP API (PayloadFormatVersion 2.0) or of a function URL"
        raise TypeError(f"this is no request in payload format 2.0: found {found}; expected {expected}")
    http = event["requestContext"]["http"]
    stage = event["requestContext"].get("stage", "$default")
    path = str(event.get("rawPath", http["path"]))
    if stage != "$default":
        path = path.removeprefix(f"/{stage}")
    return returned(await _answer(app, event, str(http["method"]), path, http.get("sourceIp")))


async def _answer(app: IngestApp, event: Mapping[str, Any], method: str, path: str, peer: str | None) -> Answer:
    try:
        body = _body(event)
    except IngestError as error:
        return problem(error)
    opened = app.begin(method, path, _headers(event, len(body)), "1.1")
    if isinstance(opened, Answer):
        return opened
    return await app.finish(opened, body, peer, str(event.get("rawQueryString", "")).encode("latin-1", "replace"))


def _body(event: Mapping[str, Any]) -> bytes:
    """The bytes as they were sent. Raises MalformedError."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"the body came as base64 that cannot be read: {error}") from error


def _headers(event: Mapping[str, Any], length: int) -> list[tuple[bytes, bytes]]:
    given: Mapping[str, str] = event.get("headers") or {}
    pairs = [(name.encode("latin-1", "replace"), text.encode("latin-1", "replace")) for name, text in given.items()]
    pairs = [pair for pair in pairs if pair[0].lower() not in (b"content-length", b"transfer-encoding")]
    pairs.append((b"content-length", str(length).encode()))
    cookies = event.get("cookies") or ()
    return pairs + ([(b"cookie", "; ".join(cookies).encode("latin-1", "replace"))] if cookies else [])


def returned(answer: Answer) -> dict[str, Any]:
    """An answer as the service takes it."""
    headers = {"content-type": answer.content_type} | dict(answer.headers)
    try:
        return {"statusCode": answer.status, "headers": headers, "body": answer.body.decode()}
    except UnicodeDecodeError:
        encoded = base64.b64encode(answer.body).decode()
        return {"statusCode": answer.status, "headers": headers, "body": encoded, "isBase64Encoded": True}

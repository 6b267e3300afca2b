"""What both clients do with a request and its answer, but for the waiting."""

import ipaddress
import os
import secrets
import ssl
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from longstop.client.calls import Call, wait_s
from longstop.client.errors import InsecureError, UnreachableError, error_of

T = TypeVar("T", bound=BaseModel)

URL = "http://127.0.0.1:8081"
TOKEN_VARIABLE = "LONGSTOP_TOKEN"  # noqa: S105 (its name)
TIMEOUT_S = 30.0


def settings(url: str, token: str | None, timeout_s: float, ca_file: str | None = None) -> dict[str, Any]:
    """What both clients of httpx are made with. ca_file: who is trusted besides those that SSL_CERT_FILE names.

    Raises InsecureError, UnreachableError.
    """
    token = os.environ.get(TOKEN_VARIABLE) if token is None else token
    encrypted = _is_encrypted(url)
    if token and not encrypted and not _is_loopback(url):
        raise InsecureError(
            f"{_shown(url)} is not encrypted, so everybody on the way would read the token: it was not sent; expected "
            "https://, or an address of this machine (through `ssh -L 8081:127.0.0.1:8081 HOST`, say)"
        )
    if token and not token.isascii():
        raise InsecureError("the token holds characters that no token has; is it the right file?")
    return {
        "base_url": url.rstrip("/"),
        "headers": {"authorization": f"Bearer {token}"} if token else {},
        "timeout": timeout_s,
        # Wherever it leads, the token is not for it.
        "follow_redirects": False,
        # A proxy of the environment would read what goes to this machine unencrypted.
        "trust_env": encrypted,
        **({"verify": _trusting(ca_file)} if ca_file is not None else {}),
    }


def _is_encrypted(url: str) -> bool:
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InsecureError(f'found "{_shown(url)}"; expected the operators\' port, as https://longstop.example.com')
    return scheme == "https"


def _shown(url: str) -> str:
    """A URL without what may be a password in it."""
    return f"{url.partition('://')[0]}://{url.partition('://')[2].rpartition('@')[2]}" if "://" in url else url


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise UnreachableError(f"{ca_file}: {error}; expected certificates in PEM") from None
    return context


def request(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """The request of a call. What changes something has an Idempotency-Key, the same whenever it is sent again."""
    headers = {"accept": "application/json"}
    if call.body is not None:
        headers["content-type"] = "application/json"
    if call.method != "GET":
        headers["idempotency-key"] = secrets.token_urlsafe(16)
    return client.build_request(call.method, call.path, params=call.params(), content=call.content(), headers=headers)


def wait_before(attempt: int, response: httpx.Response | None) -> float | None:
    """How long to wait before it is sent again; None: it is not."""
    if response is None:
        return wait_s(attempt, None, None)
    return wait_s(attempt, response.status_code, response.headers.get("retry-after"))


def read(call: Call[T], response: httpx.Response) -> T:
    """What a call was answered. Raises ApiError."""
    refuse(response)
    try:
        # 204 has none.
        return call.answer.model_validate_json(response.content or b"{}")
    except ValidationError:
        raise error_of(response.status_code, b"") from None


def refuse(response: httpx.Response) -> None:
    """Raise ApiError for an answer that says that it was not done."""
    if not response.is_success:
        raise error_of(response.status_code, response.content)


def unreachable(error: httpx.TransportError, url: httpx.URL) -> UnreachableError:
    """The error where there was no answer, without a query."""
    said = str(error) or type(error).__name__
    at = f"{url.scheme}://{url.netloc.decode()}"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return UnreachableError(f"{at} is not trusted: {said}; a CA of your own is named by ca_file or SSL_CERT_FILE")
    return UnreachableError(
        f"nothing answers at {at}: {said}; is the gateway running, and is this its operators' port (server.admin_port)?"
    )


class Events:
    """Reads server-sent events, a line at a time."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def line(self, line: str) -> Iterator[dict[str, str]]:
        """The event that this line completes, if it does: its fields."""
        if not line:
            if "data" in self._fields:
                yield self._fields
            self._fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")

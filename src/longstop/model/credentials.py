"""Credentials in requests: what a request shows that would also prove the next one, and is therefore never kept.

A signature proves one body and stays: it is evidence, and of no use for another. A password, a token or a shared
secret proves everything that is sent with it; who reads the store, a copy of it or a listing must not find one.
"""

import re
from collections.abc import Iterable

from longstop.model.event import Headers
from longstop.model.settings import SourceSettings
from longstop.model.signing import proof_headers, scheme_of

NOT_KEPT = "(not kept)"
"""What stands in the place of a credential."""

_ALWAYS = (
    # RFC 9110, 11.6.2 and 11.7.2; RFC 6265, 4.2.
    *("Authorization", "Proxy-Authorization", "Cookie"),
    # The names that API gateways and senders give to a shared secret.
    *("X-Api-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "X-Functions-Key", "Ocp-Apim-Subscription-Key"),
    *("X-Gitlab-Token", "X-Telegram-Bot-Api-Secret-Token", "X-Goog-Channel-Token", "X-Amz-Security-Token"),
)
_SOUNDS_SECRET = re.compile(r"auth|token|secret|passw|credential|cookie|session|api-?key|(^|-)key$", re.IGNORECASE)
_HARMLESS = re.compile(
    r"^(host|user-agent|accept|accept-.*|content-.*|date|via|forwarded|x-forwarded-.*|traceparent|transfer-encoding|"
    r"connection|expect)$|signature|hmac|timestamp|event|topic|delivery|-(id|time|type)$"
)
_SECRET_WORDS = re.compile(rb"client_secret|passw(or)?d|access_token|refresh_token|api_?key", re.IGNORECASE)
_SHOWN_PARAMETERS = ("bodySHA256",)
"""Parameters of a query whose values prove nothing by themselves: Twilio's hash of the body."""


def credential_headers(settings: SourceSettings) -> frozenset[bytes]:
    """The names, in lower case, of the headers of this source's requests that carry a credential.

    Those that always do; the header of the proof, unless that is a signature; and required headers that are named
    like a secret.
    """
    names = [*_ALWAYS, *(name for name in settings.required_headers if _SOUNDS_SECRET.search(name))]
    scheme = scheme_of(settings)
    if scheme is not None and scheme.scheme in ("header", "basic", "bearer"):
        names += proof_headers(settings)
    return frozenset(name.lower().encode("latin-1", "replace") for name in names)


def shown_headers(settings: SourceSettings) -> frozenset[bytes]:
    """The names, in lower case, of headers of this source's requests that are no credential: its signature and time."""
    names = frozenset(name.lower().encode("latin-1", "replace") for name in proof_headers(settings))
    return names - credential_headers(settings)


def without_credentials(
    headers: Headers, hidden: frozenset[bytes], shown: frozenset[bytes], secrets: Iterable[str]
) -> Headers:
    """The headers of a request that was refused, for a person to look at.

    Nothing is known of such a request, and a secret may stand under any name. So all names are kept, and of the values
    only those of headers in `shown` or that are named like something harmless, in which none of `secrets` stands.
    """
    wires = [secret.encode() for secret in secrets if secret]

    def is_shown(name: bytes, text: bytes) -> bool:
        if name in hidden or any(each in text for each in wires):
            return False
        plain = name.decode("latin-1")
        return name in shown or bool(_HARMLESS.search(plain) and not _SOUNDS_SECRET.search(plain))

    mark = NOT_KEPT.encode()
    return Headers.from_wire((name, text if is_shown(name.lower(), text) else mark) for name, text in headers.raw)


def query_without_credentials(query: str) -> str:
    """The names of a query's parameters; of their values only those that prove nothing."""
    return "&".join(_parameter(part) for part in query.split("&")) if query else ""


def _parameter(part: str) -> str:
    name, equals, _ = part.partition("=")
    if name in _SHOWN_PARAMETERS:
        return part
    return f"{name}={NOT_KEPT}" if equals else NOT_KEPT


def shows_secret(body: bytes, secrets: Iterable[str]) -> bool:
    """Whether a secret stands in a body, or something that is named like one."""
    return bool(_SECRET_WORDS.search(body)) or any(each.encode() in body for each in secrets if each)

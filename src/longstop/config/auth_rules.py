"""What the keys of a destination's `auth` and `tls` have to agree on, with each other and with the destination.

As in `rules`, the document is looked at as it was written, and what is not of the right type is passed over.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args

from longstop.config import values
from longstop.config.errors import Fault, Loc, Problem, listed, quoted
from longstop.config.values import Surroundings
from longstop.model.settings import AuthScheme
from longstop.model.signing import webhook_key

Raw = Mapping[str, Any]

_SCHEMES: tuple[str, ...] = get_args(AuthScheme)
_HMAC = tuple(scheme for scheme in _SCHEMES if scheme.startswith("hmac-"))
_OAUTH = ("oauth2-client-credentials",)

_NEEDED: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "username": (("basic",), "the user name", 'username = "longstop"'),
    "password": (("basic",), "the password", 'password = "${VAR}" or "file:PATH"'),
    "token": (("bearer",), "the token", 'token = "${VAR}" or "file:PATH"'),
    "secrets": ((*_HMAC, "standard-webhooks"), "what signs", 'secrets = ["${VAR}"] or ["file:PATH"]'),
    "header": (_HMAC, "the name of the header that carries the signature", 'header = "X-Signature"'),
    "token_url": (_OAUTH, "the URL that gives tokens", 'token_url = "https://login.example/oauth/token"'),
    "client_id": (_OAUTH, "the client id", 'client_id = "${VAR}"'),
    "client_secret": (_OAUTH, "the client secret", 'client_secret = "${VAR}" or "file:PATH"'),
}
"""Keys that a scheme cannot do without: the schemes, what the key is, how it is written."""

_SCHEMES_OF: Mapping[str, tuple[str, ...]] = {
    **{key: schemes for key, (schemes, _, _) in _NEEDED.items()},
    **dict.fromkeys(("encoding", "prefix", "content", "timestamp_header", "id_header"), _HMAC),
    **dict.fromkeys(("credentials", "scope"), _OAUTH),
}
"""Which schemes a key of `auth` belongs to."""

_SIGNED = (("{timestamp}", "timestamp_header", "webhook-timestamp"), ("{id}", "id_header", "webhook-id"))
"""What may be signed, the key that names its header, and the header that a delivery has it in anyway."""

_SECRETS = ("password", "token", "client_secret")


def errors(where: Loc, destination: Raw, around: Surroundings, reserved: Collection[str]) -> Iterator[Problem]:
    """What keeps `auth` and `tls` of a destination from being used; `reserved` headers are a delivery's own."""
    for key in ("auth", "tls"):
        if key in destination and "url" not in destination:
            found = f"found {key} at a destination without a url, which has no use for it"
            yield Problem((*where, key), found, "it only beside url", "remove it")
    auth, tls = _table(destination, "auth"), _table(destination, "tls")
    scheme = _text(auth, "scheme")
    if scheme in _SCHEMES:
        yield from _keys((*where, "auth"), auth, scheme)
        yield from _headers(where, auth, _table(destination, "headers"), scheme, reserved)
    if scheme in _HMAC:
        yield from _signed_parts((*where, "auth"), auth)
    yield from _signing_secrets((*where, "auth", "secrets"), auth, scheme, around)
    if isinstance(destination.get("tls"), Mapping):
        yield from _tls((*where, "tls"), tls, (destination.get("url"), auth.get("token_url")), around)


def warnings(where: Loc, destination: Raw) -> Iterator[Problem]:
    """What works and is unwise. For a document without errors."""
    auth = _table(destination, "auth")
    written: list[tuple[Loc, str]] = [((key,), auth[key]) for key in _SECRETS if key in auth]
    written += [(("secrets", place), text) for place, text in enumerate(auth.get("secrets", ()))]
    for place, text in written:
        if values.is_literal(text):
            found, hint = "found a secret written into the file", "whoever reads the file can pass for this program"
            yield Problem((*where, "auth", *place), found, "${VAR} or file:PATH", hint)


def _table(node: Raw, key: str) -> Raw:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(node: Raw, key: str) -> str:
    value = node.get(key)
    return value if isinstance(value, str) else ""


def _keys(where: Loc, auth: Raw, scheme: str) -> Iterator[Problem]:
    for key, (schemes, what, example) in _NEEDED.items():
        if scheme in schemes and auth.get(key, []) == []:
            yield Problem((*where, key), "found nothing", f"{what}, for scheme {quoted(scheme)}", f"as in {example}")
    for key, schemes in _SCHEMES_OF.items():
        if key in auth and scheme not in schemes:
            found = f"found {key} with scheme {quoted(scheme)}, which has no use for it"
            yield Problem((*where, key), found, f"it only with {listed(schemes)}", "remove it")


def _headers(where: Loc, auth: Raw, configured: Raw, scheme: str, reserved: Collection[str]) -> Iterator[Problem]:
    """Each header has one author: a delivery, `auth` or `headers`."""
    ours: set[str] = set()
    if scheme in _HMAC:
        for key, own in (("header", "webhook-signature"), *((key, own) for _, key, own in _SIGNED)):
            name = _text(auth, key).lower()
            if name in reserved and name != own:
                found, place = f"found {quoted(_text(auth, key))}, which Longstop sets itself", (*where, "auth", key)
                yield Problem(place, found, "another header", 'as in "X-Signature"')
            elif name and name in ours:
                found = f"found {quoted(_text(auth, key))} a second time"
                yield Problem((*where, "auth", key), found, "each header once", "case makes no difference")
            ours.add(name)
    elif scheme != "standard-webhooks":
        ours.add("authorization")
    for name in configured:
        if name.lower() in ours:
            found = "found a header that auth sets"
            yield Problem((*where, "headers", name), found, "other headers", "remove it, or auth")


def _signed_parts(where: Loc, auth: Raw) -> Iterator[Problem]:
    """A header of its own for what is not signed would prove nothing."""
    content = _text(auth, "content")
    for part, key, _ in _SIGNED:
        if key in auth and part not in content:
            found, hint = f"found {key} and no {part} in content", f"put {part} into content, or remove {key}"
            yield Problem((*where, key), found, f"it only where {part} is signed", hint)


def _signing_secrets(where: Loc, auth: Raw, scheme: str, around: Surroundings) -> Iterator[Problem]:
    secrets = auth.get("secrets")
    if not isinstance(secrets, list):
        return
    if scheme in _HMAC and len(secrets) > 1:
        found = f"found {len(secrets)} secrets"
        yield Problem(where, found, f"one for scheme {quoted(scheme)}", "a header carries one signature")
    for place, text in enumerate(secrets if scheme == "standard-webhooks" else ()):
        if isinstance(text, str) and not _is_webhook_secret(text, around):
            found = "found a secret that is no key of Standard Webhooks"
            yield Problem(
                (*where, place),
                found,
                "base64 after whsec_",
                'it is made by, for example, "whsec_" and the output of openssl rand -base64 32',
            )


def _is_webhook_secret(text: str, around: Surroundings) -> bool:
    try:
        secret = values.credential(text, around)
    except Fault:
        # `shape` has said what is wrong with it.
        return True
    try:
        webhook_key(secret)
    except ValueError:
        return False
    return True


def _tls(where: Loc, tls: Raw, urls: tuple[Any, ...], around: Surroundings) -> Iterator[Problem]:
    if not tls:
        hint = 'as in { ca = "ca.pem" } or { cert = "client.pem", key = "client.key" }'
        yield Problem(where, "found an empty table", "ca, or cert and key, or all of them", hint)
    if "key" in tls and "cert" not in tls:
        found, hint = "found key and no cert", 'as in cert = "client.pem"'
        yield Problem((*where, "cert"), found, "the certificate that the key belongs to", hint)
    given = [url for url in urls if isinstance(url, str)]
    if given and all(_is_plain(url, around) for url in given):
        found = "found tls with an http:// URL, which has no use for it"
        yield Problem(where, found, "it only with https://", "remove it, or mend the URL")


def _is_plain(url: str, around: Surroundings) -> bool:
    try:
        return values.http_url(url, around).lower().startswith("http://")
    except Fault:
        return False

"""The sender's side of verification: the headers with which a body is proven to come from a source's sender.

`longstop send`, the demo and tests sign with it; that `sources` admits what is signed here is tested, scheme by
scheme.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl

from longstop.model.errors import ConfigurationError
from longstop.model.event import Headers as ReceivedHeaders
from longstop.model.settings import SourceSettings, VerifySettings

OWN_SCHEMES: Mapping[str, VerifySettings] = MappingProxyType(
    {
        # Genesys Cloud signs Open Messaging webhooks so: base64, not the usual hex, after the prefix.
        "genesys-open-messaging": VerifySettings(
            scheme="hmac-sha256", header="X-Hub-Signature-256", encoding="base64", prefix="sha256="
        ),
        # The signing library of the product's origin, Brand Embassy.
        "cxone-dfo": VerifySettings(scheme="hmac-sha256", header="X-Request-Signature", encoding="base64"),
        # https://expert-help.nice.com/Manage/Content_Maintenance/Subscriptions_and_Notifications/Webhooks
        "cxone-expert": VerifySettings(
            scheme="hmac-sha256",
            header="X-Nexus-Signature-256",
            prefix="sha256=",
            content="{timestamp}.{body}",
            timestamp_header="X-Nexus-Timestamp",
        ),
        # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        "github": VerifySettings(scheme="hmac-sha256", header="X-Hub-Signature-256", prefix="sha256="),
        # https://shopify.dev/docs/apps/build/webhooks/subscribe/https
        "shopify": VerifySettings(scheme="hmac-sha256", header="X-Shopify-Hmac-Sha256", encoding="base64"),
        # https://docs.slack.dev/authentication/verifying-requests-from-slack
        "slack": VerifySettings(
            scheme="hmac-sha256",
            header="X-Slack-Signature",
            prefix="v0=",
            content="v0:{timestamp}:{body}",
            timestamp_header="X-Slack-Request-Timestamp",
        ),
        # https://docs.stripe.com/webhooks
        "stripe": VerifySettings(
            scheme="hmac-sha256",
            header="Stripe-Signature",
            content="{timestamp}.{body}",
            timestamp_part="t",
            signature_part="v1",
        ),
    }
)
"""Kinds of source whose sender has a scheme of its own that the settings of `verify` can say."""

Headers = list[tuple[str, str]]

CONTENT_PLACE = re.compile(r"\{(body|timestamp|id)\}")
"""What is put into a template of `content`."""


def sign(settings: SourceSettings, body: bytes, now_ms: int = 0) -> Headers:
    """The headers that prove a body, under the source's first secret; none where nothing is verified.

    `now_ms` is the time of signing, for schemes that sign one. An id that is signed is made of the body, so that the
    same body is the same event. Raises ConfigurationError where there is no secret to sign with.
    """
    signer = _SIGNERS.get(settings.kind) if settings.verify is None else None
    verify = settings.verify or OWN_SCHEMES.get(settings.kind, VerifySettings())
    if signer is None and verify.scheme == "none":
        return []
    if not settings.secrets:
        problem = f"sources.{settings.name}.secrets: found none; expected at least one, to sign with"
        raise ConfigurationError((problem,))
    if signer is not None:
        return signer(settings, body, str(now_ms // 1000))
    return _by_scheme(verify, settings.secrets[0], body, str(now_ms // 1000))


def scheme_of(settings: SourceSettings) -> VerifySettings | None:
    """How requests of this source are verified; None where no settings of `verify` can say it."""
    if settings.verify is None and settings.kind in _SIGNERS_HEADERS:
        return None
    return settings.verify or OWN_SCHEMES.get(settings.kind, VerifySettings())


def proof_headers(settings: SourceSettings) -> tuple[str, ...]:
    """The names of the headers that prove a request of this source; none where nothing is verified."""
    verify = scheme_of(settings)
    if verify is None:
        return _SIGNERS_HEADERS[settings.kind]
    if verify.scheme == "none":
        return ()
    names = (verify.header or "Authorization", verify.timestamp_header, verify.id_header)
    return tuple(name for name in names if name is not None)


def proof_headers_in(settings: SourceSettings, headers: ReceivedHeaders) -> tuple[str, ...]:
    """The names that the headers of the proof have in this request: some senders write those of another family."""
    names = proof_headers(settings)
    other = _OTHER_NAMES.get(settings.kind, ()) if settings.verify is None else ()
    return other if other and other[-1] in headers and names[-1] not in headers else names


def bears_proof(settings: SourceSettings, headers: ReceivedHeaders) -> bool:
    """Whether a request shows what this source is proven by, right or wrong: once, and in the form that it has."""
    verify = scheme_of(settings)
    if verify is None:
        return any(_sole(headers, name) for name in proof_headers_in(settings, headers))
    if verify.scheme == "none":
        return False
    shown = _sole(headers, verify.header or "Authorization")
    if verify.scheme in ("basic", "bearer"):
        return shown.lower().startswith(f"{verify.scheme} ".encode())
    return bool(shown)


def _sole(headers: ReceivedHeaders, name: str) -> bytes:
    values = headers.wire_values(name)
    return values[0].strip() if len(values) == 1 else b""


def event_id(body: bytes) -> str:
    """An id for the event in a body, in no sender's format: equal bodies have equal ones."""
    return f"msg_{hashlib.sha256(body).hexdigest()[:24]}"


def fill_content(template: str, body: bytes, timestamp: str = "", id: str = "") -> bytes:
    """What is signed: the template with {body}, {timestamp} and {id} put in. What is put in is not looked into."""
    given = {"body": body, "timestamp": timestamp.encode("latin-1"), "id": id.encode("latin-1")}
    parts = CONTENT_PLACE.split(template)
    # re.split with a group alternates: text, name, text, name, …
    return b"".join(given[part] if place % 2 else part.encode() for place, part in enumerate(parts))


def webhook_key(secret: str) -> bytes:
    """The key in a shared secret of Standard Webhooks: base64 after `whsec_`. Raises ValueError where there is none."""
    if secret.startswith(("whsk_", "whpk_")):
        raise ValueError("one half of a pair of keys, and no shared secret")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("an empty key")
    return key


FORM_FIELDS_MAX = 1000
FORM_BYTES_MAX = 256 * 1024
"""A larger form, or one with more fields, is nobody's webhook: taking it apart would be work that a stranger chooses,
for only what is in it shows whether it is signed. Twilio's largest known parts are a message of 1,600 characters and
the attributes of a conversation, 16 KB, where an escape makes three bytes of one."""


def form_pairs(body: bytes) -> Collection[tuple[bytes, bytes]] | None:
    """The names and values of a form, as bytes, with their percent-escapes undone; None where there is too much."""
    if len(body) > FORM_BYTES_MAX:
        return None
    try:
        # Latin-1 maps bytes to characters and back without a loss.
        pairs = parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError:
        return None
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def joined_pairs(pairs: Collection[tuple[bytes, bytes]]) -> bytes:
    """What Twilio signs of a form, after the URL: each name and its value, by name; equal pairs once."""
    return b"".join(name + value for name, value in sorted(set(pairs)))


def _by_scheme(verify: VerifySettings, secret: str, body: bytes, timestamp: str) -> Headers:
    headers = []
    if verify.timestamp_header is not None:
        headers.append((verify.timestamp_header, timestamp))
    if verify.id_header is not None:
        headers.append((verify.id_header, event_id(body)))
    content = fill_content(verify.content, body, timestamp, event_id(body) if verify.id_header else "")
    proof = proof_value(verify, secret, content)
    if verify.signature_part is not None:
        proof = f"{verify.signature_part}={proof}"
    if verify.timestamp_part is not None:
        proof = f"{verify.timestamp_part}={timestamp},{proof}"
    return [*headers, (verify.header or "Authorization", proof)]


def proof_value(verify: VerifySettings, secret: str, content: bytes) -> str:
    """What stands in the header of the proof: the credential, or the signature of `content`."""
    match verify.scheme:
        case "header":
            return verify.prefix + secret
        case "bearer":
            return f"Bearer {secret}"
        case "basic":
            # RFC 7617, with the charset it recommends: UTF-8.
            pair = secret if verify.username is None else f"{verify.username}:{secret}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
    digest = hmac.digest(secret.encode(), content, verify.scheme.removeprefix("hmac-"))
    return verify.prefix + _written(digest, verify.encoding)


def _written(digest: bytes, encoding: str) -> str:
    if encoding == "hex":
        return digest.hex()
    encoded = base64.urlsafe_b64encode(digest) if encoding == "base64url" else base64.b64encode(digest)
    return encoded.decode()


# -- senders whose proof no setting of `verify` can say -------------------------------------------


def _standard_webhooks(settings: SourceSettings, body: bytes, timestamp: str) -> Headers:
    shared = [secret for secret in settings.secrets if not secret.startswith("whpk_")]
    if not shared:
        found = "only public keys, which verify and cannot sign"
        raise ConfigurationError((f"sources.{settings.name}.secrets: found {found}; expected a whsec_… secret",))
    key = base64.b64decode(shared[0].removeprefix("whsec_"))
    content = fill_content("{id}.{timestamp}.{body}", body, timestamp, event_id(body))
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return [
        ("webhook-id", event_id(body)),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", f"v1,{signature}"),
    ]


def _twilio(settings: SourceSettings, body: bytes, _timestamp: str) -> Headers:
    url = settings.public_url or ""
    if is_json(body):
        content = f"{url}{'&' if '?' in url else '?'}{twilio_query(body)}".encode()
    else:
        content = url.encode() + joined_pairs(form_pairs(body) or ())
    signature = base64.b64encode(hmac.digest(settings.secrets[0].encode(), content, "sha1")).decode()
    return [("X-Twilio-Signature", signature)]


def twilio_query(body: bytes) -> str:
    """What Twilio appends to the URL's query where the body is no form."""
    return f"bodySHA256={hashlib.sha256(body).hexdigest()}"


def is_json(body: bytes) -> bool:
    """Whether the body is a JSON object or array."""
    try:
        return isinstance(json.loads(body), (dict, list))
    except (ValueError, RecursionError):
        return False


_SIGNERS: Mapping[str, Callable[[SourceSettings, bytes, str], Headers]] = MappingProxyType(
    {"standard-webhooks": _standard_webhooks, "twilio": _twilio}
)
_SIGNERS_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "standard-webhooks": ("webhook-id", "webhook-timestamp", "webhook-signature"),
        "twilio": ("X-Twilio-Signature",),
        # Its token is not signed with but asked for.
        "cxone-byoc": ("Authorization",),
    }
)
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    # The service that the convention grew from, and its libraries. The signature's is the last, as above.
    {"standard-webhooks": ("svix-id", "svix-timestamp", "svix-signature")}
)

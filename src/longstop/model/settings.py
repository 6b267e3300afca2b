"""What a configured source and a configured destination are, after validation: plain values, secrets resolved.

`config.py` makes them, adapters are built from them, and neither knows the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from longstop.model.breaker import BreakerPolicy
from longstop.model.identity import OidcSettings
from longstop.model.rejection import HoldSettings
from longstop.model.retry import RETRIED_STATUSES, RetryPolicy

Scheme = Literal["none", "header", "basic", "bearer", "hmac-sha1", "hmac-sha256", "hmac-sha512"]
AuthScheme = Literal[
    "basic",
    "bearer",
    "hmac-sha1",
    "hmac-sha256",
    "hmac-sha512",
    "standard-webhooks",
    "oauth2-client-credentials",
]

BODY_BYTES_MAX = 10 * 1024 * 1024
"""A source's `max_body` where nothing is known of its sender's bodies: generous, for a limit too small loses events."""
BODY_BYTES_MAX_OF: Mapping[str, int] = MappingProxyType(
    {
        # A message has some thousands of characters; the vendor's page on Open Messaging limits attachments to links.
        "genesys-open-messaging": 2 * 1024 * 1024,
        # Amazon EventBridge takes events of at most 1 MB (256 KB until 2026): docs.aws.amazon.com/eventbridge, quotas.
        "genesys-eventbridge": 2 * 1024 * 1024,
        # docs.github.com, "Webhook events and payloads": "Payloads are capped at 25 MB".
        "github": 25 * 1024 * 1024,
        # A view has at most 100 blocks of 3,000 characters and comes in a form, where an escape makes three of a byte:
        # docs.slack.dev, "Views" and "Blocks".
        "slack": 2 * 1024 * 1024,
        # "Usually smaller than 20kb": github.com/standard-webhooks/standard-webhooks, "Payload size". Ed25519 hashes a
        # body anew for each signature.
        "standard-webhooks": 1024 * 1024,
        # A message has 1,600 characters, the attributes of a conversation 16 KB: twilio.com/docs.
        "twilio": 1024 * 1024,
    }
)
"""A source's `max_body` by its kind, where more is known."""
DEDUP_WINDOW_MS = 7 * 86_400_000
ALERT_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """How requests of a source are verified."""

    scheme: Scheme = "none"
    header: str | None = None
    """The header that carries the signature (hmac-*) or the shared secret (header)."""
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    prefix: str = ""
    """What stands before the signature in the header, as `sha256=`."""
    username: str | None = None
    """basic: the user name. Without it each secret is `user:password`."""
    content: str = "{body}"
    """hmac-*: what is signed, with {body}, {timestamp} and {id} put in."""
    timestamp_header: str | None = None
    """The header with the time of signing: Unix seconds, Unix milliseconds or RFC 3339."""
    id_header: str | None = None
    """The header with the id that is signed."""
    signature_part: str | None = None
    """hmac-*: the name of the signatures in a header such as `t=…,v1=…`; None: the header holds nothing else."""
    timestamp_part: str | None = None
    """hmac-*: the name of the time of signing in that header."""


@dataclass(frozen=True, slots=True)
class ChallengeSettings:
    """How a sender asks whether this is the right place: it is answered with what it sent, and nothing is kept."""

    query: str | None = None
    """GET: the query parameter whose value is the answer."""
    field: str | None = None
    """POST: the member of the JSON body whose value is the answer."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A configured sender."""

    name: str
    kind: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Any of them verifies: several are in force while one is rotated."""
    verify: VerifySettings | None = None
    """None: the kind's own scheme."""
    dedup: str | None = None
    """A JMESPath over the body, `header:NAME` or `hash:body`; None: the kind's own."""
    type: str | None = None
    key: str | None = None
    dedup_window_ms: int = DEDUP_WINDOW_MS
    max_body_bytes: int | None = None
    """None: what fits the kind's sender; see `body_bytes_max`."""
    tolerance_ms: int = 300_000
    """How far a signed time may be off, either way."""
    required_headers: tuple[str, ...] = ()
    """Headers that a request must have to be taken for the sender's."""
    content_types: tuple[str, ...] = ()
    """Media types that are taken; none: any."""
    allow: tuple[str, ...] = ()
    """Networks (CIDR) that requests may come from; none: any."""
    rate_per_s: float | None = None
    """How many requests a second are taken; None: any number."""
    challenge: ChallengeSettings | None = None
    client_id: str | None = None
    """cxone-byoc: the client id that the platform asks for tokens with; the secrets are the client's."""
    public_url: str | None = None
    """twilio: the URL as the sender knows it, which its signature covers."""
    on_unverified: Literal["refuse", "hold"] = "refuse"
    """hold: what is not verified is refused all the same, and kept apart, to be verified again."""
    hold: HoldSettings = field(default_factory=HoldSettings)
    """How much of it."""
    keep_rejected_bodies: bool = False
    """Whether the samples of refused requests have their bodies."""

    @property
    def body_bytes_max(self) -> int:
        """How many bytes a body may have, as sent and unpacked."""
        if self.max_body_bytes is not None:
            return self.max_body_bytes
        return BODY_BYTES_MAX_OF.get(self.kind, BODY_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """How a delivery is proven to be ours. Each scheme uses the fields that name it, and no others."""

    scheme: AuthScheme
    username: str | None = None
    """basic"""
    password: str | None = field(default=None, repr=False)
    """basic"""
    token: str | None = field(default=None, repr=False)
    """bearer"""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """hmac-*: the one that signs. standard-webhooks: each of them signs, so that one can be rotated."""
    header: str | None = None
    """hmac-*: the header that carries the signature."""
    encoding: Literal["hex", "base64"] = "hex"
    """hmac-*"""
    prefix: str = ""
    """hmac-*: what stands before the signature in the header, as `sha256=`."""
    content: str = "{body}"
    """hmac-*: what is signed, with {body}, {timestamp} and {id} put in."""
    timestamp_header: str | None = None
    """hmac-*: the header that carries the time that is signed, in Unix seconds; None: `webhook-timestamp`."""
    id_header: str | None = None
    """hmac-*: the header that carries the id that is signed, the event's; None: `webhook-id`."""
    token_url: str | None = field(default=None, repr=False)
    """oauth2-client-credentials: may hold a secret that the environment filled in, as do `url` and `headers`."""
    client_id: str | None = None
    """oauth2-client-credentials"""
    client_secret: str | None = field(default=None, repr=False)
    """oauth2-client-credentials"""
    credentials: Literal["basic", "form"] = "basic"
    """oauth2-client-credentials: whether id and secret go to the token endpoint as HTTP Basic or in the form."""
    scope: str | None = None
    """oauth2-client-credentials: scopes with spaces between them; None: the endpoint's default."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Whom a destination's connections believe, and as whom they show themselves. Absolute paths of PEM files."""

    ca: str | None = None
    """Certificates that are believed instead of the system's."""
    cert: str | None = None
    """The client's certificate, with what leads up to its authority."""
    key: str | None = None
    """The certificate's private key; None: it is in the certificate's file."""


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """A configured destination: either `url` or `handler` is set, or the handler is registered in code."""

    name: str
    url: str | None = field(default=None, repr=False)
    """May hold a secret that the environment filled in."""
    handler: str | None = None
    """`package.module:function`"""
    isolation: Literal["none", "process"] = "none"
    """process: the handler runs in processes of its own, so that its death is not the gateway's."""
    env: tuple[str, ...] = ()
    """isolation process: names of environment variables that the handler gets, beside those that hold no secret."""
    transaction: bool = False
    """The handler is called within the store's transaction, and its writes are committed with `delivered`."""
    allow_private: bool = False
    """May the URL lead to loopback or private addresses?"""
    timeout_ms: int = 10_000
    """For a whole attempt, from connecting to the last byte of the answer."""
    concurrency: int = 32
    """Attempts under way at once."""
    adaptive: bool = False
    """Whether fewer are under way where the destination's answers show that it cannot take so many."""
    rate_per_s: float | None = None
    """Attempts that each worker begins in a second; None: any number."""
    ordered: bool = False
    """Deliver the events of one key in the order of their acceptance, one at a time."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with every delivery."""
    auth: AuthSettings | None = None
    tls: TlsSettings | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retried_statuses: frozenset[int] = RETRIED_STATUSES
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"destination {self.name}"


@dataclass(frozen=True, slots=True)
class OperatorsSettings:
    """`[operators]`: who may use the operators' side."""

    auth: Literal["none", "users"] = "none"
    """none: whoever reaches the port, which is this machine's alone then."""
    url: str | None = None
    """What people open in a browser, without a path; None: the address that is listened on."""
    allowed_hosts: tuple[str, ...] = ()
    """More names by which it may be asked for."""
    session_lifetime_ms: int = 12 * 3_600_000
    """A shift: however much a session is used."""
    session_idle_ms: int = 3_600_000
    """A session that nobody uses."""
    mask: tuple[str, ...] = ()
    """What is hidden from people without the scope `bodies`: JMESPath over the body, or `header:NAME`."""
    oidc: OidcSettings | None = None
    mcp: bool = False
    """Whether an assistant finds its tools there, at /mcp."""


ConsoleColour = Literal["red", "orange", "yellow", "green", "blue", "violet", "grey"]


@dataclass(frozen=True)
class ConsoleSettings:
    """`[console]`: what the console calls itself, so that nobody takes one Longstop for another."""

    name: str | None = None
    colour: ConsoleColour = "grey"

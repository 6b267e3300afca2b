"""What a configured alert channel is, after validation: plain values, secrets resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from longstop.model.alert import CHANNEL_PREFIX, LONGSTOP, Wanted
from longstop.model.alert_conditions import AlertPolicy
from longstop.model.breaker import BreakerPolicy
from longstop.model.retry import RetryPolicy
from longstop.model.settings import ALERT_TIMEOUT_MS, DestinationSettings

ChannelKind = Literal["slack", "teams", "pagerduty", "opsgenie", "email", "url"]
SmtpSecurity = Literal["starttls", "tls", "none"]

URLS: Mapping[str, str] = MappingProxyType(
    {
        # developer.pagerduty.com, "Events API v2 Overview"; accounts of its European region have
        # https://events.eu.pagerduty.com/v2/enqueue.
        "pagerduty": "https://events.pagerduty.com/v2/enqueue",
        # docs.opsgenie.com/docs/alert-api; the European instance is at https://api.eu.opsgenie.com/v2/alerts.
        "opsgenie": "https://api.opsgenie.com/v2/alerts",
    }
)
"""Where alerts go that name no `url` of their own."""
SHORTHAND = "url"
"""The name of the channel that `[alerts] url` makes."""
RETRY = RetryPolicy(first_ms=2_000, cap_ms=120_000, max_age_ms=3_600_000, on_dead="skip")
"""An alert is tried for an hour. What comes after it waits for it, so that what is over is not told of before it
began, and goes on without it when it is dead."""
CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class EmailSettings:
    """How mail is sent."""

    host: str
    to: tuple[str, ...]
    sender: str
    port: int = 587
    security: SmtpSecurity = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    """A file of certificates in PEM that are believed instead of the system's; an absolute path."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One way in which people are told."""

    name: str
    kind: ChannelKind
    url: str = field(default="", repr=False)
    """Slack's and Teams' URLs are secrets, and others may hold one."""
    key: str | None = field(default=None, repr=False)
    """pagerduty: the routing key. opsgenie: the API key. url: what signs."""
    email: EmailSettings | None = None
    wanted: Wanted = field(default_factory=Wanted)
    timeout_ms: int = ALERT_TIMEOUT_MS
    """For one request, from connecting to the answer."""
    allow_private: bool = False
    """May the URL lead to loopback or private addresses?"""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with every request."""
    install: str = LONGSTOP
    """What this installation is called, where several tell the same people."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        return "[alerts]" if self.name == SHORTHAND else f"[alerts.channels.{self.name}]"

    @property
    def destination(self) -> str:
        """The name of the destination that it is in the queue."""
        return CHANNEL_PREFIX + self.name

    def as_destination(self) -> DestinationSettings:
        """What the queue has to know of it. It has no circuit: an alert about that would go the same way."""
        return DestinationSettings(
            self.destination,
            timeout_ms=self.timeout_ms,
            concurrency=CONCURRENCY,
            ordered=True,
            retry=RETRY,
            breaker=BreakerPolicy(enabled=False),
        )


@dataclass(frozen=True, slots=True)
class AlertsSettings:
    """`[alerts]`: who is told, and of what."""

    channels: tuple[ChannelSettings, ...] = ()
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    function_timeout_ms: int = ALERT_TIMEOUT_MS
    """For one call of a function of the application's."""

"""What the keys of `[alerts]` and its channels have to agree on, and the names that are Longstop's own.

As in `rules`, the document is looked at as it was written, and what is not of the right type is passed over.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from longstop.config import values
from longstop.config.alerts import CHANNEL_KINDS
from longstop.config.errors import Fault, Loc, Problem, listed, quoted
from longstop.config.values import Surroundings
from longstop.model.alert import CHANNEL_PREFIX, LONGSTOP
from longstop.model.alert_channel import SHORTHAND
from longstop.model.signing import webhook_key

Raw = Mapping[str, Any]

_NEEDED: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "url": (("slack", "teams", "url"), "the URL that alerts are posted to", 'url = "${VAR}"'),
    "routing_key": (("pagerduty",), "the integration key of a service", 'routing_key = "${VAR}" or "file:PATH"'),
    "api_key": (("opsgenie",), "the key of an API integration", 'api_key = "${VAR}" or "file:PATH"'),
    "smtp": (("email",), "the mail server", 'smtp = { host = "mail.example" }'),
    "from": (("email",), "the address that mail comes from", 'from = "longstop@example.com"'),
    "to": (("email",), "whom mail goes to", 'to = ["oncall@example.com"]'),
}
"""Keys that a kind cannot do without: the kinds, what the key is, how it is written."""
_POSTED = tuple(kind for kind in CHANNEL_KINDS if kind != "email")
_KINDS_OF: Mapping[str, tuple[str, ...]] = {
    **{key: kinds for key, (kinds, _, _) in _NEEDED.items()},
    "url": _POSTED,
    "secret": ("url",),
    "headers": ("url",),
    "allow_private": _POSTED,
}
"""Which kinds a key belongs to."""
_OF_URL = ("headers", "allow_private")


def errors(document: Raw, around: Surroundings) -> Iterator[Problem]:
    """What no single key shows."""
    alerts = _table(document, "alerts")
    for key in _OF_URL:
        if key in alerts and "url" not in alerts:
            found = f"found {key} without a url that it could belong to"
            yield Problem(("alerts", key), found, "it only beside url", "or put it into a table [alerts.channels.NAME]")
    channels = _table(alerts, "channels")
    for name, channel in channels.items():
        if isinstance(channel, Mapping):
            yield from _channel(("alerts", "channels", name), name, channel, "url" in alerts, around)
    yield from reserved(document, around)


def reserved(document: Raw, around: Surroundings) -> Iterator[Problem]:
    """Names that only Longstop's own events and deliveries have."""
    if LONGSTOP in _table(document, "sources"):
        found = f"found the name {quoted(LONGSTOP)}, which is the source of Longstop's own events"
        yield Problem(("sources", LONGSTOP), found, "another name", "rename it, also in the routes")
    for name in sorted(around.handlers):
        if name.startswith(CHANNEL_PREFIX):
            found = f"found a handler registered in code as {quoted(name)}, which is an alert channel's name"
            yield Problem(("destinations", name), found, f"a name without {quoted(CHANNEL_PREFIX)}", "rename it")


def _channel(where: Loc, name: str, channel: Raw, shorthand: bool, around: Surroundings) -> Iterator[Problem]:
    try:
        values.name(name)
    except Fault:
        yield Problem(where, f"found the name {quoted(name)}", f"the channel's name to be {values.NAME}", "rename it")
    if name == SHORTHAND and shorthand:
        found = 'found the name "url" beside url in [alerts], which is the channel of that name'
        yield Problem(where, found, "another name", "rename it")
    kind = channel.get("kind")
    if kind not in CHANNEL_KINDS:
        return
    for key, (kinds, what, written) in _NEEDED.items():
        if kind in kinds and channel.get(key) in (None, []):
            yield Problem((*where, key), "found nothing", f"{what}, for kind {quoted(str(kind))}", f"as in {written}")
    for key, kinds in _KINDS_OF.items():
        if key in channel and kind not in kinds:
            found = f"found {key} with kind {quoted(str(kind))}, which has no use for it"
            yield Problem((*where, key), found, f"it only with {listed(kinds)}", "remove it")
    yield from _smtp((*where, "smtp"), _table(channel, "smtp"))
    yield from _secret((*where, "secret"), channel.get("secret"), around)


def _smtp(where: Loc, smtp: Raw) -> Iterator[Problem]:
    for key, other in (("username", "password"), ("password", "username")):
        if key in smtp and other not in smtp:
            yield Problem((*where, other), "found nothing", f"it beside {key}", "a mail server asks for both")
    if smtp.get("security") == "none" and "password" in smtp:
        found = 'found a password with security "none", which would be sent in the clear'
        yield Problem((*where, "security"), found, '"starttls" or "tls"', "or no username and password")


def _secret(where: Loc, secret: Any, around: Surroundings) -> Iterator[Problem]:
    if not isinstance(secret, str) or not around.secrets_read:
        return
    try:
        webhook_key(values.credential(secret, around))
    except Fault:
        return
    except ValueError:
        hint = "`openssl rand -base64 32` makes one"
        yield Problem(where, "found no base64", "a secret of Standard Webhooks: base64, after whsec_ or not", hint)


def warnings(document: Raw) -> Iterator[Problem]:
    """What works, and what a person would want to know."""
    for name, channel in _table(_table(document, "alerts"), "channels").items():
        if not isinstance(channel, Mapping):
            continue
        secret_keys = ["routing_key", "api_key", "secret"]
        secret_keys += ["url"] if channel.get("kind") in ("slack", "teams") else []
        for key in secret_keys:
            text = channel.get(key)
            if isinstance(text, str) and values.is_literal(text):
                found = "found a secret written into the file"
                place = ("alerts", "channels", name, key)
                expected = "${VAR}" if key == "url" else "${VAR} or file:PATH"
                yield Problem(place, found, expected, "whoever reads the file can post as you")


def _table(node: Raw, key: str) -> Raw:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}

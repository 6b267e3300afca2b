"""The senders' dialects: how each proves itself, what its requests say and how it is answered.

One module per dialect. A newcomer's place is `dialect`: it says what a new one needs. Nothing in here
stores, waits or looks at a clock.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from longstop.model.errors import ConfigurationError
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources import (
    cxone_byoc,
    cxone_dfo,
    cxone_expert,
    cxone_studio,
    generic,
    genesys_data_action,
    genesys_eventbridge,
    genesys_open_messaging,
    genesys_webhook,
    github,
    shopify,
    slack,
    standard_webhooks,
    stripe,
    twilio,
)
from longstop.sources.unknown_source import admits_anybody, unknown_sources_like

KINDS: Mapping[str, Callable[[SourceSettings], Source]] = MappingProxyType(
    {
        "cxone-byoc": cxone_byoc.build,
        "cxone-dfo": cxone_dfo.build,
        "cxone-expert": cxone_expert.build,
        "cxone-studio": cxone_studio.build,
        "generic": generic.build,
        "genesys-data-action": genesys_data_action.build,
        "genesys-eventbridge": genesys_eventbridge.build,
        "genesys-open-messaging": genesys_open_messaging.build,
        "genesys-webhook": genesys_webhook.build,
        "github": github.build,
        "shopify": shopify.build,
        "slack": slack.build,
        "standard-webhooks": standard_webhooks.build,
        "stripe": stripe.build,
        "twilio": twilio.build,
    }
)
"""Every kind of source there is, and what builds it."""


def build(settings: SourceSettings) -> Source:
    """The source that these settings describe. Raises ConfigurationError where they cannot be used."""
    factory = KINDS.get(settings.kind)
    if factory is None:
        known = ", ".join(sorted(KINDS))
        problem = f"sources.{settings.name}.kind: found {settings.kind!r}; expected one of: {known}"
        raise ConfigurationError((problem,))
    return factory(settings)


def unknown_sources(sources: Iterable[Source], key: bytes) -> Callable[[str], Source]:
    """What refuses for the name of a source that is not configured; see `unknown_source`. `key` is random."""
    return unknown_sources_like(
        [each for each in sources if not admits_anybody(each)] or [refusing_source(key.hex())], key
    )


def refusing_source(secret: str) -> Source:
    """A source that refuses everything: for unknown names where no configured source verifies anything.

    `secret` is random and known to nobody: every request fails as one with a wrong signature does.
    """
    settings = SourceSettings("", "generic", secrets=(secret,), verify=genesys_open_messaging.SCHEME)
    return build(settings)

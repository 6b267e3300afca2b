"""The senders' dialects: how each proves itself, what its requests say and how it is answered.

One module per dialect. A newcomer's place is `dialect`: it says what a new one needs. Nothing in here
stores, waits or looks at a clock.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from longstop.model.errors import ConfigurationError
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources import generic, genesys_open_messaging, genesys_webhook

KINDS: Mapping[str, Callable[[SourceSettings], Source]] = MappingProxyType(
    {
        "generic": generic.build,
        "genesys-open-messaging": genesys_open_messaging.build,
        "genesys-webhook": genesys_webhook.build,
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


def decoy(secret: str) -> Source:
    """A source that stands in for every name that is not configured, so that asking costs and says the same.

    `secret` is random and known to nobody: every request fails as one with a wrong signature does.
    """
    settings = SourceSettings("", "generic", secrets=(secret,), verify=genesys_open_messaging.SCHEME)
    return build(settings)

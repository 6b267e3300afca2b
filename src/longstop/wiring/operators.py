"""What the operators' side needs of the world outside."""

from longstop.config import Config
from longstop.ports import Clock, Identities


def identities(config: Config, clock: Clock) -> Identities | None:
    """The identity provider that people sign in with, if there is one."""
    settings = config.operators.oidc
    if settings is None:
        return None
    # Late: only who has a provider needs what speaks with it.
    from longstop.identity.oidc import OidcProvider

    return OidcProvider(settings, clock)

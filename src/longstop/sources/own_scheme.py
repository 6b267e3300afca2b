"""Schemes that no setting of `verify` can say: what their verifiers are made of."""

from collections.abc import Callable
from typing import TypeVar

from longstop.model.errors import ConfigurationError
from longstop.model.settings import SourceSettings
from longstop.sources.verification import Verifier

V = TypeVar("V", bound=Verifier)


def own_verifier(settings: SourceSettings, make: Callable[[tuple[str, ...]], V]) -> V | None:
    """The dialect's own verifier, made of the secrets; None where the settings say another way to verify.

    Raises ConfigurationError where there is no secret, or an empty one.
    """
    if settings.verify is not None:
        return None
    if not settings.secrets:
        raise unusable_secret(settings, "none", f"at least one, for {settings.kind}")
    if not all(settings.secrets):
        raise unusable_secret(settings, "an empty one, which anybody can guess", "only secrets with text in them")
    return make(settings.secrets)


def unusable_secret(settings: SourceSettings, found: str, expected: str) -> ConfigurationError:
    """The error for secrets that cannot verify. What is said of them must not show them."""
    return ConfigurationError((f"sources.{settings.name}.secrets: found {found}; expected {expected}",))

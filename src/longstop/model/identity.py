"""Who somebody is to an identity provider (OpenID Connect), and how it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from longstop.model.accounts import Role


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`[operators] oidc`: the identity provider that people sign in with."""

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    """None: a public client, which PKCE alone protects."""
    role_claim: str = "groups"
    """A JMESPath expression over the claims of the ID token: what it names are the keys of `roles`."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """What the claim may say, and which role that is here. Of several the one that may most."""
    name_claim: str = "preferred_username"
    scopes: tuple[str, ...] = ("openid", "profile", "email")


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as the identity provider knows him."""

    subject: str
    """Never another one's (`sub`); names may be given to somebody else."""
    name: str
    role: Role | None
    """None: he has none here."""

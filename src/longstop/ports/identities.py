"""Identity providers: who somebody is, as another server has found out."""

from typing import Protocol

from longstop.model.identity import Identity


class Identities(Protocol):
    """A provider of OpenID Connect, by the authorization code flow with PKCE."""

    async def sign_in_url(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent to sign in. Raises IdentityError where the provider cannot be reached."""

    async def identify(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Identity:
        """Who came back with this code. Raises IdentityError where it cannot be believed."""

    async def close(self) -> None:
        """Let go of connections."""

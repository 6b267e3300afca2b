"""A provider of OpenID Connect (https://openid.net/specs/openid-connect-core-1_0.html): authorization code and PKCE.

Where it is asked what, its own description says (`/.well-known/openid-configuration`). Nothing that comes back is
believed but the ID token, and that only where one of the provider's published keys has signed it, by an algorithm with
two keys: for this client, in answer to this very sign-in, and not too long ago.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
import jmespath
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from longstop.model.accounts import Role
from longstop.model.addresses import is_loopback
from longstop.model.errors import IdentityError
from longstop.model.identity import Identity, OidcSettings
from longstop.ports import Clock

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures with two keys. By `none` anybody could make a token, by HS256 whoever takes a public key for a secret."""
TIMEOUT_S = 10
ANSWER_BYTES_MAX = 1024 * 1024
LEEWAY_S = 60
"""How far the provider's clock may be off."""
DESCRIPTION_MS = 3_600_000
"""For how long its description and its keys are good."""
FAILED_AGAIN_MS = 3_000
"""Where it did not describe itself it is asked again after so long."""
KEYS_AGAIN_MS = 60_000
"""A token signed by a key that is not known has them fetched anew, no more often than this: keys are changed."""
_RANK = (Role.VIEW, Role.REPLAY, Role.ADMIN)


class OidcProvider:
    """Implements ports.Identities."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._role = jmespath.compile(settings.role_claim)
        self._name = jmespath.compile(settings.name_claim)
        self._described: tuple[int, Mapping[str, Any]] | None = None
        self._keys: tuple[int, KeySet] | None = None
        self._failed_at_ms: int | None = None
        self._describing = asyncio.Lock()

    async def sign_in_url(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """See ports.Identities."""
        described = await self._description()
        url: str = prepare_grant_uri(
            described["authorization_endpoint"],
            self._settings.client_id,
            "code",
            redirect_uri,
            " ".join(self._settings.scopes),
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url

    async def identify(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Identity:
        """See ports.Identities."""
        described = await self._description()
        answer = await self._exchange(described, redirect_uri, code, verifier)
        if not isinstance(answer.get("id_token"), str):
            raise IdentityError("the identity provider's answer has no ID token; is the scope openid allowed?")
        claims = await self._claims(described, answer, nonce)
        return Identity(str(claims["sub"]), self._name_of(claims), self._role_of(claims))

    async def close(self) -> None:
        """See ports.Identities. Connections are closed behind each question."""

    # -- asking -----------------------------------------------------------------------------------

    async def _description(self) -> Mapping[str, Any]:
        async with self._describing:
            # Whoever opens the way in has it asked, and he need not be known: one asks, and not all the time.
            if self._failed_at_ms is not None and self._clock.monotonic_ms() - self._failed_at_ms < FAILED_AGAIN_MS:
                raise IdentityError("the identity provider could not be asked a moment ago; try again shortly")
            try:
                described = await self._asked_description()
            except IdentityError:
                self._failed_at_ms = self._clock.monotonic_ms()
                raise
            self._failed_at_ms = None
            return described

    async def _asked_description(self) -> Mapping[str, Any]:
        if self._described is None or self._clock.monotonic_ms() - self._described[0] > DESCRIPTION_MS:
            issuer = self._settings.issuer
            described = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if described.get("issuer") != issuer:
                raise IdentityError(f"the identity provider says that it is another issuer than {issuer}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                self._expect_url(name, described.get(name))
            self._described = (self._clock.monotonic_ms(), described)
        return self._described[1]

    def _expect_url(self, name: str, url: object) -> None:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        encrypted = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        if not encrypted or not parts.hostname:
            raise IdentityError(f"the identity provider's {name} is no https:// URL")

    async def _exchange(
        self, described: Mapping[str, Any], redirect_uri: str, code: str, verifier: str
    ) -> Mapping[str, Any]:
        """Give the code for the tokens."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        secret, headers = self._settings.client_secret, {}
        methods = described.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret is not None and "client_secret_basic" in methods:
            shown = aiohttp.encode_basic_auth(_form_encoded(self._settings.client_id), _form_encoded(secret))
            headers = {"authorization": shown}
        else:
            form["client_id"] = self._settings.client_id
            if secret is not None:
                form["client_secret"] = secret
        return await self._ask("POST", described["token_endpoint"], data=form, headers=headers)

    async def _ask(self, method: str, url: str, **given: Any) -> Mapping[str, Any]:
        """One question, one object of JSON. Neither redirected nor believed further than it is long."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"accept": "application/json"}) as session,
                session.request(method, url, allow_redirects=False, **given) as answer,
            ):
                body = await answer.content.read(ANSWER_BYTES_MAX + 1)
                while len(body) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX)):
                    body += more
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise IdentityError(f"the identity provider did not answer ({type(error).__name__})") from None
        if answer.status != 200 or len(body) > ANSWER_BYTES_MAX:
            raise IdentityError(f"the identity provider answered {answer.status}")
        try:
            said = msgspec.json.decode(body)
        except (msgspec.DecodeError, ValueError):
            said = None
        if not isinstance(said, dict):
            raise IdentityError("the identity provider answered with something that is no JSON object")
        return said

    # -- believing --------------------------------------------------------------------------------

    async def _claims(self, described: Mapping[str, Any], answer: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is to be believed."""
        text = answer["id_token"]
        try:
            token = jwt.decode(text, await self._key_set(described), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            try:
                token = jwt.decode(text, await self._key_set(described, KEYS_AGAIN_MS), algorithms=list(ALGORITHMS))
            except (JoseError, ValueError) as error:
                raise IdentityError(f"the ID token is not to be believed ({type(error).__name__})") from None
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": self._settings.client_id},
        }
        given = {
            "nonce": nonce,
            "client_id": self._settings.client_id,
            "access_token": answer.get("access_token"),
        }
        claims = CodeIDToken(token.claims, token.header, options, given)
        try:
            claims.validate(now=self._clock.now_ms() // 1000, leeway=LEEWAY_S)
            self._expect_more(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise IdentityError(f"the ID token is not to be believed ({type(error).__name__})") from None
        return dict(claims)

    def _expect_more(self, claims: Mapping[str, Any]) -> None:
        """What the library takes for optional. Raises ValueError."""
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise ValueError("sub")
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if self._settings.client_id not in audience:
            raise ValueError("aud")

    async def _key_set(self, described: Mapping[str, Any], at_most_ms: int = DESCRIPTION_MS) -> KeySet:
        if self._keys is None or self._clock.monotonic_ms() - self._keys[0] > at_most_ms:
            said = await self._ask("GET", described["jwks_uri"])
            try:
                # Those that can sign: a provider may publish others, and kinds that are not known here.
                keys = [key for key in said.get("keys", ()) if isinstance(key, dict) and key.get("kty") != "oct"]
                self._keys = (self._clock.monotonic_ms(), KeySet.import_key_set({"keys": keys}))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise IdentityError(f"the identity provider's keys cannot be read ({type(error).__name__})") from None
        return self._keys[1]

    def _name_of(self, claims: Mapping[str, Any]) -> str:
        found = self._name.search(dict(claims))
        return found if isinstance(found, str) else str(claims["sub"])

    def _role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Of the roles that the claim names the one that may most."""
        found = self._role.search(dict(claims))
        named = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        roles = [self._settings.roles[each] for each in named if isinstance(each, str) and each in self._settings.roles]
        return max(roles, key=_RANK.index, default=None)


def _form_encoded(text: str) -> str:
    """RFC 6749, 2.3.1: both are encoded before they are joined."""
    return quote_plus(text)

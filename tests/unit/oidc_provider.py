"""A provider of OpenID Connect on loopback: small, real, and dishonest where a test asks it to be."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "longstop", "s3cret+of/a client"


class Provider:
    """Issues codes for whoever is told to have signed in, and ID tokens for codes."""

    def __init__(self) -> None:
        self.key: Any = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.published = [self.key]
        self.issuer = ""
        self.person: dict[str, Any] = {"sub": "sub-1", "preferred_username": "ada", "groups": ["ops", "other"]}
        self.codes: dict[str, dict[str, str]] = {}
        self.exchanges: list[dict[str, str]] = []
        self.bend: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        """What it does to the claims before it signs them."""
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.described: dict[str, Any] = {}
        """What its description says otherwise."""
        self.token_answer: Callable[[str], web.Response] = lambda token: web.json_response(
            {"id_token": token, "access_token": "at", "token_type": "Bearer"}
        )

    def signed(self, claims: dict[str, Any], key: Any = None, alg: str = "RS256", kid: str = "one") -> str:
        return jwt.encode({"alg": alg, "kid": kid}, claims, key or self.key, algorithms=[alg])

    async def description(self, _request: web.Request) -> web.Response:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        return web.json_response(said | self.described)

    async def keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.published]})

    async def authorize(self, request: web.Request) -> web.Response:
        """The person signs in at once, and is sent back."""
        asked = dict(request.query)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.exchanges.append(form)
        asked = self.codes.pop(form.get("code", ""), None)
        encoded = "longstop:s3cret%2Bof%2Fa+client"
        if request.headers.get("authorization") != f"Basic {base64.b64encode(encoded.encode()).decode()}":
            return web.json_response({"error": "invalid_client"}, status=401)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        proven = asked and base64.urlsafe_b64encode(challenge).decode().rstrip("=") == asked["code_challenge"]
        if asked is None or not proven or form["redirect_uri"] != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now_s = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": asked["nonce"]}
        return self.token_answer(self.sign(self.bend({**claims, **self.person})))

    def rotate(self) -> None:
        """Sign with another key from now on."""
        self.key = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
        self.published = [self.key]
        self.sign = lambda claims: self.signed(claims, alg="ES256", kid="two")


@asynccontextmanager
async def running() -> Any:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.description)
    app.router.add_get("/keys", provider.keys)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_post("/token", provider.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()

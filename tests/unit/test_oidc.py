"""Signing in with an identity provider, against one on loopback; and what of it is not believed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import httpx
import pytest
from accounts_at_hand import CLI, PASSWORD, SetClock
from aiohttp import web
from guarded_port import HOST, USERS, Port
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from oidc_provider import CLIENT, SECRET, Provider, running

from longstop.clock import SystemClock
from longstop.edges.operators.access.cookies import PLAIN
from longstop.identity.oidc import FAILED_AGAIN_MS, OidcProvider
from longstop.model.accounts import Role
from longstop.model.caller import Scope
from longstop.model.errors import IdentityError
from longstop.model.identity import OidcSettings
from longstop.model.listing import Page
from longstop.operating.login_limits import ADDRESS_EVERY_MS, ADDRESS_TRIES

ROLES = {"ops": Role.REPLAY, "boss": Role.ADMIN, "guest": Role.VIEW}
TO, BACK = "/api/v1/session/oidc", "/api/v1/session/oidc/callback"
NAVIGATES = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


class Browser:
    """A person's browser: it keeps cookies, and follows to the provider and back."""

    def __init__(self, port: Port, provider: Provider) -> None:
        self.port = port
        self.provider = provider
        self.cookies: dict[str, str] = {}

    async def begin(self) -> str:
        """Where the provider sends it back to."""
        answer = await self.open(TO)
        assert answer.status_code == 303
        asked = parse_qs(urlsplit(answer.headers["location"]).query)
        assert asked["redirect_uri"] == [f"http://127.0.0.1:8081{BACK}"]
        async with (
            aiohttp.ClientSession() as session,
            session.get(answer.headers["location"], allow_redirects=False) as sent_back,
        ):
            return sent_back.headers["location"]

    async def open(self, url: str) -> httpx.Response:
        parts = urlsplit(url)
        headers = {**NAVIGATES, "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        answer = await self.port.ask("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, headers)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return answer

    async def sign_in(self) -> str:
        """Begin, go, come back; where one is sent then."""
        answer = await self.open(await self.begin())
        assert answer.status_code == 303
        return str(answer.headers["location"])

    async def who(self) -> dict[str, Any]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        found: dict[str, Any] = (await self.port.ask("GET", "/api/v1/session", {"cookie": cookie})).json()
        return found


def settings(provider: Provider, **changes: Any) -> OidcSettings:
    given = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET, "roles": ROLES}
    return OidcSettings(**{**given, **changes})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running() as made:
        yield made


@pytest.fixture
def browser(provider: Provider) -> Browser:
    return Browser(Port(USERS, identities=OidcProvider(settings(provider), SystemClock())), provider)


async def test_whoever_has_a_role_there_is_signed_in_here(browser: Browser) -> None:
    assert await browser.sign_in() == "/"
    told = await browser.who()
    assert (told["user"], told["role"], told["scopes"]) == ("ada", "replay", ["bodies", "replay", "view"])
    assert set(browser.cookies) == {PLAIN}, "what bound the sign-in to the browser is gone"
    (exchange,) = browser.provider.exchanges
    assert len(exchange["code_verifier"]) == 43
    assert "client_secret" not in exchange


async def test_what_is_sent_with_it_is_nobodys_but_this_browsers(browser: Browser) -> None:
    answer = await browser.port.ask("GET", TO)
    cookie = answer.headers["set-cookie"]
    assert cookie.endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    flow = cookie.partition("=")[2].partition(";")[0]
    assert len({flow, asked["state"], asked["nonce"], asked["code_challenge"]}) == 4
    other = await browser.port.ask("GET", TO)
    assert other.headers["location"] != answer.headers["location"]


@pytest.mark.parametrize(
    ("groups", "role"),
    [(["guest", "boss", "ops"], "admin"), ("guest", "view"), (["ops", 5, None], "replay")],
)
async def test_of_several_roles_the_one_that_may_most(browser: Browser, groups: Any, role: str) -> None:
    browser.provider.person["groups"] = groups
    assert await browser.sign_in() == "/"
    assert (await browser.who())["role"] == role


@pytest.mark.parametrize("groups", [["other"], [], None, "", {"ops": 1}, 5, [["ops"]]])
async def test_who_has_no_role_is_not_signed_in(browser: Browser, groups: Any) -> None:
    browser.provider.person["groups"] = groups
    assert await browser.sign_in() == "/login?failed=refused"
    assert not (await browser.who())["authenticated"]


# -- what is not begun here ---------------------------------------------------------------------


async def test_an_answer_for_another_browser_signs_nobody_in(browser: Browser) -> None:
    """Login CSRF: somebody's own code and state, in the browser of another person."""
    own = await browser.begin()
    victim = Browser(browser.port, browser.provider)
    assert (await victim.open(own)).headers["location"] == "/login?failed=refused"
    await victim.begin()
    assert (await victim.open(own)).headers["location"] == "/login?failed=refused"
    assert not (await victim.who())["authenticated"]
    assert browser.provider.exchanges == [], "the code was not even given"


@pytest.mark.parametrize("query", ["", "code=x", "state=x", "code=x&state=x", "error=access_denied", "code=&state="])
async def test_an_answer_without_a_state_signs_nobody_in(browser: Browser, query: str) -> None:
    await browser.begin()
    assert (await browser.open(f"{BACK}?{query}")).headers["location"] == "/login?failed=refused"


async def test_an_answer_is_good_once(browser: Browser) -> None:
    back = await browser.begin()
    flow = dict(browser.cookies)
    await browser.open(back)
    browser.cookies = flow
    assert (await browser.open(back)).headers["location"] == "/login?failed=provider"


async def test_a_code_of_another_sign_in_is_of_no_use(browser: Browser) -> None:
    """PKCE: whoever got hold of a code has not the verifier it was asked with."""
    stolen = parse_qs(urlsplit(await Browser(browser.port, browser.provider).begin()).query)["code"][0]
    own = urlsplit(await browser.begin())
    state = parse_qs(own.query)["state"][0]
    assert (await browser.open(f"{BACK}?code={stolen}&state={state}")).headers["location"] == "/login?failed=provider"


@pytest.mark.parametrize("more", ["next=https://evil.example", "redirect=//evil.example", "return_to=/%5Cevil.example"])
async def test_nobody_is_sent_anywhere_else(browser: Browser, more: str) -> None:
    there = await browser.open(f"{TO}?{more}")
    assert there.status_code == 422, "a parameter that nobody knows"
    assert "location" not in there.headers
    back = await browser.begin()
    assert (await browser.open(f"{back}&{more}")).headers["location"] == "/"


async def test_the_host_that_somebody_asks_for_is_not_where_the_code_goes(browser: Browser) -> None:
    answer = await browser.port.ask("GET", TO, {"host": "127.0.0.1:9999"})
    assert parse_qs(urlsplit(answer.headers["location"]).query)["redirect_uri"] == [f"http://127.0.0.1:8081{BACK}"]


# -- what is not believed -----------------------------------------------------------------------


def with_(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda claims: {name: value for name, value in {**claims, **changes}.items() if value is not ...}


NOW_S = int(time.time())
BENT = {
    "another client's": with_(aud="another"),
    "no audience": with_(aud=...),
    "several audiences without azp": with_(aud=[CLIENT, "another"]),
    "azp of another": with_(aud=[CLIENT, "another"], azp="another"),
    "an empty audience": with_(aud=[]),
    "another issuer's": with_(iss="https://evil.example"),
    "no issuer": with_(iss=...),
    "expired": with_(exp=NOW_S - 120),
    "no end": with_(exp=...),
    "an end in words": with_(exp="tomorrow"),
    "not yet": with_(nbf=NOW_S + 3_600),
    "of the future": with_(iat=NOW_S + 3_600),
    "another nonce": with_(nonce="x"),
    "no nonce": with_(nonce=...),
    "no subject": with_(sub=...),
    "an empty subject": with_(sub=""),
    "a subject that is a number": with_(sub=5),
    "another access token's": with_(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT.keys())
async def test_an_id_token_that_is_not_for_this_sign_in_is_not_believed(
    browser: Browser, bend: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    browser.provider.bend = bend
    assert await browser.sign_in() == "/login?failed=provider"
    assert not (await browser.who())["authenticated"]
    assert (await browser.port.store.users(Page())).rows == ()


def unsigned(claims: dict[str, Any]) -> str:
    head = "eyJhbGciOiJub25lIn0"
    return f"{head}.{jwt.encode({'alg': 'HS256'}, claims, OctKey.import_key('k' * 32)).split('.')[1]}."


FORGED: dict[str, Callable[[Provider, dict[str, Any]], str]] = {
    "by another key": lambda p, claims: p.signed(claims, RSAKey.generate_key(2048)),
    "by another key of an unknown name": lambda p, claims: p.signed(claims, RSAKey.generate_key(2048), kid="x"),
    "by none": lambda p, claims: unsigned(claims),
    "by the public key as a secret": lambda p, claims: jwt.encode(
        {"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(p.key.as_pem(private=False))
    ),
    "by the client's secret": lambda p, claims: jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET * 3)),
    "of another body": lambda p, claims: ".".join(
        [p.signed(claims).split(".")[0], unsigned(claims).split(".")[1], p.signed({**claims, "sub": "x"}).split(".")[2]]
    ),
    "no token": lambda p, claims: "x",
    "empty": lambda p, claims: "",
    "five parts": lambda p, claims: "a.b.c.d.e",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_an_id_token_that_the_provider_did_not_sign_is_not_believed(
    browser: Browser, forge: Callable[[Provider, dict[str, Any]], str]
) -> None:
    provider = browser.provider
    provider.sign = lambda claims: forge(provider, claims)
    assert await browser.sign_in() == "/login?failed=provider"
    assert not (await browser.who())["authenticated"]


async def test_a_key_that_was_changed_is_fetched_and_others_are_not_asked_for_all_the_time(provider: Provider) -> None:
    clock = SystemClock()
    clock_ms = 0
    clock.monotonic_ms = lambda: clock_ms  # type: ignore[method-assign]
    port = Port(USERS, identities=OidcProvider(settings(provider), clock))
    assert await Browser(port, provider).sign_in() == "/"
    provider.rotate()
    clock_ms += 60_001
    assert await Browser(port, provider).sign_in() == "/"
    provider.key = RSAKey.generate_key(2048, {"kid": "three"})
    provider.published = [provider.key]
    provider.sign = lambda claims: provider.signed(claims, kid="three")
    clock_ms += 59_000
    assert await Browser(port, provider).sign_in() == "/login?failed=provider"
    clock_ms += 2_000
    assert await Browser(port, provider).sign_in() == "/"


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://evil.example"},
        {"issuer": ...},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": ...},
    ],
)
async def test_a_provider_that_says_it_is_another_is_not_asked(browser: Browser, said: dict[str, Any]) -> None:
    browser.provider.described = {name: None if value is ... else value for name, value in said.items()}
    answer = await browser.port.ask("GET", TO)
    assert answer.status_code == 502
    assert "identity provider" in answer.json()["detail"]


@pytest.mark.parametrize(
    "answered",
    [
        lambda token: web.json_response({"error": "invalid_grant"}, status=400),
        lambda token: web.json_response({"access_token": "at"}),
        lambda token: web.json_response([token]),
        lambda token: web.Response(text="<html>"),
        lambda token: web.Response(body=b" " * 2_000_000),
        lambda token: web.Response(status=302, headers={"location": "http://127.0.0.1:1/"}),
        lambda token: web.json_response({"id_token": 5}),
    ],
    ids=range(7),
)
async def test_what_is_no_answer_signs_nobody_in(browser: Browser, answered: Callable[[str], web.Response]) -> None:
    browser.provider.token_answer = answered
    assert await browser.sign_in() == "/login?failed=provider"


async def test_a_provider_that_is_away_is_said_to_be(provider: Provider) -> None:
    port = Port(USERS, identities=OidcProvider(settings(provider, issuer="http://127.0.0.1:1"), SystemClock()))
    answer = await port.ask("GET", TO)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")


async def test_a_stranger_has_the_provider_asked_as_often_as_he_may_guess(browser: Browser) -> None:
    for _ in range(ADDRESS_TRIES):
        back = await browser.begin()
        assert (await browser.open(back.replace("code=", "code=x"))).headers["location"] == "/login?failed=provider"
    asked = len(browser.provider.exchanges)
    answer = await browser.open(await browser.begin())
    assert answer.headers["location"] == "/login?failed=refused"
    assert len(browser.provider.exchanges) == asked
    browser.port.clock.ms += ADDRESS_EVERY_MS
    assert await browser.sign_in() == "/"
    assert await browser.sign_in() == "/", "who is signed in has his try back"


async def test_a_provider_that_is_away_is_not_asked_by_each_who_comes(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SetClock()
    identities = OidcProvider(settings(provider), clock)
    asked = 0

    async def away(*_given: Any, **_more: Any) -> Any:
        nonlocal asked
        asked += 1
        raise IdentityError("away")

    monkeypatch.setattr(identities, "_ask", away)
    port = Port(USERS, identities=identities)
    answers = await asyncio.gather(*(port.ask("GET", TO) for _ in range(20)))
    assert ({each.status_code for each in answers}, asked) == ({502}, 1)
    clock.ms += FAILED_AGAIN_MS
    await port.ask("GET", TO)
    assert asked == 2


async def test_nobody_takes_the_name_of_another_account(browser: Browser) -> None:
    await browser.port.parts.accounts(CLI).add_user("Ada", Role.ADMIN, PASSWORD)
    browser.provider.person["groups"] = ["boss"]
    assert await browser.sign_in() == "/login?failed=refused"


async def test_without_a_provider_there_is_no_such_way() -> None:
    port = Port()
    assert (await port.ask("GET", TO)).status_code == 404
    assert (await port.ask("GET", BACK, {"host": HOST})).status_code == 303
    told = (await port.ask("GET", "/api/v1/session", await port.token(Scope.VIEW))).json()
    assert told["oidc"] is False


async def test_neither_a_code_nor_a_token_is_in_a_log_line(
    browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    await browser.sign_in()
    browser.provider.bend = with_(nonce="CANARY-nonce")
    back = await browser.begin()
    await browser.open(back)
    out = "".join(capsys.readouterr()) + repr(await browser.port.noted())
    assert "sign_in_failed" in out
    for secret in ("CANARY", parse_qs(urlsplit(back).query)["code"][0], SECRET, "eyJ"):
        assert secret not in out

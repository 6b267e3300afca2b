"""A hundred thousand mutated signatures over all schemes: none is admitted.

Each starts from a request that is admitted, and changes the proof, a signed header or the body as a forger, a broken
proxy or a copying mistake would. The dice are seeded; a failure shows the mutation.
"""

import random
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from longstop import sources
from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import OWN_SCHEMES, proof_headers, sign
from longstop.model.simulated_request import headers_around, query_around, token_request
from longstop.ports import Source

NOW_MS = 1_780_000_000_000
MUTATIONS = 100_000
BODY = b'{"id":"a","message":"' + b"text " * 8 + b'"}'
SECRETS = ("0123456789abcdef0123456789abcdef", "YW5vdGhlci1zZWNyZXQtaW4tZm9yY2U=")

KINDS: dict[str, dict[str, str]] = {
    "genesys-open-messaging": {},
    "cxone-dfo": {},
    "cxone-expert": {},
    "cxone-byoc": {"client_id": "client"},
    "github": {},
    "shopify": {},
    "slack": {},
    "stripe": {},
    "standard-webhooks": {},
    "twilio": {"public_url": "https://hooks.example/webhooks/s"},
}
NO_LISTS = ("twilio", "cxone-byoc")
VERIFY = {
    "header": VerifySettings("header", "X-Key", prefix="Key "),
    "bearer": VerifySettings("bearer"),
    "basic": VerifySettings("basic", username="ann"),
    "sha1": VerifySettings("hmac-sha1", "X-Sig", prefix="sha1="),
    "sha256": VerifySettings("hmac-sha256", "X-Sig", "base64"),
    "sha512": VerifySettings("hmac-sha512", "X-Sig"),
    "template": VerifySettings(
        "hmac-sha256", "X-Sig", content="{id}:{timestamp}:{body}", timestamp_header="X-Time", id_header="X-Id"
    ),
}
SETTINGS = {
    **{kind: SourceSettings("s", kind, SECRETS, **more) for kind, more in KINDS.items()},  # type: ignore[arg-type]
    **{name: SourceSettings("s", "generic", SECRETS, verify) for name, verify in VERIFY.items()},
}


def authentic(settings: SourceSettings, source: Source) -> Request:
    """A request as the sender makes it."""
    headers = [*headers_around(settings, BODY), *sign(settings, BODY, NOW_MS)]
    asked = token_request(settings)
    if asked is not None:
        answer = source.handshake(Request(Headers(), asked[1], path=asked[0]), NOW_MS)
        assert answer is not None
        headers.append(("Authorization", "Bearer " + answer.body.split(b'"')[3].decode()))
    return Request(Headers(headers), BODY, query=query_around(settings, BODY))


Mutate = Callable[[str, random.Random], str]

ALPHABET = "0123456789abcdefABCDEF+/=,. vt{}é\x00\xff"
BYTES: tuple[Mutate, ...] = (
    lambda text, dice: _at(text, dice, lambda one: chr(ord(one) ^ (1 << dice.randrange(7)))),
    lambda text, dice: _at(text, dice, lambda _: dice.choice(ALPHABET)),
    lambda text, dice: _at(text, dice, lambda one: one + dice.choice(ALPHABET)),
    lambda text, dice: _at(text, dice, lambda _: ""),
    lambda text, dice: text[: dice.randrange(len(text) or 1)],
    lambda text, dice: text[dice.randrange(len(text) or 1) + 1 :],
    lambda text, dice: "".join(dice.sample(text, len(text))),
    lambda text, dice: "".join(dice.choice(ALPHABET) for _ in text),
    lambda text, _: text[::-1],
    lambda text, _: text * 2,
    lambda _text, _dice: "",
)


def _at(text: str, dice: random.Random, change: Callable[[str], str]) -> str:
    place = dice.randrange(len(text) or 1)
    return text[:place] + change(text[place : place + 1] or "x") + text[place + 1 :]


def mutated(request: Request, proofs: tuple[str, ...], dice: random.Random) -> Request:
    """The request with a proof, or now and then its body, changed, left out or sent twice."""
    mutate = dice.choice(BYTES)
    pairs = list(request.headers)
    turn = dice.randrange(10)
    if turn == 0 and not _carries_no_signature(proofs):
        return replace(request, body=mutate(request.body.decode("latin-1"), dice).encode("latin-1", "replace"))
    place = dice.choice([place for place, (name, _) in enumerate(pairs) if name in proofs])
    name, value = pairs.pop(place)
    if turn > 1:
        pairs.append((name, mutate(value, dice)))
    return replace(request, headers=Headers(pairs))


def _carries_no_signature(proofs: tuple[str, ...]) -> bool:
    # A shared secret says nothing of the body.
    return proofs in (("X-Key",), ("Authorization",))


def says(settings: SourceSettings, value: str) -> str:
    """What a proof says: blanks around it, the case of a scheme's name and that of hex digits say nothing."""
    value = value.strip(" \t")
    verify = settings.verify or OWN_SCHEMES.get(settings.kind)
    if settings.kind == "cxone-byoc" or (verify and verify.scheme[:4] == "hmac" and verify.encoding == "hex"):
        return value.lower()
    word, _, rest = value.partition(" ")
    return f"{word.lower()} {rest.strip()}" if verify and verify.scheme in ("basic", "bearer") else value


def holds_a_list(settings: SourceSettings) -> bool:
    """Whether the proof is a list of signatures, of which one has to be right."""
    by_shared_secret = settings.verify is not None and settings.verify.scheme in ("header", "bearer", "basic")
    return settings.kind not in NO_LISTS and not by_shared_secret


def still_proven(settings: SourceSettings, forged: Request, request: Request, proofs: tuple[str, ...]) -> bool:
    """Whether a mutation has left the body and all proofs as they were; of a list, whether all of it is there."""

    def told(each: Request) -> list[list[str]]:
        return [[says(settings, value) for value in each.headers.get_all(name)] for name in proofs]

    if forged.body != request.body or not holds_a_list(settings):
        return forged.body == request.body and told(forged) == told(request)
    parts = [[set(re.split("[ ,;\t]", value)) for value in values] for values in told(forged)]
    return all(
        len(now) == 1 and set(re.split("[ ,;\t]", was[0])) <= now[0]
        for was, now in zip(told(request), parts, strict=True)
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_no_mutated_signature_is_admitted(name: str) -> None:
    settings = SETTINGS[name]
    source, proofs = sources.build(settings), proof_headers(settings)
    request = authentic(settings, source)
    source.verify(request, NOW_MS)
    dice = random.Random(name)
    tried = 0
    while tried < MUTATIONS // len(SETTINGS) + 1:
        forged = mutated(request, proofs, dice)
        if still_proven(settings, forged, request, proofs):
            continue
        tried += 1
        try:
            source.verify(forged, NOW_MS)
        except VerificationError:
            continue
        pytest.fail(f"admitted: {[(key, forged.headers.get_all(key)) for key in proofs]} {forged.body!r}")

"""NICE CXone Digital First Omnichannel (DFO) events.

Facts from the signing library of the product's origin (Brand Embassy) and from examples in the tests of the vendor's
mobile SDK:
- `X-Request-Signature` is the base64 of HMAC-SHA256 over the raw body; `X-Signature-Algorithm` says `sha256`.
- `eventId` names the event; `eventObject` and `eventType` say what happened to what.
- What belongs together is a case: `data.case.id`.
"""

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import OWN_SCHEMES
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.own_scheme import own_verifier
from longstop.sources.reading import compile_selector, parse_object
from longstop.sources.verification import Verifier, build_verifier

SCHEME = OWN_SCHEMES["cxone-dfo"]
ALGORITHM_HEADER = "X-Signature-Algorithm"


class AlgorithmVerifier:
    """Admits what `signature` admits, unless the request says that it is signed in another way than SHA-256."""

    def __init__(self, signature: Verifier) -> None:
        self._signature = signature

    def admits(self, request: Request, now_ms: int, /) -> bool:
        """Whether the signature is the sender's, and no other algorithm is named."""
        signed = self._signature.admits(request, now_ms)
        return signed and all(name.strip().lower() == "sha256" for name in request.headers.get_all(ALGORITHM_HEADER))


def build(settings: SourceSettings) -> Source:
    """A source of DFO events. Raises ConfigurationError where the settings cannot be used."""

    def verifier(secrets: tuple[str, ...]) -> AlgorithmVerifier:
        return AlgorithmVerifier(build_verifier(SCHEME, secrets, settings.name))

    return Dialect(
        settings,
        verifier=own_verifier(settings, verifier),
        parse=parse_object,
        dedup=compile_selector("eventId").dedup,
        type=compile_selector("join('.', [eventObject, eventType])").text,
        key=compile_selector("data.case.id").text,
    )

"""What a head shows before its body is there: whoever shows nothing gives way first where room is scarce."""

import pytest
from dialects import signed

from longstop.model.event import Headers
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import OWN_SCHEMES
from longstop.sources import build, unknown_sources

SECRET = ("a-secret-of-the-sender",)
SETTINGS = [
    *(SourceSettings("s", kind, secrets=SECRET) for kind in OWN_SCHEMES),
    SourceSettings("s", "standard-webhooks", secrets=("whsec_c2VjcmV0",)),
    SourceSettings("s", "stripe", secrets=SECRET),
    SourceSettings("s", "twilio", secrets=SECRET, public_url="https://example.net/webhooks/s"),
    SourceSettings("s", "generic", secrets=SECRET, verify=VerifySettings("bearer")),
    SourceSettings("s", "generic", secrets=SECRET, verify=VerifySettings("basic", username="u")),
    SourceSettings("s", "generic", secrets=SECRET, verify=VerifySettings("header", "X-Key")),
    SourceSettings("s", "generic", secrets=SECRET, verify=VerifySettings("hmac-sha256", "X-Signature")),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: f"{each.kind} {each.verify and each.verify.scheme}")
def test_a_proof_is_seen_right_or_wrong_and_for_an_unknown_name_alike(settings: SourceSettings) -> None:
    source = build(settings)
    unknown = unknown_sources([source], b"random")("another")
    shown = signed(settings, b"{}").headers
    wrong = Headers([(name, "wrong") for name, _ in shown])
    for each in (source, unknown):
        assert [each.bears_proof(headers) for headers in (shown, wrong, Headers([("X-Other", "1")]))] == [
            *(True, True),
            False,
        ]


def test_where_nothing_is_proven_nothing_is_missed() -> None:
    assert build(SourceSettings("open", "generic")).bears_proof(Headers())

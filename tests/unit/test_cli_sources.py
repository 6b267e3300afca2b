"""sources list, show and test: what would become of a captured request, and what is wrong with it."""

import base64
import gzip
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram

from longstop.model.diagnosis import why_not_verified
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import bears_proof, sign

Capture = pytest.CaptureFixture[str]

SECRET = "a-secret-of-many-characters"
TEXT = f"""\
[sources.hub]
kind = "github"
secrets = ["{SECRET}"]
allow = ["203.0.113.0/24"]

[sources.pay]
kind = "stripe"
secrets = ["{SECRET}", "another"]

[sources.any]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Sig", encoding = "base64", prefix = "sha256=" }}
secrets = ["{SECRET}"]
dedup = "id"
type = "kind"
key = "conversation"
required_headers = ["X-Tenant"]
content_types = ["application/json"]
max_body = "1KB"
challenge = {{ query = "hub.challenge" }}

[sources.chat]
kind = "slack"
secrets = ["{SECRET}"]

[destinations.crm]
url = "http://127.0.0.1:9/"
allow_private = true

[[routes]]
from = "any"
when = "wanted"
to = ["crm"]
"""
BODY = b'{"id": "e1", "kind": "call.ended", "conversation": "c1", "wanted": true}\n'
ANY = VerifySettings("hmac-sha256", "X-Sig", "base64", "sha256=")
PAY = SourceSettings("pay", "stripe", (SECRET,))


def signature(body: bytes = BODY, encoding: str = "base64", secret: str = SECRET) -> str:
    digest = hmac.digest(secret.encode(), body, "sha256")
    return "sha256=" + (digest.hex() if encoding == "hex" else base64.b64encode(digest).decode())


def raw(body: bytes = BODY, *headers: str, target: str = "/webhooks/any", method: str = "POST") -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: here.example", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


JSON, TENANT = "Content-Type: application/json; charset=utf-8", "X-Tenant: t1"


def judged(capsys: Capture, tmp_path: Path, name: str, data: bytes, *options: str) -> tuple[int, dict[str, Any]]:
    file = tmp_path / "captured"
    file.write_bytes(data)
    status = FakeProgram(TEXT).cli("sources", "test", name, str(file), "--json", *options)
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    return status, json.loads(shown.out)


def problems(capsys: Capture, tmp_path: Path, name: str, data: bytes, *options: str) -> list[str]:
    status, row = judged(capsys, tmp_path, name, data, *options)
    assert (status, row["verdict"]) == (1, "refused")
    found: list[str] = row["problems"]
    return found


ACCEPTED = {
    "verdict": "accepted",
    "status": 200,
    "type": "call.ended",
    "key": "c1",
    "dedup": "e1",
    "occurred_at": None,
    "destinations": ["crm"],
    "routes": [{"to": ["crm"], "when": "wanted", "matched": True, "sees": {}, "of_body": []}],
    "problems": [],
}


def test_a_raw_request_that_would_be_accepted(capsys: Capture, tmp_path: Path) -> None:
    data = raw(BODY, JSON, TENANT, f"X-Sig: {signature()}")
    assert judged(capsys, tmp_path, "any", data) == (0, ACCEPTED)
    # An editor's line break at the file's end is no part of the request.
    assert judged(capsys, tmp_path, "any", data + b"\n") == (0, ACCEPTED)


def test_a_body_with_its_headers_beside_it(capsys: Capture, tmp_path: Path) -> None:
    options = [word for header in (JSON, TENANT, f"X-Sig: {signature()}") for word in ("--header", header)]
    assert judged(capsys, tmp_path, "any", BODY, *options) == (0, ACCEPTED)


def test_chunks_are_put_together_and_gzip_is_looked_into(capsys: Capture, tmp_path: Path) -> None:
    packed = gzip.compress(BODY, mtime=0)
    head = raw(b"", JSON, TENANT, "Content-Encoding: gzip", f"X-Sig: {signature(packed)}").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    chunks = b"5;x=y\r\n" + packed[:5] + b"\r\n" + f"{len(packed) - 5:x}\r\n".encode() + packed[5:] + b"\r\n0\r\n\r\n"
    assert judged(capsys, tmp_path, "any", head + chunks) == (0, ACCEPTED)


@pytest.mark.parametrize(
    ("body", "sent", "said"),
    [
        (BODY, signature(BODY.rstrip()), "the signature is right if the body's trailing newline is removed"),
        (BODY.rstrip(), signature(BODY), "the signature is right if a newline is added at the body's end"),
        (b"a\r\nb", signature(b"a\nb"), "the signature is right if the body's CR LF are LF"),
        (b'{ "a": "\xc3\xa9" }', signature(b'{"a":"\xc3\xa9"}'),
         "the signature is right if the body is JSON without spaces: it was written anew"),
        (BODY, signature(BODY, "hex"), "header X-Sig is right, but is hex where base64 is expected"),
        (BODY, signature().removeprefix("sha256="), "header X-Sig is right, but lacks sha256= at its start"),
        (BODY, f'"{signature()}"', "header X-Sig is right, but stands in quotation marks"),
        (BODY, signature(secret="wrong"), "what header X-Sig proves does not fit the secret and this body"),
    ],
)  # fmt: skip
def test_why_a_signature_differs(body: bytes, sent: str, said: str, capsys: Capture, tmp_path: Path) -> None:
    assert problems(capsys, tmp_path, "any", raw(body, JSON, TENANT, f"X-Sig: {sent}"))[0] == said


def test_base64_where_hex_is_expected(capsys: Capture, tmp_path: Path) -> None:
    found = problems(capsys, tmp_path, "hub", raw(BODY, f"X-Hub-Signature-256: {signature()}"))
    assert found == ["header X-Hub-Signature-256 is right, but is base64 where hex is expected"]


def test_a_signature_under_another_name_or_with_another_digest(capsys: Capture, tmp_path: Path) -> None:
    elsewhere = problems(capsys, tmp_path, "any", raw(BODY, JSON, TENANT, f"X-Signature: {signature()}"))
    assert elsewhere == ["header X-Sig is missing; what it should carry is in header X-Signature"]
    sha1 = hmac.new(SECRET.encode(), BODY, "sha1").hexdigest()
    found = problems(capsys, tmp_path, "hub", raw(BODY, f"X-Hub-Signature-256: sha1={sha1}"))
    assert found == ["header X-Hub-Signature-256 is signed with hmac-sha1, and the source expects hmac-sha256"]


def test_a_header_full_of_numbers_is_not_tried_as_a_thousand_times() -> None:
    tried = 0

    def verifies(_request: Request, _now_ms: int) -> bool:
        nonlocal tried
        tried += 1
        return False

    numbers = " ".join(str(1_700_000_000 + number) for number in range(1_000))
    why_not_verified(PAY, verifies, Request(Headers([("Stripe-Signature", numbers)]), b"{}"), NOW_MS)
    assert 0 < tried < 100


def test_the_names_of_a_family_are_those_that_came() -> None:
    settings = SourceSettings("std", "standard-webhooks", ("whsec_c2VjcmV0",))
    sent = Request(Headers([("svix-id", "m"), ("svix-timestamp", "1"), ("svix-signature", "v1,AA==")]), b"{}")
    assert bears_proof(settings, sent.headers)
    (said, _) = why_not_verified(settings, lambda *_: False, sent, NOW_MS)
    assert said.startswith("what header svix-id and svix-timestamp and svix-signature proves does not fit")
    (first, *_) = why_not_verified(settings, lambda *_: False, Request(Headers(), b"{}"), NOW_MS)
    assert first == "header webhook-id is missing"


def test_each_missing_header_is_named(capsys: Capture, tmp_path: Path) -> None:
    assert problems(capsys, tmp_path, "any", raw(BODY, JSON)) == [
        "header X-Tenant is missing, and `required_headers` names it",
        "header X-Sig is missing",
    ]
    only = problems(capsys, tmp_path, "any", raw(BODY, JSON, f"X-Sig: {signature()}"))
    assert only == ["header X-Tenant is missing, and `required_headers` names it"]
    twice = raw(BODY, JSON, TENANT, f"X-Sig: {signature()}", f"X-Sig: {signature()}")
    assert problems(capsys, tmp_path, "any", twice) == ["header X-Sig comes 2 times; expected once"]


def test_a_time_that_is_off_is_told_by_how_much(capsys: Capture, tmp_path: Path) -> None:
    body = b'{"id":"evt_1"}'
    ((name, value),) = sign(PAY, body, NOW_MS - 4_000_000)
    data = raw(body, f"{name}: {value}")
    (said,) = problems(capsys, tmp_path, "pay", data)
    assert said.startswith("the signature is right, and its time is 4000 s in the past")
    status, row = judged(capsys, tmp_path, "pay", data, "--at", "4000s")
    assert (status, row["dedup"]) == (0, "evt_1")
    late_and_changed = problems(capsys, tmp_path, "pay", raw(body + b"\n", f"{name}: {value}"))
    assert late_and_changed[1] == "the signature is right if the body's trailing newline is removed"


def test_none_of_several_secrets(capsys: Capture, tmp_path: Path) -> None:
    ((name, value),) = sign(SourceSettings("pay", "stripe", ("wrong",)), b"{}", NOW_MS)
    assert "any of the 2 secrets" in problems(capsys, tmp_path, "pay", raw(b"{}", f"{name}: {value}"))[0]


def test_addresses(capsys: Capture, tmp_path: Path) -> None:
    body = b'{"zen": "x"}'
    data = raw(body, "X-Hub-Signature-256: sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest())
    (said,) = problems(capsys, tmp_path, "hub", data)
    assert said == "the address it came from, not known, is in no network of `allow`"
    status, row = judged(capsys, tmp_path, "hub", data, "--client", "198.51.100.7")
    assert (status, row["status"]) == (1, 403)
    for inside in ("203.0.113.9", "::ffff:203.0.113.9"):
        assert judged(capsys, tmp_path, "hub", data, "--client", inside)[0] == 0


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (raw(b"x" * 1001), 413, "the body is 1001 bytes; the source's `max_body` is 1000"),
        (raw(b"", method="PUT"), 405, "found the method PUT; expected GET or POST"),
        (raw(BODY, target="/webhooks/any/below"), 404, "the source has no path '/below' below its own"),
        (raw(b"", method="GET"), 401, "it asks for no challenge that the source answers by GET"),
    ],
)
def test_what_no_source_is_asked_about(data: bytes, status: int, said: str, capsys: Capture, tmp_path: Path) -> None:
    found = judged(capsys, tmp_path, "any", data)[1]
    assert (found["verdict"], found["status"], found["problems"]) == ("refused", status, [said])


def test_what_would_go_to_quarantine(capsys: Capture, tmp_path: Path) -> None:
    for body, kind, said in (
        (b"not json", "application/json", "bytes that are no JSON"),
        (b"{}", "text/plain", "another Content-Type; expected application/json"),
    ):
        data = raw(body, f"Content-Type: {kind}", TENANT, f"X-Sig: {signature(body)}")
        status, row = judged(capsys, tmp_path, "any", data)
        assert (status, row["verdict"], row["status"]) == (1, "quarantined", 400)
        assert said in row["problems"][0]


def test_challenges_are_answered(capsys: Capture, tmp_path: Path) -> None:
    data = raw(b"", method="GET", target="/webhooks/any?hub.challenge=abc")
    assert judged(capsys, tmp_path, "any", data)[1]["verdict"] == "answered"


def test_what_conditions_see_is_shown(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "captured"
    file.write_bytes(raw(BODY, JSON, TENANT, f"X-Sig: {signature()}"))
    text = TEXT.replace('when = "wanted"', """when = "type == 'call.ended' && source != 'any'\"""")
    assert FakeProgram(text).cli("sources", "test", "any", str(file)) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  when")]
    assert line == (
        "  when   type == 'call.ended' && source != 'any'  → crm: no; "
        'source is "any", of the event; type is "call.ended", of the event'
    )


def test_for_people(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "captured"
    file.write_bytes(raw(BODY, JSON, TENANT, f"X-Sig: {signature()}"))
    assert FakeProgram(TEXT).cli("sources", "test", "any", str(file)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "accepted (HTTP 200)",
        "  type   call.ended",
        "  key    c1",
        "  dedup  e1",
        "  to     crm",
        "  when   wanted  → crm: yes",
    ]


def test_list_and_show_hold_no_secret(capsys: Capture) -> None:
    program = FakeProgram(TEXT)
    assert program.cli("sources", "list", "--json") == 0
    listed = capsys.readouterr().out
    rows = [json.loads(line) for line in listed.splitlines()]
    assert rows[2] == {
        "name": "any", "kind": "generic", "verified": "hmac-sha256", "path": "/webhooks/any", "to": ["crm"],
        "refused": {}, "refused_since": None, "held": 0,
    }  # fmt: skip
    assert program.cli("sources", "list", "--limit", "3") == 0
    assert capsys.readouterr().err == "1 more; --limit 4 shows all.\n"
    assert [row["verified"] for row in rows] == ["hmac-sha256", "hmac-sha256", "hmac-sha256", "hmac-sha256"]
    assert program.cli("sources", "show", "any", "--json") == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["secrets"] == 1
    assert program.cli("sources", "list") == program.cli("sources", "show", "chat") == 0
    assert SECRET not in listed + shown + capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "data", "status", "said"),
    [
        (["nobody"], b"", 1, 'found no source "nobody" in the configuration; expected one of: hub, pay, any, chat'),
        (["any", "--header", "X-Sig"], b"", 2, '--header: found "X-Sig"'),
        (["any", "--at", "soon"], b"", 2, '--at: found "soon"'),
        (["any"], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", 1, "found 3 bytes of body"),
        (["any"], b"POST / HTTP/1.1\r\nno header\r\n\r\n", 1, "a line that is no header"),
    ],
)
def test_wrong_ways_to_ask(
    argv: list[str], data: bytes, status: int, said: str, capsys: Capture, tmp_path: Path
) -> None:
    file = tmp_path / "captured"
    file.write_bytes(data)
    name, *options = argv
    assert FakeProgram(TEXT).cli("sources", "test", name, str(file), *options) == status
    assert said in capsys.readouterr().err

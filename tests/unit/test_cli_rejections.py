"""sources rejections, sources release, and what list, status and test say of refused requests."""

import asyncio
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram

from longstop.model.credentials import NOT_KEPT
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.listing import EventFilter, Page
from longstop.model.rejection import UNKNOWN, HeldRequest, HoldSettings, Rejection, RejectionCount, RejectionReason
from longstop.testing.builders import AT_MS, event_id

Capture = pytest.CaptureFixture[str]
SECRET = "a-secret-of-many-characters"
TEXT = f"""\
[sources.any]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Sig" }}
secrets = ["{SECRET}"]
on_unverified = "hold"

[sources.key]
kind = "generic"
verify = {{ scheme = "header", header = "X-Key" }}
secrets = ["{SECRET}"]
"""
BODY = b'{"id": 1}'
GOOD = Headers([("X-Sig", hmac.new(SECRET.encode(), BODY, "sha256").hexdigest())])
SAMPLE = Rejection(
    event_id(1), "any", AT_MS, RejectionReason.WRONG_PROOF, 401, ("it does not fit",),
    Request(GOOD, BODY, client="192.0.2.7"), len(BODY), True,
)  # fmt: skip
UNNAMED = replace(
    SAMPLE, id=event_id(2), source=UNKNOWN, reason=RejectionReason.UNKNOWN_SOURCE, asked="ani", nearest="any",
    problems=("no source has this name",), body_kept=False, request=Request(GOOD, b""),
)  # fmt: skip


def program(*samples: Rejection, held: int = 0) -> FakeProgram:
    made = FakeProgram(TEXT)
    counts = [
        RejectionCount("any", RejectionReason.WRONG_PROOF, 7, AT_MS, AT_MS + 1_000),
        RejectionCount(UNKNOWN, RejectionReason.UNKNOWN_SOURCE, 2, AT_MS, AT_MS),
    ]
    requests = [HeldRequest(event_id(number), "any", AT_MS, Request(GOOD, BODY)) for number in range(held)]

    async def keep() -> None:
        await made.store.record_rejections(counts if samples else [], samples)
        await made.store.hold(requests, {"any": HoldSettings()})

    asyncio.run(keep())
    return made


def rows(capsys: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_samples_of_a_source_and_those_of_unknown_names(capsys: Capture) -> None:
    made = program(SAMPLE, UNNAMED)
    assert made.cli("sources", "rejections", "any", "--json") == 0
    (row,) = rows(capsys)
    assert row == {
        "id": event_id(1), "source": "any", "at": "2026-01-01T00:00:00.000Z", "reason": "wrong_proof", "status": 401,
        "problems": ["it does not fit"], "client": "192.0.2.7", "method": "POST", "path": "", "query": "",
        "headers": [["X-Sig", GOOD.get("X-Sig")]], "body_bytes": 9, "body": '{"id": 1}', "asked": None, "nearest": None,
    }  # fmt: skip
    assert made.cli("sources", "rejections", "--unknown", "--json") == 0
    (row,) = rows(capsys)
    assert (row["source"], row["asked"], row["nearest"], row["body"]) == (None, "ani", "any", None)


def test_for_people_it_says_what_is_wrong_and_how_many_there_were(capsys: Capture) -> None:
    made = program(SAMPLE, UNNAMED)
    made.cli("sources", "rejections", "--unknown")
    shown = capsys.readouterr()
    assert 'posted to "ani"' in shown.out
    assert 'did you mean "any"?' in shown.out
    assert "2 refused since 2026-01-01 00:00:00Z, reason unknown_source." in shown.err
    assert program().cli("sources", "rejections", "any") == 0
    assert "Nothing was refused lately." in capsys.readouterr().err


@pytest.mark.parametrize("argv", [(), ("any", "--unknown"), ("any", "--limit", "0")])
def test_what_is_asked_for_has_to_be_clear(argv: tuple[str, ...]) -> None:
    assert program().cli("sources", "rejections", *argv) == 2
    assert program().cli("sources", "rejections", "nobody") == 1


def test_a_sample_is_tried_again_where_enough_of_it_is_kept(capsys: Capture) -> None:
    made = program(SAMPLE, UNNAMED)
    for id_ in (event_id(1), event_id(1)[-8:]):
        assert made.cli("sources", "test", "any", "--rejection", id_, "--json") == 0
        assert rows(capsys)[0]["verdict"] == "accepted"
    assert made.cli("sources", "test", "any", "--rejection", event_id(2), "--json") == 1
    (row,) = rows(capsys)
    assert row["problems"][0] == "no source has this name"
    assert "`keep_rejected_bodies = true` on source any keeps those to come" in row["problems"][1]


def test_a_sample_whose_credential_is_gone_tells_what_was_found_out_then(capsys: Capture) -> None:
    bare = replace(SAMPLE, source="key", request=Request(Headers([("X-Key", NOT_KEPT)]), BODY))
    assert program(bare).cli("sources", "test", "key", "--rejection", event_id(1), "--json") == 1
    assert rows(capsys)[0]["problems"] == [
        "it does not fit", "the credential it showed was not kept, so it cannot be tried again",
    ]  # fmt: skip


def test_a_rejection_that_is_not_kept_and_options_that_do_not_go_together(capsys: Capture) -> None:
    made = program(SAMPLE)
    assert made.cli("sources", "test", "any", "--rejection", "nothing") == 1
    assert "`longstop sources rejections any` lists them" in capsys.readouterr().err
    assert made.cli("sources", "test", "any", "file", "--rejection", event_id(1)) == 2
    assert made.cli("sources", "test", "any") == 2
    assert "neither FILE nor --rejection" in capsys.readouterr().err


def test_status_and_the_list_of_sources_tell_of_them(capsys: Capture) -> None:
    made = program(SAMPLE, held=3)
    made.cli("sources", "list", "--json")
    row = rows(capsys)[0]
    assert (row["refused"], row["refused_since"], row["held"]) == ({"wrong_proof": 7}, "2026-01-01T00:00:00.000Z", 3)
    made.cli("sources", "list")
    assert "7 wrong_proof" in capsys.readouterr().out
    made.cli("status", "--json")
    (row,) = rows(capsys)
    assert row["refused"] == [
        {"source": None, "reason": "unknown_source", "requests": 2,
         "since": "2026-01-01T00:00:00.000Z", "last": "2026-01-01T00:00:00.000Z"},
        {"source": "any", "reason": "wrong_proof", "requests": 7,
         "since": "2026-01-01T00:00:00.000Z", "last": "2026-01-01T00:00:01.000Z"},
    ]  # fmt: skip
    assert [each["requests"] for each in row["held_requests"]] == [3]
    made.cli("status")
    told = capsys.readouterr().out
    assert "refused         unknown names: 2 unknown_source since" in told
    assert "held requests   any: 3 since" in told


def test_sources_are_listed_where_there_is_no_store_and_none_is_made(capsys: Capture) -> None:
    made = program(SAMPLE)
    made.has_store = lambda _: False  # type: ignore[method-assign]
    assert made.cli("sources", "list", "--json") == 0
    assert rows(capsys)[0]["refused"] == {}
    assert made.cli("sources", "test", "any", "--rejection", event_id(1)) == 1


def test_release_accepts_what_passes_and_a_dry_run_nothing(capsys: Capture) -> None:
    made = program(held=2)
    assert made.cli("sources", "release", "any", "--dry-run") == 0
    assert capsys.readouterr().out == "2 would be accepted; nothing was changed\n"
    assert asyncio.run(made.store.find_events(EventFilter(), Page())).rows == ()
    assert made.cli("sources", "release", "any", "--json") == 0
    assert rows(capsys) == [
        {"source": "any", "dry_run": False, "accepted": 2, "duplicates": 0, "quarantined": 0, "answered": 0, "left": 0,
         "problems": []}
    ]  # fmt: skip
    kept = asyncio.run(made.store.find_events(EventFilter(), Page())).rows
    assert [each.event.id for each in kept] == [event_id(1), event_id(0)]
    assert made.cli("sources", "release", "any") == 0
    assert capsys.readouterr().out == "0 accepted\n"
    assert made.cli("sources", "release", "nobody") == 1


def test_release_says_what_is_wrong_with_what_is_left(capsys: Capture) -> None:
    made = program()
    wrong = HeldRequest(event_id(1), "any", NOW_MS, Request(Headers([("X-Sig", "00")]), BODY))
    asyncio.run(made.store.hold([wrong], {"any": HoldSettings()}))
    assert made.cli("sources", "release", "any") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["0 accepted", "1 left: not proven by today's secrets; of the first:"]
    assert "does not fit the secret" in said[2]

"""A store with rows that cannot be read: the real program starts on it, does its work, and says which they are."""

import json

import apsw
import pytest

from acceptance.harness import ROUTES, Process, Site, wait_until

pytestmark = pytest.mark.sqlite_alone("it writes into SQLite's rows")
DAMAGES = {
    "deliveries": (
        "state = 'odd'",
        "reason = 'odd'",
        "wait = 'odd'",
        "round_at_ms = 'odd'",
        "due_at_ms = 'odd'",
        "key = CAST(x'ff41' AS TEXT)",
        "attempts = 1, tries = 'odd'",
        "state = 'leased', lease_until_ms = NULL",
        "state = 'leased', lease_until_ms = 'odd'",
        "state = 'leased', lease_until_ms = 1, worker = CAST(x'ff' AS TEXT)",
    ),
    "events": (
        "headers = x'92'",
        "headers = x'93a161'",
        "body = 'text'",
        "origin = 'odd'",
        "type = CAST(x'c328' AS TEXT)",
    ),
}
OTHERS = (
    "UPDATE counters SET n = 'odd' WHERE subject = 'events'",
    "INSERT INTO counters VALUES ('deliveries', 'crm', 'odd', 3, 0)",
    "INSERT INTO pauses VALUES ('gone', 'odd', 'me', NULL)",
    "INSERT INTO circuits VALUES ('gone', 'odd', 1, 1, 'why', 1, 0, 0, NULL)",
    "INSERT INTO circuits VALUES ('crm', 1, 'odd', 1, 'why', 1, 0, 0, NULL)",
    "INSERT INTO nodes (name, roles, version, started_at_ms, seen_at_ms) VALUES ('gone:1', 'ingest', '1', 1, 'odd')",
    "INSERT INTO rejection_counts VALUES ('shop', 'odd', 1, 1, 1)",
    "UPDATE rejections SET headers = x'92'",
    "UPDATE held_requests SET headers = x'92'",
    "INSERT INTO dead_groups (id, destination, reason, status, error, n) VALUES (77, 'crm', 'odd', 1, 'e', 4)",
    "INSERT INTO attempts (delivery_id, number, round, started_at_ms, duration_ms, outcome, answer) "
    "SELECT id, 9, 1, received_at_ms, 1, 'odd', x'' FROM deliveries",
    'INSERT INTO actions (delivery_id, "trigger", at_ms, "by") '
    "SELECT id, 'odd', received_at_ms, 'me' FROM deliveries",
    "INSERT INTO edits SELECT id, 'p', 'odd', 'me', NULL FROM events",
    "UPDATE dedup SET until_ms = 'odd'",
)
LISTINGS = (
    ("status",),
    ("events", "list"),
    ("dead", "list"),
    ("dead", "summary"),
    ("sources", "list"),
    ("sources", "show", "shop"),
    ("sources", "rejections", "shop"),
    ("sources", "release", "held"),
    ("replay", "--destination", "crm", "--dry-run"),
    ("discard", "--destination", "crm", "--why", "gone", "--dry-run"),
    ("purge", "--dry-run"),
)


def body(number: int) -> bytes:
    return json.dumps({"id": f"order-{number}", "customer": f"c-{number}"}).encode()


def damage(site: Site, statements: list[str]) -> None:
    connection = apsw.Connection(str(site.folder / "longstop.db"))
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.fixture
def damaged(site: Site) -> dict[str, str]:
    """A store that another program wrote into, while nobody delivered: each damage, and the event that it befell."""
    hold = '[sources.held]\nkind = "generic"\nverify = { scheme = "bearer" }\nsecrets = ["${BEARER_TOKEN}"]\n'
    site.configure(routes=ROUTES, more=hold + 'on_unverified = "hold"\n')
    accepting = site.start("ingest").ready()
    assert site.post("shop", body(0), {"X-Signature": "sha256=00"}).status == 401
    assert site.post("anything", body(0), {}).status == 401
    assert site.request("POST", "/webhooks/held", body(0), {"Authorization": "Bearer other"}).status == 401
    found, statements = {}, list(OTHERS)
    for table, changes in DAMAGES.items():
        for change in changes:
            id_ = found[f"{table}: {change}"] = site.accept("shop", body(len(found) + 1))
            column = "id" if table == "events" else "event_id"
            statements.append(f"UPDATE {table} SET {change} WHERE {column} = '{id_}'")
    accepting.stop()
    damage(site, statements)
    return found


def events_of(program: Process, *names: str) -> list[dict[str, str]]:
    return [line for line in program.log if line["event"] in names]


def test_the_gateway_delivers_all_that_can_be_read(site: Site, damaged: dict[str, str]) -> None:
    program = site.serve()
    site.destination.wait_for(site.accept("shop", body(1000)))
    # Whose lease is until no time is tried again; the others are parked, and their row says why.
    back = damaged.pop("deliveries: state = 'leased', lease_until_ms = NULL")
    site.destination.wait_for(back)

    def named() -> bool:
        return {each["event_id"] for each in events_of(program, "delivery_unreadable")} == set(damaged.values())

    wait_until(named, "all that cannot be read to be parked")
    assert len(events_of(program, "delivery_unreadable")) == len(damaged), "each of them once"
    assert events_of(program, "failed", "store_away", "attempt_failed") == []
    dead = {row["event_id"]: row for row in site.ask("dead", "list", "--limit", "100").rows}
    assert set(damaged.values()) <= set(dead)
    assert {row["reason"] for row in dead.values()} == {"malformed"}
    # What was only the delivery's is mended by that: a person sends it again.
    again = damaged["deliveries: wait = 'odd'"]
    assert site.cli("replay", again).exit == 0
    site.destination.wait_for(again)
    # And what the event itself has lost stays where it is, without a loop.
    assert site.cli("replay", damaged["events: headers = x'92'"]).exit != 2
    site.destination.wait_for(site.accept("shop", body(1001)))
    program.stop()
    second = site.serve()
    site.destination.wait_for(site.accept("shop", body(1002)))
    second.stop()


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_a_listing_goes_on_and_says_which_row(words: tuple[str, ...], site: Site) -> None:
    ran = site.cli(*words, "--json")
    assert ran.exit == 0, ran.err
    assert all(isinstance(row, dict) for row in ran.rows)
    assert "Traceback" not in ran.err
    if words not in (("sources", "list"), ("sources", "show", "shop"), ("purge", "--dry-run")):
        assert "row_unreadable" in ran.err, ran.err


def test_who_asks_for_one_is_told_what_is_wrong(site: Site, damaged: dict[str, str]) -> None:
    for what, id_ in damaged.items():
        ran = site.cli("events", "show", id_, "--json")
        assert "Traceback" not in ran.err
        if what.startswith("events: "):
            assert ran.exit == 1
            assert "cannot be read" in ran.err
        else:
            assert ran.exit == 0, ran.err
            assert ran.row["id"] == id_
            assert "row_unreadable" in ran.err

"""What people are told of, as they see it: a POST to their hook, and of a circuit a number on the operators' side."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from acceptance.harness import Destination, Reply, Site, free_port, wait_until

TOKEN = "acceptance-token-of-the-hook"
BREAKER = 'breaker = {{ failures = 3, probe = "{probe}", probes = 1 }}\n'
ALERTS = """
[alerts]
url = "http://127.0.0.1:{port}/hook"
allow_private = true
timeout = "{timeout}"
headers = {{ Authorization = "Bearer {token}" }}
"""


@pytest.fixture
def hook() -> Iterator[Destination]:
    """Where alerts are posted to."""
    made = Destination(free_port())
    yield made
    made.close()


def configure(site: Site, hook: Destination, probe: str = "100ms", timeout: str = "5s") -> None:
    # As short as the backoff of an alert is long: a stop that waits for one is seen to.
    more = BREAKER.format(probe=probe) + ALERTS.format(port=hook.port, timeout=timeout, token=TOKEN)
    site.configure(more=more, stop_timeout="1s")


def post_orders(site: Site, count: int) -> list[str]:
    return [site.accept("shop", json.dumps({"id": f"order-{n}", "customer": f"c-{n}"}).encode()) for n in range(count)]


def alerts(hook: Destination, count: int) -> list[Any]:
    """What the hook got, when it has got so many. One that a kill came between to is sent again, under its id."""
    wait_until(lambda: len(_by_id(hook)) >= count, f"{count} alerts to arrive")
    return list(_by_id(hook).values())


def _by_id(hook: Destination) -> dict[str, Any]:
    told = [json.loads(arrival.body) for arrival in list(hook.arrivals)]
    return {each["id"]: each for each in told}


def metric(site: Site, name: str, **labels: str) -> float:
    """The one sample that has this name and these labels."""
    families = text_string_to_metric_families(site.look("/metrics").body.decode())
    found = [sample for family in families for sample in family.samples]
    (value,) = [sample.value for sample in found if (sample.name, sample.labels) == (name, labels)]
    return float(value)


def is_open(site: Site) -> float:
    return metric(site, "longstop_circuit_open", destination="crm")


def changes(site: Site, change: str) -> float:
    return metric(site, "longstop_circuit_changes_total", destination="crm", change=change)


def test_an_outage_is_told_when_it_begins_and_when_it_is_over(site: Site, hook: Destination) -> None:
    configure(site, hook)
    program = site.serve()
    assert (is_open(site), changes(site, "opened"), changes(site, "closed")) == (0, 0, 0)
    site.destination.down()
    ids = post_orders(site, 10)
    (opened,) = alerts(hook, 1)
    assert (is_open(site), changes(site, "opened"), changes(site, "closed")) == (1, 1, 0)
    site.destination.up()
    _, closed = alerts(hook, 2)
    for id_ in ids:
        site.destination.wait_for(id_)
    assert (is_open(site), changes(site, "opened"), changes(site, "closed")) == (0, 1, 1)
    assert (
        opened.items()
        >= {
            "alert": "circuit_opened",
            "destination": "crm",
            "why": "3 events in a row failed, 3 of them without an answer",
            "status": "firing",
            "severity": "error",
        }.items()
    )
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", opened["at"])
    assert (closed["alert"], closed["destination"], closed["at"] > opened["at"]) == ("circuit_closed", "crm", True)
    assert closed["open_s"] > 0
    assert "crm" in opened["text"]
    assert "crm" in closed["text"]
    program.stop()
    assert len(hook.arrivals) == 2
    assert {arrival.headers["authorization"] for arrival in hook.arrivals} == {f"Bearer {TOKEN}"}
    assert {arrival.headers["content-type"] for arrival in hook.arrivals} == {"application/json"}
    assert TOKEN not in program.err


def test_an_open_circuit_outlives_a_restart_and_who_resumes_it_is_told(site: Site, hook: Destination) -> None:
    configure(site, hook, probe="10m")
    program = site.serve()
    site.destination.down()
    ids = post_orders(site, 3)
    alerts(hook, 1)
    program.kill()
    site.serve()
    wait_until(lambda: is_open(site) == 1, "the restarted worker to see the open circuit")
    assert changes(site, "opened") == 0
    site.destination.up()
    assert site.ask("resume", "crm").row["changed"] is True
    _, closed = alerts(hook, 2)
    assert (closed["alert"], closed["why"]) == ("circuit_closed", "tester resumed it")
    for id_ in ids:
        site.destination.wait_for(id_)
    wait_until(lambda: is_open(site) == 0, "the worker to see that the circuit was closed")
    assert len(_by_id(hook)) == 2


@pytest.mark.parametrize("kind", ["hangs", "is down"])
def test_a_hook_that_does_not_answer_delays_neither_deliveries_nor_the_stop(
    kind: str, site: Site, hook: Destination
) -> None:
    # Were it waited for, it would be for longer than any wait of a test.
    configure(site, hook, timeout="10m")
    hook.script = lambda _arrival: Reply(hold=True)
    if kind == "is down":
        hook.down()
    program = site.serve()
    site.destination.down()
    ids = post_orders(site, 10)
    wait_until(lambda: is_open(site) == 1, "the circuit to open")
    site.destination.up()
    for id_ in ids:
        site.destination.wait_for(id_)
    wait_until(lambda: is_open(site) == 0, "the circuit to close")
    program.stop()
    kept = site.ask("events", "list", "--source", "longstop", "--oldest-first").rows
    assert [row["type"] for row in kept] == ["circuit.firing", "circuit.resolved"]


def test_what_could_not_be_told_is_told_after_the_next_start(site: Site, hook: Destination) -> None:
    configure(site, hook)
    hook.down()
    program = site.serve()
    site.destination.down()
    ids = post_orders(site, 10)
    wait_until(lambda: is_open(site) == 1, "the circuit to open")
    wait_until(lambda: bool(site.ask("events", "list", "--source", "longstop").rows), "the alert to be in the queue")
    program.kill()
    hook.up()
    site.destination.up()
    site.serve()
    told = alerts(hook, 2)
    assert [each["alert"] for each in told] == ["circuit_opened", "circuit_closed"], "in this order"
    for id_ in ids:
        site.destination.wait_for(id_)


def test_a_channel_is_tested_from_the_command_line(site: Site, hook: Destination) -> None:
    configure(site, hook)
    site.serve()
    row = site.ask("alerts", "test").row
    assert (row["channel"], row["state"]) == ("url", "delivered")
    (told,) = alerts(hook, 1)
    assert (told["kind"], told["severity"]) == ("test", "info")


@pytest.mark.sqlite_alone("it takes away the folder that SQLite's file is in")
@pytest.mark.parametrize("role", ["serve", "ingest"])
def test_that_the_store_is_away_is_told_while_it_is(site: Site, hook: Destination, role: str) -> None:
    configure(site, hook)
    url, far = 'url = "sqlite:///longstop.db"', site.folder / "far"
    spooled = 'url = "sqlite:///far/longstop.db"\nspool = "sqlite:///spool.db"'
    site.config.write_text(site.config.read_text().replace(url, spooled))
    far.mkdir()
    program = site.start(role).ready()
    far.rename(site.folder / "elsewhere")
    ids = post_orders(site, 3)
    (firing,) = alerts(hook, 1)
    assert (firing["alert"], firing["status"], firing["severity"]) == ("spool", "firing", "critical")
    assert firing["facts"]["events"] <= len(ids)
    assert not far.exists(), "it was told while the store was away"
    program.stop()

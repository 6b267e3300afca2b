"""What is said of the metrics, held to the metrics of a gateway that did each thing once: the page that lists them,
the dashboard, the alert rules, and what Prometheus' own tool says of all of them.
"""

import asyncio
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from longstop import Event, Longstop, Reject
from longstop.telemetry.families import SERIES_MAX

ROOT = Path(__file__).parents[2]
RULES, RULE_TESTS = (ROOT / "deploy/prometheus" / name for name in ("longstop.rules.yml", "longstop.rules.test.yml"))
DASHBOARD = ROOT / "deploy/grafana/longstop.json"
SECRET = "a-secret-of-the-tests"
CONFIG = f"""
[store]
url = "sqlite:///store.db"
spool = "sqlite:///spool.db"
[sources.shop]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature" }}
secrets = ["made:{SECRET}"]
dedup = "id"
on_unverified = "hold"
[destinations.crm]
retry = {{ attempts = 2, first = "10ms" }}
breaker = {{ failures = 3 }}
[[routes]]
from = "shop"
when = "to == 'crm'"
to = ["crm"]
"""


class Family(NamedTuple):
    """A family of metrics as it is told."""

    type: str
    labels: frozenset[str]


def families(text: str) -> Mapping[str, Family]:
    """By the name that is in queries: a counter's with `_total`."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {key for sample in family.samples for key in sample.labels} - {"le"}
        found[name] = Family(family.type, frozenset(labels))
    return found


async def post(client: httpx.AsyncClient, document: object, secret: str = f"made:{SECRET}") -> int:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    proof = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return (await client.post("/webhooks/shop", content=body, headers={"X-Signature": proof})).status_code


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def text(tmp_path: Path) -> AsyncIterator[str]:
    """The metrics of a gateway in which each thing has happened once."""
    (tmp_path / "longstop.toml").write_text(CONFIG)
    gateway = Longstop(tmp_path / "longstop.toml")

    @gateway.handler("crm")
    async def handle(event: Event) -> None:
        match event.json()["do"]:
            case "reject":
                raise Reject("no")
            case "fail":
                raise RuntimeError("down")

    app = FastAPI(lifespan=gateway.lifespan)
    app.mount("/webhooks", gateway.ingest)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        for document in (
            {"id": 1, "to": "crm", "do": "work"},
            {"id": 1},
            {"id": 2},
            {"id": 3, "to": "crm", "do": "reject"},
        ):
            assert await post(client, document) == 200
        assert await post(client, b"\xff no JSON") == 400
        assert await post(client, {"id": 4}, "another secret") == 401
        for number in range(5, 8):
            assert await post(client, {"id": number, "to": "crm", "do": "fail"}) == 200

        async def happened() -> bool:
            told = (await gateway.metrics()).decode()
            return all(
                line in told
                for line in (
                    'longstop_deliveries_delivered_total{destination="crm",source="shop"} 1.0',
                    'reason="rejected",source="shop"} 1.0',
                    'longstop_circuit_open{destination="crm"} 1.0',
                    'longstop_circuit_changes_total{change="opened",destination="crm"} 1.0',
                )
            )

        await until(happened)
        (dead, *_) = [each for each in (await gateway.find()).rows if each.state == "dead" and each.destination]
        await gateway.replay(dead.id, "ada")
        gateway._running().metrics.watch_process()
        yield (await gateway.metrics()).decode()


def samples(text: str) -> dict[str, float]:
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line and not line.startswith("#")
    }


async def test_each_thing_is_counted(text: str) -> None:
    found = samples(text)
    expected = {
        'longstop_events_accepted_total{source="shop"}': 6,
        'longstop_events_duplicate_total{source="shop"}': 1,
        'longstop_events_quarantined_total{source="shop"}': 1,
        'longstop_events_unrouted_total{source="shop"}': 1,
        'longstop_events_refused_total{reason="wrong_proof",source="shop"}': 1,
        'longstop_deliveries_delivered_total{destination="crm",source="shop"}': 1,
        'longstop_deliveries_dead_total{destination="crm",reason="rejected",source="shop"}': 1,
        'longstop_attempts_total{destination="crm",outcome="success"}': 1,
        'longstop_delivery_latency_seconds_count{destination="crm"}': 1,
        'longstop_actions_total{action="replay"}': 1,
        'longstop_circuit_changes_total{change="opened",destination="crm"}': 1,
        'longstop_store_events{source="shop"}': 7,
        "longstop_store_up": 1,
        "longstop_ready": 1,
        "longstop_accepting": 1,
        'longstop_nodes{role="work"}': 1,
    }
    assert {name: found[name] for name in expected} == expected
    assert found['longstop_attempts_total{destination="crm",outcome="retry"}'] >= 3
    assert found["longstop_disk_free_bytes"] > 0
    commits = found['longstop_group_commit_size_count{operation="append"}']
    assert commits == found['longstop_store_operation_duration_seconds_count{operation="append"}'] > 0


async def test_the_page_lists_every_metric_and_no_other(text: str) -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(longstop_\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    documented = {name: Family(kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == {name: each for name, each in families(text).items() if name.startswith("longstop_")}
    assert f"{SERIES_MAX:,} series" in page


async def test_the_text_parses_and_promtool_finds_nothing_wrong(text: str) -> None:
    assert len(families(text)) > 25
    told = promtool("check", "metrics", given=text)
    assert (told.returncode, told.stdout) == (0, ""), told.stdout


# -- what asks for them -----------------------------------------------------------------------------

NAME = re.compile(r"\b((?:longstop|process)_[a-z_]+)\b(?:\{([^}]*)\})?")
BY = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
OF_PROMETHEUS = {"instance", "le"}


def unknown(expression: str, told: Mapping[str, Family]) -> Iterable[str]:
    """What a query asks for that is not there: names of metrics, labels of each, labels to group by."""
    labels: set[str] = set(OF_PROMETHEUS)
    for name, matchers in NAME.findall(expression):
        family = told.get(name) or told.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if family is None or (family.type == "histogram" and name in told):
            yield name
            continue
        labels |= family.labels
        yield from (f"{name}: {each}" for each in re.findall(r"(\w+)\s*[=!]~?", matchers) if each not in family.labels)
    for group in BY.findall(expression):
        yield from (f"by {each}" for each in re.findall(r"\w+", group) if each not in labels)


def test_a_query_that_asks_for_what_is_not_there_is_found() -> None:
    told = {
        "longstop_a_total": Family("counter", frozenset({"source"})),
        "longstop_h": Family("histogram", frozenset()),
    }
    assert list(unknown('sum by (source) (rate(longstop_a_total{source="x"}[5m]))', told)) == []
    assert list(unknown("rate(longstop_h_bucket[5m]) by (le)", told)) == []
    wrong = 'longstop_a{} + longstop_h + longstop_a_total{reason="x"} + sum by (kind) (longstop_a_total)'
    assert list(unknown(wrong, told)) == ["longstop_a", "longstop_h", "longstop_a_total: reason", "by kind"]


async def test_the_dashboard_asks_for_what_is_there(text: str) -> None:
    board, told = json.loads(DASHBOARD.read_text()), families(text)
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [each["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    assert len(queries) > 20
    assert {query: wrong for query in queries if (wrong := list(unknown(query, told)))} == {}
    legends = [
        (set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])), target["expr"])
        for panel in board["panels"]
        for target in panel["targets"]
        if "legendFormat" in target
    ]
    for names, expression in legends:
        grouped = {each for group in BY.findall(expression) for each in re.findall(r"\w+", group)}
        assert names <= (grouped or OF_PROMETHEUS), expression


async def test_the_rules_ask_for_what_is_there(text: str) -> None:
    told = families(text)
    blocks = re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.*))", RULES.read_text())
    expressions = [several or one for several, one in blocks]
    assert len(expressions) == RULES.read_text().count("- alert:")
    assert {each: wrong for each in expressions if (wrong := list(unknown(each, told)))} == {}


def test_the_rules_are_rules_and_fire_when_they_should() -> None:
    told = promtool("check", "rules", RULES.name)
    assert told.returncode == 0, told.stdout + told.stderr
    told = promtool("test", "rules", RULE_TESTS.name)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_rule_is_tried_both_ways() -> None:
    """Once where it fires and once where all is well."""
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    tests = RULE_TESTS.read_text()
    quiet = re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", tests)
    fires = re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n", tests)
    assert (set(names) - set(quiet), set(names) - set(fires)) == (set(), set())


def promtool(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What Prometheus' own tool says. Where it is not installed, the test is skipped; in CI it fails."""
    if shutil.which("promtool") is None:
        reason = "not installed: promtool (Debian has it in the package prometheus)"
        pytest.fail(reason) if os.environ.get("LONGSTOP_CI") else pytest.skip(reason)
    return subprocess.run(
        ["promtool", *arguments], cwd=RULES.parent, input=given, text=True, capture_output=True, timeout=60, check=False
    )

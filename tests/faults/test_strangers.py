"""Strangers and bad neighbours beside a quiet source: what they send delays it by little, and fills no memory.

Each attack is a run against the real program, on a core of its own where there are two. All bounds are ratios to the
same gateway's calm just before, with floors, so that a slow machine is no failure.
"""

import os

import pytest

from acceptance.harness import Site, free_port
from faults.quiet import Seen, beside, pinned
from faults.strangers import ATTACKS

SECONDS = float(os.environ.get("STRANGERS_SECONDS", "2"))
P99_MS, WORST_MS = 50.0, 250.0
"""What no stranger may delay the quiet one by, wherever the machine is quick enough for it; else these ratios."""
TIMES_CALM = 15
GROWTH_MB = 120.0
HOLDS_MB = dict.fromkeys(("40 unfinished bodies", "30 slow bodies"), 330.0)
"""Bodies of all senders that are not there yet may hold this much together."""

BEARER = """
verify = { scheme = "bearer" }
secrets = ["${BEARER_TOKEN}"]
"""
SOURCES = f"""
[sources.quiet]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }}
secrets = ["${{HMAC_SECRET}}"]
dedup = "id"
[sources.loud]
kind = "generic"
dedup = "id"
{BEARER}
[sources.filtered]
kind = "generic"
{BEARER}
[sources.twilio]
kind = "twilio"
secrets = ["${{HMAC_SECRET}}"]
public_url = "https://hooks.example/webhooks/twilio"
[sources.slack]
kind = "slack"
secrets = ["${{HMAC_SECRET}}"]
[sources.byoc]
kind = "cxone-byoc"
client_id = "cxone"
secrets = ["${{HMAC_SECRET}}"]
[sources.standard]
kind = "standard-webhooks"
secrets = ["whsec_c2VjcmV0", "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]
[sources.stripe]
kind = "stripe"
secrets = ["${{HMAC_SECRET}}"]
"""
ROUTES = """
[[routes]]
from = "filtered"
when = "items[?a == `2`] | [0]"
to = ["crm"]
"""
HOSTILE = """
[alerts]
url = "http://127.0.0.1:{port}/alert"
allow_private = true
[destinations.closed]
url = "http://127.0.0.1:1/"
allow_private = true
breaker = {{ failures = 1 }}
[destinations.hostile]
url = "http://127.0.0.1:{port}/"
allow_private = true
breaker = {{ failures = 100 }}
[destinations.tokened]
url = "http://127.0.0.1:1/"
allow_private = true
breaker = {{ failures = 100 }}
[destinations.tokened.auth]
scheme = "oauth2-client-credentials"
token_url = "http://127.0.0.1:{port}/token"
client_id = "longstop"
client_secret = "${{BEARER_TOKEN}}"
"""
LEADS_TO = {"to-destination": "hostile", "to-token": "tokened", "to-alert": "closed"}
for _source, _destination in LEADS_TO.items():
    SOURCES += f'[sources.{_source}]\nkind = "generic"\n{BEARER}'
    ROUTES += f'[[routes]]\nfrom = "{_source}"\nto = ["{_destination}"]\n'


def held(seen: Seen) -> list[str]:
    """What of the bounds an attack broke."""
    calm, under = seen.calm, seen.under
    growth = HOLDS_MB.get(seen.attack, GROWTH_MB)
    bounds = {
        "p99 ms": (under.p99_ms, max(P99_MS, TIMES_CALM * calm.p99_ms)),
        "worst ms": (under.worst_ms, max(WORST_MS, TIMES_CALM * calm.worst_ms)),
        "events of the quiet one that were refused": (under.refused.total(), 0),
        "peak memory MB": (seen.grown_mb, growth),
        "descriptors left open": (seen.descriptors[1] - seen.descriptors[0], 3),
    }
    return [f"{name}: {found:.0f}, at most {bound:.0f}" for name, (found, bound) in bounds.items() if found > bound]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_quiet_one_is_hardly_delayed_and_memory_stays(
    name: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile_port = free_port()
    site.configure(routes=ROUTES, more=SOURCES + HOSTILE.format(port=hostile_port))
    with pinned(site):
        seen = beside(site, site.serve(), name, SECONDS, hostile_port)
    with capsys.disabled():
        print(f"\n{seen}")
    assert not held(seen), str(seen)

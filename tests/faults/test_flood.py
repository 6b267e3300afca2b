"""One source floods, another is quiet: every request of the quiet one is kept, the flood is told 429 or kept.

What it does to latency is measured by bench/flood.py; here nothing is timed.
"""

import concurrent.futures
from collections import Counter

from acceptance.harness import BEARER_TOKEN, Answer, Site

LOUD = """
[sources.loud]
kind = "generic"
verify = { scheme = "bearer" }
secrets = ["${BEARER_TOKEN}"]
rate = "1/s"
"""
FLOOD = 200
STRANGERS = 100
QUIET = 30


def test_the_quiet_source_is_served_while_another_floods(site: Site) -> None:
    site.configure(more=LOUD)
    process = site.start("ingest").ready()

    def loud(number: int) -> Answer:
        return site.post("loud", b'{"n": %d}' % number, {"Authorization": f"Bearer {BEARER_TOKEN}"})

    def stranger(number: int) -> Answer:
        return site.post("shop", b'{"id": "stranger-%d"}' % number, {"X-Signature": "sha256=" + "0" * 64})

    def quiet(number: int) -> Answer:
        return site.post("shop", b'{"id": "quiet-%d"}' % number)

    with concurrent.futures.ThreadPoolExecutor(32) as threads:
        floods = [threads.submit(loud, number) for number in range(FLOOD)]
        strangers = [threads.submit(stranger, number) for number in range(STRANGERS)]
        quiets = [threads.submit(quiet, number) for number in range(QUIET)]
    told = Counter(each.result().status for each in floods)
    assert {each.result().status for each in strangers} == {401}
    assert [each.result().json["status"] for each in quiets] == ["accepted"] * QUIET
    assert set(told) == {200, 429}
    assert told[429] > FLOOD / 2
    for answer in (each.result() for each in floods):
        assert answer.status == 200 or 1 <= int(answer.headers["retry-after"]) <= 60
    kept = Counter(row["source"] for row in site.ask("events", "list", "--limit", "1000").rows)
    assert kept == {"loud": told[200], "shop": QUIET}
    assert sum("over_rate" in line for line in process.err.splitlines()) == 1

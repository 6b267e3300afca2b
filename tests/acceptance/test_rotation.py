"""A secret is changed at the sender first: with `on_unverified = "hold"` nothing is lost, whatever is killed."""

import hashlib
import hmac
import sys
from typing import Any

from acceptance.harness import Site, wait_until

HELD = """
[sources.rotating]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature" }}
secrets = ["{secret}"]
dedup = "id"
on_unverified = "hold"
"""
ROUTES = '\n[[routes]]\nfrom = "rotating"\nto = ["crm"]\n'
NUMBER = 20
# Ends the program where it has accepted everything and let go of nothing.
KILLED = """
import os
from importlib import import_module
parts = import_module("longstop.wiring.parts")
make_store = parts.make_store
async def drop_held(*_):
    os._exit(9)
def make_deadly_store(settings):
    made = make_store(settings)
    made.drop_held = drop_held
    return made
parts.make_store = make_deadly_store
"""


def body_of(number: int) -> bytes:
    return b'{"id": "e-%d"}' % number


def post(site: Site, number: int, secret: str) -> int:
    body = body_of(number)
    return site.post(
        "rotating", body, {"X-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
    ).status


def held(site: Site) -> int:
    counts: list[Any] = site.ask("status").row["held_requests"]
    return sum(each["requests"] for each in counts)


def test_a_rotation_on_one_side_loses_nothing_and_delivers_nothing_twice(site: Site) -> None:
    site.configure(routes=ROUTES, more=HELD.format(secret="the-old-one"))
    process = site.serve()
    assert post(site, 0, "the-old-one") == 200
    assert {post(site, number, "the-new-one") for number in range(1, NUMBER)} == {401}
    wait_until(lambda: held(site) == NUMBER - 1, "the requests to be held")
    assert site.ask("sources", "release", "rotating").row["accepted"] == 0
    # The rest happens while the gateway that knows only the old secret goes on.
    site.configure(routes=ROUTES, more=HELD.format(secret="the-new-one"))
    tried = site.ask("sources", "release", "rotating", "--dry-run").row
    assert (tried["accepted"], tried["left"]) == (NUMBER - 1, 0)
    words = ["longstop", "sources", "release", "rotating", "--config", str(site.config)]
    program = f"{KILLED}\nimport sys\nsys.argv = {words!r}\nfrom longstop.__main__ import main\nsys.exit(main())"
    killed = site.run_in_background([sys.executable, "-c", program], "release")
    assert killed.wait() == 9
    assert held(site) == NUMBER - 1
    assert site.ask("sources", "release", "rotating").row["accepted"] == NUMBER - 1
    assert held(site) == 0
    wait_until(lambda: len(site.destination.arrivals) >= NUMBER, "everything to arrive")
    process.stop()
    assert sorted(each.body for each in site.destination.arrivals) == sorted(map(body_of, range(NUMBER)))
    times = [each["received_at"] for each in site.ask("events", "list", "--limit", "100").rows]
    assert times == sorted(times, reverse=True)

"""A payload that kills its worker: it is dead with reason `crashed` after so many deaths, and everything else goes on.

The real program with a handler that ends its process, in a process of its own and in the gateway's.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from acceptance.harness import Site, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc what still runs")

CRASHES = 3
OTHERS = 10
HANDLER = """
import os

def handle(event):
    with open("calls", "a") as calls:
        calls.write(f"{event.id} {os.getpid()}\\n")
    if event.type == "poison":
        os._exit(3)
"""
DESTINATION = """
[destinations.handled]
handler = "handlers_of_this_site:handle"
isolation = "{isolation}"
concurrency = {concurrency}
retry = {{ attempts = 2, first = "10ms", cap = "50ms", crashes = {crashes} }}
"""
ROUTES = '\n[[routes]]\nfrom = "shop"\nto = ["handled"]\n'


def prepare(site: Site, isolation: str, concurrency: int) -> None:
    """A destination whose handler dies of one type of event. Its `attempts` are fewer than its `crashes`."""
    (site.folder / "handlers_of_this_site.py").write_text(HANDLER)
    more = DESTINATION.format(isolation=isolation, concurrency=concurrency, crashes=CRASHES)
    # Whoever dies with the gateway is waited for until its lease ends. Where that does not die, none is to end.
    site.configure(routes=ROUTES, more=more, lease="2s" if isolation == "none" else "30s")


def post(site: Site, name: str, type_: str = "order") -> str:
    """An event's id, when it has been accepted."""
    return site.accept("shop", json.dumps({"id": name, "type": type_, "customer": name}).encode())


def post_all(site: Site) -> tuple[str, list[str]]:
    """Events with the poison amidst them; its id and the others'."""
    others = [post(site, f"before-{number}") for number in range(OTHERS // 2)]
    poison = post(site, "poison", "poison")
    return poison, others + [post(site, f"after-{number}") for number in range(OTHERS // 2)]


def attempts_of(site: Site, id_: str) -> list[Any]:
    """An event's attempts, as recorded."""
    (history,) = site.event(id_)["history"]
    attempts: list[Any] = history["attempts"]
    return attempts


def calls(site: Site) -> list[tuple[str, int]]:
    """Which event the handler was called with, in which process."""
    lines = (line.split() for line in (site.folder / "calls").read_text().splitlines())
    return [(id_, int(pid)) for id_, pid in lines]


def runs(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_in_a_process_of_its_own_only_the_attempt_dies(site: Site) -> None:
    prepare(site, "process", concurrency=4)
    gateway = site.serve()
    poison, others = post_all(site)
    dead = site.wait_for_state(poison, "dead")
    for id_ in others:
        site.wait_for_state(id_, "delivered")
    assert dead["reason"] == "crashed"
    told = [(each["outcome"], each["error"]) for each in attempts_of(site, poison)]
    assert told == [("crashed", "crashed: the handler's process ended with exit status 3")] * CRASHES
    called = calls(site)
    assert Counter(id_ for id_, _ in called) == {poison: CRASHES, **dict.fromkeys(others, 1)}
    assert gateway.popen.poll() is None, gateway.err
    assert gateway.popen.pid not in {pid for _, pid in called}
    gateway.stop()
    assert [pid for _, pid in called if runs(pid)] == []


def test_workers_do_not_outlive_a_killed_gateway(site: Site) -> None:
    prepare(site, "process", concurrency=4)
    gateway = site.serve()
    site.wait_for_state(post(site, "one"), "delivered")
    ((_, pid),) = calls(site)
    assert runs(pid)
    gateway.kill()
    wait_until(lambda: not runs(pid), "the worker to end with its gateway")


def test_in_the_gateways_process_it_is_parked_after_as_many_restarts(site: Site) -> None:
    # One at a time: what is under way beside the poison dies with it, and is counted with it.
    prepare(site, "none", concurrency=1)
    gateway = site.serve()
    # All are there before the first is delivered: so some are in front of the poison and some behind it.
    site.ask("pause", "handled", "--why", "until all are there")
    poison, others = post_all(site)
    site.ask("resume", "handled")
    for _ in range(CRASHES):
        assert gateway.wait() == 3, gateway.err
        gateway = site.start()
    assert site.wait_for_state(poison, "dead")["reason"] == "crashed"
    assert [each["outcome"] for each in attempts_of(site, poison)] == ["lost"] * CRASHES
    for id_ in others:
        site.wait_for_state(id_, "delivered")
    assert Counter(id_ for id_, _ in calls(site)) == {poison: CRASHES, **dict.fromkeys(others, 1)}
    gateway.ready().stop()

"""Many nodes on one store, any of them killed, stopped past its lease or cut off: nothing is lost or out of order.

One round of each in a few seconds; `ROUNDS=20` makes more.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import aws_server
import postgres_server
from acceptance.destination import Arrival, Reply
from acceptance.harness import PROOFS, Process, Site, free_port, wait_until
from faults.killing import Figures
from faults.many_nodes import Nodes, Senders, Try, out_of_order, run
from faults.namespaces import FAR, Servers, Wire, needs_namespaces
from redis_server import SAFE, RedisServer, binary
from stores_at_hand import CLOUD, PERSISTING, chosen

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", "20261128"))
START_S = 90.0
"""How long a node may take to start: several start at once."""
STORE = "10.79.0.2"
"""Where a node behind the wire finds the store, by a cable that leads nowhere else."""


@pytest.fixture
def sqlite() -> str:
    return "sqlite:///longstop.db"


@pytest.fixture
def postgresql(postgresql: postgres_server.PostgresServer) -> Iterator[str]:
    with postgresql.database() as url:
        yield f"{url}&durability=relaxed"


@pytest.fixture
def redis() -> Iterator[str]:
    if binary() is None:
        pytest.skip("no redis-server")
    with TemporaryDirectory(prefix="longstop-redis-") as folder:
        server = RedisServer(Path(folder), SAFE, port=free_port())
        server.start()
        yield f"redis://127.0.0.1:{server.port}"
        server.stop()


@pytest.fixture
def aws(aws_emulator: aws_server.AwsServer, aws_credentials: None) -> str:
    return aws_emulator.store()


@pytest.fixture
def nodes(site: Site, request: pytest.FixtureRequest) -> Nodes:
    """Nodes on the store that the parameter names."""
    return Nodes(site, request.getfixturevalue(request.param), SEED)


def nothing_is_wrong(nodes: Nodes, figures: Figures) -> None:
    assert figures.acknowledged > 50, "too little to say anything"
    nothing_was_settled_late(nodes)
    assert (figures.lost, figures.undelivered) == (0, 0)
    assert not figures.unexplained
    assert not out_of_order(nodes.site.destination.arrivals)


@pytest.mark.timeout(240 + 60 * ROUNDS)
@pytest.mark.parametrize("nodes", chosen((*PERSISTING, *CLOUD)), indirect=True)
def test_any_node_may_be_killed_or_stand_still(nodes: Nodes, capsys: pytest.CaptureFixture[str]) -> None:
    started = [nodes.start(role) for role in ("ingest", "ingest", "work", "work")]
    (one, _), (other, _), (first, _), (second, _) = [(node.ready(limit_s=START_S), port) for node, port in started]
    ports = [port for _, port in started[:2]]
    # Who stands still within a transaction on a file has everybody wait: docs/scale.md, and test_two_workers.
    server = nodes.kind != "sqlite"

    async def disturb(senders: Senders) -> None:
        ingest, worker = one, first
        for _ in range(ROUNDS):
            worker.kill()
            ingest.kill()
            await senders.more()
            worker = nodes.start("work")[0]
            ingest, ports[0] = nodes.start("ingest")
            await asyncio.to_thread(ingest.ready, limit_s=START_S)
            await asyncio.to_thread(worker.ready, limit_s=START_S)
            if server:
                other.popen.send_signal(signal.SIGSTOP)
                await senders.more()
                other.popen.send_signal(signal.SIGCONT)
        if server:
            await stands_still(nodes, second, answered=True)
            await senders.more()
            await stands_still(nodes, second, answered=False)
            await senders.more()

    figures = run(nodes, ports, disturb, SEED)
    with capsys.disabled():
        print(f"\nmany nodes on {nodes.kind}: {figures}")
    nothing_is_wrong(nodes, figures)


async def stands_still(nodes: Nodes, worker: Process, answered: bool) -> None:
    """Stop a worker in the midst of its attempts, past its leases, and let it go on while another makes them."""
    mine = await under_way(nodes, worker)
    worker.popen.send_signal(signal.SIGSTOP)
    await taken_over(nodes, mine, answered)
    worker.popen.send_signal(signal.SIGCONT)
    await finds_out(nodes, worker, mine, answered)
    nodes.goes_on()


async def under_way(nodes: Nodes, worker: Process) -> frozenset[Try]:
    """What a worker has leased, when the destination holds all of it: it is at nothing else, as a claim.

    It stays so until somebody is answered. Who asked the store again, when the worker is stopped, would on a busy
    machine find that its leases have run out by then.
    """
    nodes.backend.holds = True
    found: frozenset[Try] = frozenset()

    def so() -> bool:
        nonlocal found
        found = nodes.leased_by(worker)
        if not found:
            # Others may have the first of every key: these go on, and the next ones are anybody's.
            nodes.site.destination.release_held()
        # Not what was held once: one that was let go just now is leased until it is settled.
        return bool(found) and found_in(nodes.site.destination.held, found)

    await nodes.until(so, "the worker to have something under way")
    return found


def found_in(held: Sequence[Arrival], wanted: frozenset[Try]) -> bool:
    came = {(each.webhook_id, each.attempt) for each in held}
    return all((each.event_id, each.number) in came for each in wanted)


async def taken_over(nodes: Nodes, mine: frozenset[Try], answered: bool) -> None:
    """Returns when another one has what a worker had when it was stopped or cut off, and nobody answers it yet.

    answered: the worker is, and cannot tell anybody.
    """
    if answered:
        nodes.site.destination.release_held()
    await nodes.until(
        lambda: all(nodes.backend.has_held(each.again()) for each in mine), "another one to take over what it had"
    )
    nodes.lost |= mine


async def finds_out(nodes: Nodes, worker: Process, mine: frozenset[Try], answered: bool) -> None:
    """Returns when the worker has been told that it has lost each of its leases.

    Who has an answer wants to settle it and to extend the lease, at once: where it is told of the lease first, it has
    nobody wait for the settlement any more, and that is in the record only. Who has none is told of the lease, and when
    it settles that it broke the attempt off.
    """
    ids = {each.delivery_id for each in mine}

    def so() -> bool:
        extensions, settlements = refused(worker)
        told = ids <= extensions | settlements if answered else ids <= extensions & settlements
        return told or "attempt_failed" in worker.err or bool(nodes.settled_late())

    await nodes.until(so, "the late settlement, or extension of the lease, to be refused")
    assert "attempt_failed" not in worker.err, "a late settlement came as far as the record, whose key was in its way"
    await asyncio.to_thread(nothing_was_settled_late, nodes)


def refused(worker: Process) -> tuple[set[str], set[str]]:
    """The deliveries whose lease it could not extend, and those that it could not settle; only these are told whole."""
    lines = [json.loads(line) for line in worker.err.rpartition("\n")[0].splitlines() if '"lease_lost"' in line]
    settlements = {line["delivery_id"] for line in lines if "destination" in line}
    return {line["delivery_id"] for line in lines if "destination" not in line}, settlements


def nothing_was_settled_late(nodes: Nodes) -> None:
    late = nodes.settled_late()
    assert not late, f"a late settlement was taken: {late}"


@needs_namespaces
@pytest.mark.parametrize("nodes", chosen(("postgresql", "redis", *CLOUD), ("postgresql", "redis")), indirect=True)
def test_a_worker_that_is_cut_off_from_the_store_settles_nothing_that_another_has_made(
    nodes: Nodes, wire: Wire, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    behind = behind_the_wire(nodes, wire, servers)
    ingest, port = nodes.start("ingest")
    worker, _ = nodes.start("work")
    for node in (ingest, worker, behind):
        node.ready(limit_s=START_S)

    async def disturb(senders: Senders) -> None:
        mine = await under_way(nodes, behind)
        wire[1].ip("link", "set", "cable", "down")
        await taken_over(nodes, mine, answered=True)
        wire[1].ip("link", "set", "cable", "up")
        await finds_out(nodes, behind, mine, answered=True)
        nodes.goes_on()
        await senders.more()

    figures = run(nodes, [port], disturb, SEED)
    with capsys.disabled():
        print(f"\na worker cut off: {figures}")
    nothing_is_wrong(nodes, figures)


def behind_the_wire(nodes: Nodes, wire: Wire, servers: Servers) -> Process:
    """A worker in a namespace: it has the destination at one end of a wire, and the store at the end of another."""
    near, far = wire
    near.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far.name)
    for end, address in ((near, "10.79.0.1"), (far, STORE)):
        end.ip("address", "add", f"{address}/24", "dev", "cable")
        end.ip("link", "set", "cable", "up")
    destination, url = nodes.site.destination.port, nodes.url
    servers.forward(far.listen(FAR, destination), lambda: asyncio.open_connection("127.0.0.1", destination))
    if nodes.kind != "postgresql":
        port = int(url.rpartition(":")[2])
        servers.forward(far.listen(STORE, port), lambda: asyncio.open_connection("127.0.0.1", port))
        there = url.replace(f"127.0.0.1:{port}", f"{STORE}:{port}")
    else:
        folder = url.partition("host=")[2].partition("&")[0]
        servers.forward(far.listen(STORE, 5432), lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432"))
        there = url.replace("@/", f"@{STORE}/").replace(f"host={folder}", "sslmode=disable")
    return nodes.start("work", near.within, **{url: there, f"127.0.0.1:{destination}": f"{FAR}:{destination}"})[0]


# -- what is shared --------------------------------------------------------------------------------------

RATE, MANY = 20, 40


@pytest.mark.parametrize("nodes", chosen(PERSISTING, ["sqlite"]), indirect=True)
def test_a_rate_is_one_for_all_workers(nodes: Nodes) -> None:
    site = nodes.site
    site.config.write_text(site.config.read_text().replace("ordered = true", f'rate = "{RATE}/s"'))
    site.destination.script = lambda _: Reply()
    _, port = (ingest := nodes.start("ingest"))
    workers = [nodes.start("work")[0].ready() for _ in range(2)]
    ingest[0].ready()
    _know_each_other(site, workers)
    began_s = time.monotonic()
    for number in range(MANY):
        body = json.dumps({"id": f"r-{number}", "customer": "c"}).encode()
        assert site.request("POST", "/webhooks/shop", body, PROOFS["shop"](body), port).status == 200
    wait_until(lambda: len(site.destination.arrivals) >= MANY, "everything to come")
    took_s = max(each.at_s for each in site.destination.arrivals) - began_s
    # Each may begin a tenth of a second's worth at once. Slower is no fault: the machine may be busy. So it counts from
    # before the first, which may come late where the others do not.
    assert took_s > (MANY - 4) / RATE * 0.9, "together they were quicker than the rate"


def _know_each_other(site: Site, workers: list[Process]) -> None:
    """Returns when each has looked who is there after the other one was."""
    wait_until(lambda: len(_seen(site, workers)) == len(workers), "the workers to be there")
    there = _seen(site, workers)

    def looked() -> bool:
        now = _seen(site, workers)
        return all(now[one] > there[other] for one in now for other in there if one != other)

    wait_until(looked, "the workers to have heard of each other")


def _seen(site: Site, workers: list[Process]) -> dict[str, str]:
    """When each was seen last, by its name."""
    pids = {str(each.popen.pid) for each in workers}
    nodes = {each["name"]: each["seen_at"] for each in site.ask("status").row["nodes"]}
    return {name: at for name, at in nodes.items() if name.rpartition(":")[2] in pids}

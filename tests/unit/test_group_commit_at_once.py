"""Group commit with several batches in flight: when a batch goes out beside another, and what stays in turn."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from longstop.group_commit import BESIDE_MIN, LOOK_EVERY_S, GroupCommit
from longstop.testing.clock import run


class Server:
    """Doubles batches of numbers, each when it is let; it says which are in flight."""

    def __init__(self) -> None:
        self.in_flight: list[list[int]] = []
        self.most = 0
        self.committed: list[int] = []
        self._gates: list[asyncio.Event] = []

    async def commit(self, ops: Sequence[int]) -> list[int | Exception]:
        batch, gate = list(ops), asyncio.Event()
        self.in_flight.append(batch)
        self._gates.append(gate)
        self.most = max(self.most, len(self.in_flight))
        await gate.wait()
        self.committed += batch
        return [op * 2 for op in batch]

    def let(self, place: int) -> None:
        """Let one of those in flight end."""
        self.in_flight.pop(place)
        self._gates.pop(place).set()

    def let_all(self) -> None:
        while self.in_flight:
            self.let(0)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def begin(group: "GroupCommit[int, int]", ops: Sequence[int], in_turn: bool = False) -> "list[asyncio.Future[int]]":
    return [group.enqueue(op, in_turn=in_turn) for op in ops]


MANY = range(100, 100 + BESIDE_MIN)


async def test_a_batch_goes_out_beside_another_when_enough_wait() -> None:
    server = Server()
    group = GroupCommit(server.commit, at_once=2)
    futures = begin(group, [1])
    await turns()
    futures += begin(group, MANY[:-1])
    await turns()
    assert server.in_flight == [[1]], "one is missing"
    futures += begin(group, MANY[-1:])
    await turns()
    assert server.in_flight == [[1], list(MANY)]
    futures += begin(group, MANY)
    await turns()
    assert len(server.in_flight) == 2, "no more than were allowed"
    server.let(1)
    await turns()
    assert server.in_flight == [[1], list(MANY)], "and as soon as there is room"
    server.let_all()
    assert await asyncio.gather(*futures) == [op * 2 for op in (1, *MANY, *MANY)]


async def test_few_wait_for_the_last_that_is_in_flight_and_are_not_forgotten() -> None:
    server = Server()
    group = GroupCommit(server.commit, at_once=2)
    futures = begin(group, [1])
    await turns()
    futures += begin(group, MANY)
    await turns()
    futures += begin(group, [2])
    server.let(0)
    await turns()
    assert server.in_flight == [list(MANY)]
    server.let(0)
    await turns()
    assert server.in_flight == [[2]]
    server.let_all()
    assert await asyncio.gather(*futures) == [op * 2 for op in (1, *MANY, 2)]


async def test_what_is_in_turn_has_one_batch_in_flight() -> None:
    server = Server()
    group = GroupCommit(server.commit, at_once=4)
    futures = begin(group, [1], in_turn=True)
    await turns()
    futures += begin(group, MANY, in_turn=True)
    futures += begin(group, [2])
    await turns()
    assert server.in_flight == [[1]]
    server.let(0)
    await turns()
    assert server.in_flight == [[*MANY, 2]]
    server.let_all()
    await asyncio.gather(*futures)
    futures = begin(group, [1])
    await turns()
    begin(group, MANY)
    await turns()
    assert len(server.in_flight) == 2, "none of those that are in turn is left"
    server.let_all()
    await group.idle()


async def test_one_by_one_is_what_a_group_does_unless_it_is_told_otherwise() -> None:
    server = Server()
    group = GroupCommit(server.commit)
    begin(group, [1])
    await turns()
    begin(group, MANY)
    await turns()
    assert server.in_flight == [[1]]
    server.let(0)
    await turns()
    server.let_all()
    await group.idle()


async def test_idle_waits_for_all_that_are_in_flight() -> None:
    server = Server()
    group = GroupCommit(server.commit, at_once=2)
    begin(group, [1])
    await turns()
    begin(group, MANY)
    await turns()
    idle = asyncio.create_task(group.idle())
    server.let(0)
    await turns()
    assert not idle.done()
    server.let(0)
    await idle


def test_nobody_waits_longer_than_his_patience_in_whichever_batch() -> None:
    async def scenario() -> None:
        server = Server()
        group = GroupCommit(server.commit, at_once=2)
        futures = [group.enqueue(1, patience_s=1)]
        await turns()
        futures += [group.enqueue(op, patience_s=1) for op in MANY]
        await turns()
        assert len(server.in_flight) == 2
        await asyncio.sleep(1 + LOOK_EVERY_S)
        assert [type(each.exception()) for each in futures] == [TimeoutError] * len(futures)
        server.let_all()
        await group.idle()

    run(scenario())


@pytest.mark.parametrize("seed", range(20))
async def test_each_is_committed_once_and_those_in_turn_in_turn(seed: int) -> None:
    rng = random.Random(seed)
    server = Server()
    group = GroupCommit(server.commit, batch_max=rng.choice([1, 20, 128]), at_once=rng.choice([1, 2, 4]))
    futures, in_turn = [], []
    for op in range(2_000):
        # In stretches, so that there are times with none of them.
        ordered = (op // 300) % 2 == 1 and rng.random() < 0.3
        futures += begin(group, [op], ordered)
        if ordered:
            in_turn.append(op)
        if rng.random() < 0.1:
            await asyncio.sleep(0)
        if server.in_flight and rng.random() < 0.05:
            server.let(rng.randrange(len(server.in_flight)))
    while not all(each.done() for each in futures):
        await turns()
        server.let_all()
    assert [each.result() for each in futures] == [op * 2 for op in range(2_000)]
    assert sorted(server.committed) == list(range(2_000))
    placed = {op: place for place, op in enumerate(server.committed)}
    assert in_turn == sorted(in_turn, key=placed.__getitem__)
    await group.idle()

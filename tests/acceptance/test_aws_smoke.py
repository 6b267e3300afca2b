"""What `make aws-smoke` asks of a real account, in a place of its own; by itself it asks an emulator.

AWS_SMOKE names the place there: then all checks of the store contract are run that ask no index which may be late.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.aws_account import PREFIX, AccountPlace, account_named
from acceptance.harness import Reply, Site, wait_until
from aws_server import AwsServer, have_credentials
from longstop.testing import store_contract

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory

NAME = os.environ.get("AWS_SMOKE")
LIMIT_S = 120.0 if NAME else 30.0
FEW = ("extend",)
"""The concerns that are enough to see, on an emulator, that the place is emptied before each check."""


class NoIndex(TableInMemory):
    """Notes whether anything is asked of a global index: on AWS it is late, and what a check has just written is not
    there yet."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_late = False

    async def query(self, *given: object, consistent: bool = True, **named: object) -> list[dict[str, object]]:
        """Noted."""
        self.asked_late |= not consistent
        return await super().query(*given, consistent=consistent, **named)  # type: ignore[arg-type]


CHECKS = [each for each in store_contract.CHECKS if NAME or each.concern in FEW]


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountPlace]:
    """Made, looked at, and taken away again."""
    with pytest.MonkeyPatch.context() as patch:
        if NAME:
            made = account_named(NAME)
        else:
            emulator: AwsServer = request.getfixturevalue("aws_emulator")
            have_credentials(patch, tmp_path_factory.mktemp("nobody") / "no-such-file")
            made = AccountPlace("eu-central-1", f"{PREFIX}{uuid.uuid4().hex[:8]}", emulator.url)
        try:
            steps = made.longstop(tmp_path_factory.mktemp("init"), "aws", "init")
            assert {f"{what} {made.name}" for what in ("table", "queue", "bucket")} <= {each["what"] for each in steps}
            yield made
        finally:
            asyncio.run(made.delete())


@pytest.fixture
def site(tmp_path: Path, place: AccountPlace) -> Iterator[Site]:
    """A gateway's folder, on a place with nothing in it."""
    asyncio.run(place.empty())
    made = Site(tmp_path, place.url)
    try:
        yield made
    finally:
        made.close()


def order(number: int, **more: str) -> bytes:
    """A body of the source `shop`."""
    return json.dumps({"id": f"order-{number}", "type": "order.paid", "customer": f"c-{number % 3}", **more}).encode()


def test_what_init_has_made_is_as_check_wants_it(place: AccountPlace, tmp_path: Path) -> None:
    found = place.longstop(tmp_path, "aws", "check")
    assert len(found) > 45
    assert [each["what"] for each in found if each["standing"] == "wrong"] == []


def test_events_end_delivered_and_what_is_sent_twice_is_one(site: Site) -> None:
    site.serve()
    ids = [site.accept("shop", order(number)) for number in range(5)]
    assert site.post("shop", order(3)).json == {"status": "duplicate", "id": ids[3]}
    for number, id_ in enumerate(ids):
        (arrival,) = site.destination.wait_for(id_)
        assert arrival.body == order(number)
        site.wait_for_state(id_, "delivered")


def test_what_fails_is_dead_found_edited_and_replayed(site: Site, tmp_path: Path) -> None:
    site.serve()
    site.destination.script = lambda arrival: Reply(422, b"no such customer") if b"poison" in arrival.body else Reply()
    id_ = site.accept("shop", order(1, note="poison"))
    assert site.wait_for_state(id_, "dead")["reason"] == "rejected"
    # A list may be late by a moment.
    (row,) = wait_until(lambda: site.ask("dead", "list", "--contains", "poison").rows, "it to be listed", LIMIT_S)
    assert (row["event_id"], row["last_status"]) == (id_, 422)
    (tmp_path / "mended.json").write_bytes(order(1, note="mended"))
    new = site.ask("replay", id_, "--edit", str(tmp_path / "mended.json")).row["event_id"]
    (arrival,) = site.destination.wait_for(new)
    assert arrival.body == order(1, note="mended")
    site.wait_for_state(new, "delivered")


def test_a_body_of_five_megabytes_comes_back_byte_for_byte(site: Site) -> None:
    large = os.urandom(5_000_000)
    site.serve()
    id_ = site.accept("anything", large, **{"Content-Type": "application/octet-stream"})
    (arrival,) = site.destination.wait_for(id_)
    assert arrival.body == large
    assert site.raw(id_) == large


def test_a_gateway_that_is_killed_has_lost_nothing(site: Site) -> None:
    program = site.serve()
    site.destination.script = lambda _: Reply(hold=True)
    ids = [site.accept("shop", order(number)) for number in range(8)]
    wait_until(lambda: site.destination.held, "an attempt to be under way")
    program.kill()
    site.destination.script = lambda _: Reply()
    site.destination.release()
    site.serve()
    for id_ in ids:
        site.wait_for_state(id_, "delivered")


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_the_contract_holds(check: store_contract.Check, place: AccountPlace) -> None:
    first = StoreInMemory(table := NoIndex())
    await check.run(first)
    if table.asked_late:
        pytest.skip("it asks an index that is late on AWS; an emulator, whose are not, runs it")
    await place.empty()
    store = place.store()
    await store.open()
    try:
        await check.run(store)
    finally:
        await store.close()

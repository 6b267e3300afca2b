"""The harness for whole applications: post, let time pass, wait until idle; and what handlers are tested with."""

from pathlib import Path

import pytest

from longstop import Event, Longstop, Origin, Reject, RetryLater, State
from longstop.model.delivery import DeadReason
from longstop.model.event import ReceiptStatus
from longstop.stores.memory import MemoryStore
from longstop.testing import Harness, StandInTransaction, VirtualClock, make_event, run

CONFIG = """
[store]
url = "sqlite:///nobody-opens-this.db"

[sources.genesys]
kind = "genesys-open-messaging"
secrets = ["${GENESYS_SECRET}"]

[sources.shop]
kind = "generic"
verify = { scheme = "none" }
dedup = "id"

[[routes]]
from = "genesys"
to = ["crm"]

[[routes]]
from = "shop"
to = ["crm"]
"""
ENVIRON = {"GENESYS_SECRET": "a-secret-of-the-tests"}
TEXT = b'{"id": "m1", "channel": {"id": "c1", "time": "2026-01-01T00:00:00Z"}, "type": "Text", "text": "hello"}'


@pytest.fixture
def gateway(tmp_path: Path) -> Longstop:
    (tmp_path / "longstop.toml").write_text(CONFIG)
    return Longstop(tmp_path / "longstop.toml")


def test_what_is_posted_as_its_sender_would_reaches_the_handler(gateway: Longstop, tmp_path: Path) -> None:
    called: list[Event] = []
    gateway.handler("crm")(called.append)

    async def main() -> None:
        async with Harness(gateway, environ=ENVIRON) as app:
            answer = await app.post("genesys", TEXT)
            assert (answer.status, answer.json()["status"]) == (200, "accepted")
            await app.idle()
            assert [event.body for event in called] == [TEXT]
            assert await app.states(answer.event_id) == {"crm": State.DELIVERED}
            refused = await app.post("genesys", TEXT, signed=False)
            assert refused.status == 401

    run(main)
    assert not (tmp_path / "nobody-opens-this.db").exists()


def test_an_hour_of_waiting_passes_at_once_and_not_sooner(gateway: Longstop) -> None:
    times: list[int] = []

    @gateway.handler("crm")
    async def later(event: Event) -> None:
        times.append(VirtualClock().now_ms())
        if len(times) == 1:
            raise RetryLater(after=600)

    async def main() -> None:
        async with Harness(gateway, environ=ENVIRON) as app:
            answer = await app.post("shop", b'{"id": 1}')
            await app.idle()
            assert await app.states(answer.event_id) == {"crm": State.SCHEDULED}
            await app.advance(minutes=9)
            assert len(times) == 1
            await app.advance(hours=1)
            assert await app.states(answer.event_id) == {"crm": State.DELIVERED}
            assert times[1] - times[0] >= 600_000

    run(main)


def test_an_application_publishes_finds_and_replays(gateway: Longstop) -> None:
    patient = False

    @gateway.handler("crm")
    def refuse(event: Event) -> None:
        if not patient:
            raise Reject("not today")

    async def main() -> None:
        nonlocal patient
        async with Harness(gateway, environ=ENVIRON) as app:
            receipt = await gateway.publish("shop", b'{"id": 7}', [("X-From", "a job")])
            again = await gateway.publish("shop", b'{"id": 7}')
            assert (again.status, again.event_id) == (ReceiptStatus.DUPLICATE, receipt.event_id)
            kept = await gateway.event(receipt.event_id)
            assert kept is not None
            assert (kept.event.origin, kept.event.headers.get("x-from")) == (Origin.PUBLISH, "a job")
            await app.idle()
            (dead,) = (await gateway.find()).rows
            assert (dead.state, dead.reason, dead.last_error) == (State.DEAD, DeadReason.REJECTED, "not today")
            patient = True
            (done,) = await gateway.replay(receipt.event_id, by="the night shift")
            assert (done.delivery_id, done.state) == (dead.id, State.SCHEDULED)
            await app.idle()
            assert await app.states(receipt.event_id) == {"crm": State.DELIVERED}

    run(main)


@pytest.mark.parametrize("looks", ["idle", "advance", "at the end"])
def test_a_gateway_of_which_a_part_failed_is_not_idle(
    looks: str, gateway: Longstop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.handler("crm")(lambda _: None)
    went_on: list[str] = []

    def breaks(*_: object) -> None:
        raise ValueError("a bug")

    async def main() -> None:
        async with Harness(gateway, environ=ENVIRON) as app:
            assert gateway.failure is None
            await app.idle()
            monkeypatch.setattr(MemoryStore, "lease", breaks)
            await app.post("shop", b'{"id": 1}')
            if looks == "idle":
                await app.idle()
            elif looks == "advance":
                await app.advance(seconds=1)
            else:
                await VirtualClock().sleep(1)
                assert str(gateway.failure) == "a bug"
            went_on.append(looks)

    with pytest.raises(RuntimeError, match="part of the gateway failed") as caught:
        run(main)
    assert str(caught.value.__cause__) == "a bug"
    assert went_on == (["at the end"] if looks == "at the end" else [])
    assert gateway.failure is None, "it does not run any more"


async def test_nothing_is_asked_of_a_gateway_that_does_not_run(gateway: Longstop) -> None:
    with pytest.raises(RuntimeError, match="not running"):
        await gateway.publish("shop", b"{}")
    with pytest.raises(RuntimeError, match="not running"):
        await gateway.find()


def test_the_stand_in_transaction_keeps_what_is_written_and_refuses_what_the_store_refuses() -> None:
    def book(event: Event, transaction: StandInTransaction) -> None:
        transaction.execute("CREATE TABLE bookings (id TEXT)")
        transaction.execute("INSERT INTO bookings VALUES (?)", (event.id,))

    transaction, event = StandInTransaction(), make_event(body=b"{}")
    book(event, transaction)
    assert transaction.execute("SELECT id FROM bookings") == [(event.id,)]
    for ending in ("COMMIT", " rollback", "ATTACH 'x' AS y", "pragma user_version"):
        with pytest.raises(PermissionError, match="inside of the transaction"):
            transaction.execute(ending)

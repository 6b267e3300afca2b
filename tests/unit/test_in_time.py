"""A store that hangs: nobody waits for ever, nothing is done by halves, and `/readyz` still answers."""

import asyncio
from typing import Any

import pytest
from guarded_port import HOST, USERS, Port
from services import on_virtual_time
from test_masked_port import DELIVERY, kept

from longstop.client.transport import TIMEOUT_S
from longstop.edges.operators.access.in_time import ANSWER_WITHIN_S, WAITING_MAX, InTime
from longstop.model.caller import Scope
from longstop.model.delivery import State
from longstop.stores.memory import MemoryStore


class Stalling(MemoryStore):
    """Answers while it is not stalled."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.asked = 0

    async def counts(self, times: bool = True) -> Any:
        await self._there()
        return await super().counts(times)

    async def token(self, id_: str) -> Any:
        await self._there()
        return await super().token(id_)

    async def _there(self) -> None:
        self.asked += 1
        await self.goes_on.wait()


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def a_port() -> tuple[Port, Stalling, dict[str, str]]:
    store = Stalling()
    port = Port(USERS, store)
    await kept(port)
    token = await port.token(Scope.REPLAY)
    store.goes_on.clear()
    store.asked = 0
    return port, store, token


def waiting(port: Port) -> int:
    assert isinstance(port.app, InTime)
    return port.app.waiting


@on_virtual_time
async def test_a_question_to_a_store_that_hangs_is_answered_and_forgotten() -> None:
    port, _, token = await a_port()
    began_s = now_s()
    answer = await port.ask("GET", "/api/v1/status", token)
    assert (answer.status_code, now_s() - began_s) == (503, ANSWER_WITHIN_S)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "store does not answer" in answer.json()["detail"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    await asyncio.sleep(1)
    assert waiting(port) == 0


@on_virtual_time
async def test_what_changes_something_goes_on_and_its_key_finds_what_became_of_it() -> None:
    port, store, token = await a_port()
    keyed = {**token, "idempotency-key": "once"}
    path = f"/api/v1/deliveries/{DELIVERY}/replay"
    store.goes_on.set()
    hanging = asyncio.Event()

    async def act(*given: Any, **named: Any) -> Any:
        await hanging.wait()
        return await MemoryStore.act(store, *given, **named)

    store.act = act  # type: ignore[method-assign]
    late = await port.ask("POST", path, keyed, json={"why": "mended"})
    assert (late.status_code, "may still be done" in late.json()["detail"]) == (503, True)
    assert waiting(port) == 1, "it still takes its place"
    hanging.set()
    await asyncio.sleep(1)
    found = await store.delivery(DELIVERY)
    assert found is not None
    assert found.state is State.SCHEDULED
    again = await port.ask("POST", path, keyed, json={"why": "mended"})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert waiting(port) == 0


@on_virtual_time
async def test_however_many_ask_the_port_says_that_it_is_there() -> None:
    port, store, token = await a_port()
    asking = [asyncio.create_task(port.ask("GET", "/api/v1/status", token)) for _ in range(3 * WAITING_MAX)]
    await asyncio.sleep(1)
    assert (waiting(port), store.asked) == (WAITING_MAX, WAITING_MAX), "no more than that wait for the store"
    assert sum(each.done() for each in asking) == 2 * WAITING_MAX
    assert (await port.ask("GET", "/readyz")).status_code == 200
    answers = await asyncio.gather(*asking)
    assert {each.status_code for each in answers} == {503}
    store.goes_on.set()
    assert (await port.ask("GET", "/api/v1/status", token)).status_code == 200


@on_virtual_time
async def test_who_goes_away_leaves_nothing_behind_for_long() -> None:
    port, _, token = await a_port()
    for _ in range(2 * WAITING_MAX):
        asking = asyncio.create_task(port.ask("GET", "/api/v1/status", token))
        await asyncio.sleep(0.01)
        asking.cancel()
    await asyncio.sleep(ANSWER_WITHIN_S + 1)
    assert waiting(port) == 0


# -- what is not late ---------------------------------------------------------------------------------


async def asked(app: Any, receive: Any) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/x", "headers": [(b"host", HOST.encode())]}
    await InTime(app, ("/api/",))(scope, receive, send)
    return sent


@on_virtual_time
async def test_a_slow_body_is_not_our_delay() -> None:
    async def receive() -> Any:
        await asyncio.sleep(ANSWER_WITHIN_S - 1)
        return {"type": "http.request", "body": b"x", "more_body": now_s() < 3 * ANSWER_WITHIN_S}

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await asyncio.sleep(ANSWER_WITHIN_S - 1)
        await send({"type": "http.response.start", "status": 204, "headers": []})

    assert [each["status"] for each in await asked(app, receive)] == [204]


@on_virtual_time
async def test_to_wait_for_the_asker_to_go_is_no_way_around() -> None:
    whole = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return whole.pop() if whole else await asyncio.Event().wait()

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        await receive()

    assert [each["status"] for each in (await asked(app, receive))[:1]] == [503]


@on_virtual_time
async def test_an_answer_that_has_begun_may_go_on() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5):
            await asyncio.sleep(ANSWER_WITHIN_S)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    assert len(await asked(app, None)) == 6


@on_virtual_time
async def test_what_fails_fails_as_ever() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise TimeoutError("the app's own")

    with pytest.raises(TimeoutError, match="the app's own"):
        await asked(app, None)


def test_the_client_waits_longer_than_an_answer_takes() -> None:
    assert TIMEOUT_S > ANSWER_WITHIN_S

"""Two gateways on one store: what is ended, taken away or used up at one is so at the other, at the next request."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from accounts_at_hand import CLI, PASSWORD
from guarded_port import SAME, USERS, Port
from operators_api import STORES, store_at
from test_masked_port import DELIVERY, kept

from longstop.model.accounts import Role
from longstop.model.caller import Scope
from longstop.model.listing import Page
from longstop.operating.login_limits import ACCOUNT_TRIES
from longstop.ports import Store
from longstop.stores.memory import MemoryStore

STATUS = "/api/v1/status"


@pytest.fixture(params=STORES)
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Port, Port]]:
    """Each with a connection of its own, as two processes have; both clocks say the same."""
    first = store_at(request.param, tmp_path)
    second: Store = first if isinstance(first, MemoryStore) else store_at(request.param, tmp_path)
    await first.open()
    if second is not first:
        await second.open()
    one = Port(USERS, first)
    two = Port(USERS, second, one.clock)
    await kept(one)
    yield one, two
    await first.close()
    if second is not first:
        await second.close()


Nodes = tuple[Port, Port]


async def test_who_signs_in_at_one_is_known_at_both(nodes: Nodes) -> None:
    one, two = nodes
    ada = await one.user()
    assert [(await each.ask("GET", STATUS, ada)).status_code for each in nodes] == [200, 200]
    assert (await two.ask("DELETE", "/api/v1/session", ada)).status_code == 204
    assert [(await each.ask("GET", STATUS, ada)).status_code for each in nodes] == [401, 401]


@pytest.mark.parametrize("end", ["disabled", "removed", "password", "role", "revoked"])
async def test_what_ends_a_session_at_one_ends_it_at_the_other(nodes: Nodes, end: str) -> None:
    one, two = nodes
    ada = await one.user()
    assert (await two.ask("GET", STATUS, ada)).status_code == 200
    accounts = one.parts.accounts(CLI)
    if end == "disabled":
        await accounts.change_user("ada", disabled=True)
    elif end == "removed":
        await accounts.remove_user("ada")
    elif end == "password":
        await accounts.change_user("ada", password="another good password")
    elif end == "role":
        await accounts.change_user("ada", role=Role.VIEW)
    else:
        (session,) = (await one.ask("GET", "/api/v1/sessions", ada)).json()["items"]
        assert (await one.ask("DELETE", f"/api/v1/sessions/{session['id']}", ada)).status_code == 204
    assert (await two.ask("GET", STATUS, ada)).status_code == 401
    assert (await two.ask("POST", f"/api/v1/deliveries/{DELIVERY}/replay", ada)).status_code == 401


async def test_a_role_that_is_taken_away_is_gone_at_both(nodes: Nodes) -> None:
    one, two = nodes
    await one.user()
    await one.parts.accounts(CLI).change_user("ada", role=Role.VIEW)
    ada = await two.signed_in("ada")
    for each in nodes:
        answer = await each.ask("POST", f"/api/v1/deliveries/{DELIVERY}/replay", ada)
        assert (answer.status_code, answer.json()["scope"]) == (403, "replay")


async def test_a_token_is_over_at_both(nodes: Nodes) -> None:
    one, two = nodes
    accounts = one.parts.accounts(CLI)
    short, text = await accounts.create_token("short", frozenset({Scope.VIEW}), one.clock.now_ms() + 1_000)
    shown = {"authorization": f"Bearer {text}"}
    revoked = await one.token(Scope.VIEW)
    assert [(await two.ask("GET", STATUS, each)).status_code for each in (shown, revoked)] == [200, 200]
    one.clock.ms += 1_000
    for token in (await one.store.tokens(Page())).rows:
        if token.id != short.id:
            await accounts.revoke_token(token.id)
    for node in nodes:
        assert [(await node.ask("GET", STATUS, each)).status_code for each in (shown, revoked)] == [401, 401]


async def test_a_request_with_a_key_is_carried_out_by_one(nodes: Nodes) -> None:
    """A balancer before both hands the second try to the other one."""
    one, two = nodes
    shown = {**await one.token(Scope.REPLAY), "idempotency-key": "k"}
    path = f"/api/v1/deliveries/{DELIVERY}/replay"
    answers = await asyncio.gather(*(each.ask("POST", path, shown) for each in (one, two) * 5))
    assert {each.status_code for each in answers} <= {202, 409}
    assert sum(each.status_code == 202 and "idempotent-replayed" not in each.headers for each in answers) == 1
    again = await two.ask("POST", path, shown)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    found = await two.store.delivery(DELIVERY)
    assert found.round == 2


async def test_tries_to_sign_in_are_counted_by_each_for_itself(nodes: Nodes) -> None:
    """As docs/access.md says: a flood of logins must not write to the disk that events are accepted on."""
    one, two = nodes
    await one.user()
    for number in range(ACCOUNT_TRIES + 1):
        wrong = {"name": "ada", "password": "not the password"}
        answer = await one.ask("POST", "/api/v1/session", SAME, json=wrong, client=f"192.0.2.{number}")
    assert answer.status_code == 429
    assert await two.signed_in("ada")
    right = {"name": "ada", "password": PASSWORD}
    assert (await one.ask("POST", "/api/v1/session", SAME, json=right)).status_code == 429

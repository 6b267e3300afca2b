"""longstop.client, as an administrator uses it: both clients against the real API behind its guard."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from accounts_at_hand import CLI, PASSWORD
from guarded_port import USERS, Port
from test_masked_port import DELIVERY, ID, kept

from longstop.client import AsyncClient, Client, ConflictError, ForbiddenError, NotThereError, UnauthorizedError
from longstop.client.access import AuditEntry
from longstop.model.audit import AuditAction
from longstop.model.caller import Scope
from longstop.model.delivery import State

BASE = "http://localhost:8081"


class Bridge(httpx.BaseTransport):
    """The app for a client that does not wait."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._inner, self._runner = httpx.ASGITransport(app), runner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            response = await self._inner.handle_async_request(request)
            content = await response.aread()
            return httpx.Response(response.status_code, headers=response.headers, content=content)

        return self._runner.run(answered())


class Whole:
    """Either client, with whatever it answers whole."""

    def __init__(self, client: Client | AsyncClient, runner: asyncio.Runner) -> None:
        self._client, self._runner = client, runner

    def __getattr__(self, name: str) -> Any:
        def called(*given: Any, **named: Any) -> Any:
            answer = getattr(self._client, name)(*given, **named)
            if inspect.isasyncgen(answer):
                return self._runner.run(_all(answer))
            if inspect.iscoroutine(answer):
                return self._runner.run(answer)
            return list(answer) if inspect.isgenerator(answer) else answer

        return called


async def _all(answers: Any) -> list[Any]:
    return [each async for each in answers]


class World:
    def __init__(self, kind: str, runner: asyncio.Runner) -> None:
        self.runner, self.kind = runner, kind
        self.port = runner.run(self._made())

    async def _made(self) -> Port:
        port = Port(USERS)
        await kept(port)
        return port

    def client(self, *scopes: Scope, token: str | None = None) -> Whole:
        if token is None:
            _, token = self.runner.run(self.port.parts.accounts(CLI).create_token("boss", frozenset(scopes)))
        if self.kind == "sync":
            return Whole(Client(BASE, token=token, transport=Bridge(self.port.app, self.runner)), self.runner)
        return Whole(AsyncClient(BASE, token=token, transport=httpx.ASGITransport(self.port.app)), self.runner)


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with asyncio.Runner() as runner:
        yield World(request.param, runner)


def test_users(world: World) -> None:
    boss = world.client(Scope.ADMIN)
    for name in ("eve", "ada", "bob"):
        assert (made := boss.add_user(name, "view", PASSWORD)).name == name
        assert (made.role, made.disabled, made.created_by) == ("view", False, "boss")
    assert [each.name for each in boss.users(page_size=1)] == ["ada", "bob", "eve"]
    assert boss.change_user("eve", role="replay").role == "replay"
    assert boss.change_user("eve", disabled=True).disabled
    boss.change_user("ada", password="another good password")
    assert boss.remove_user("bob") is None
    assert [each.name for each in boss.users()] == ["ada", "eve"]
    with pytest.raises(NotThereError):
        boss.remove_user("bob")
    with pytest.raises(ConflictError):
        boss.add_user("ADA", "view", PASSWORD)


def test_tokens(world: World) -> None:
    boss = world.client(Scope.ADMIN)
    made = boss.create_token("ci", ["view", "bodies"], expires_at="2099-01-01T00:00:00Z")
    assert (made.name, made.scopes, made.expires_at) == ("ci", ["bodies", "view"], "2099-01-01T00:00:00.000Z")
    program = world.client(token=made.token)
    assert set(program.session().scopes) == {"view", "bodies"}
    assert {each.name for each in boss.tokens(page_size=1)} == {"boss", "ci"}
    assert "token" not in boss.tokens()[0].model_dump()
    boss.revoke_token(made.id)
    with pytest.raises(UnauthorizedError):
        program.status()


def test_a_token_whose_answer_is_lost_is_not_made_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks again by itself."""
    boss, lost = world.client(Scope.ADMIN), list[Any]()
    transport = boss._client._client._transport
    name = "handle_request" if world.kind == "sync" else "handle_async_request"
    does = getattr(transport, name)

    def losing(request: httpx.Request) -> Any:
        if world.kind == "sync":
            answer = does(request)
            return _lost(lost) if request.method == "POST" and not lost else answer
        return _lost_later(does(request), lost, request.method)

    monkeypatch.setattr(transport, name, losing)
    monkeypatch.setattr(boss._client, "_sleep", _no_time if world.kind == "sync" else _no_time_later)
    with pytest.raises(ConflictError, match="was shown then and never again"):
        boss.create_token("ci", ["view"])
    assert len(lost) == 1
    assert [each.name for each in boss.tokens()].count("ci") == 1


def _lost(lost: list[Any]) -> Any:
    lost.append("an answer")
    raise httpx.ReadError("the line is cut")


async def _lost_later(answering: Any, lost: list[Any], method: str) -> Any:
    answer = await answering
    return _lost(lost) if method == "POST" and not lost else answer


def _no_time(_seconds: float) -> None:
    return None


async def _no_time_later(_seconds: float) -> None:
    return None


def test_the_audit_log(world: World) -> None:
    boss = world.client(Scope.ADMIN)
    boss.body(ID)
    boss.replay(DELIVERY, why="mended")
    boss.add_user("ada", "view", PASSWORD)
    listed = boss.audit(by="boss", page_size=1)
    assert [each.action for each in listed] == [
        AuditAction.USER_ADD,
        AuditAction.DELIVERY_REPLAY,
        AuditAction.BODY_READ,
    ]
    (replayed,) = boss.audit(action="delivery.replay")
    assert (replayed.target.id, replayed.why, replayed.by_kind) == (DELIVERY, "mended", "token")
    assert boss.audit(since="2099-01-01") == []
    exported = boss.audit_export(by="boss")
    assert all(isinstance(each, AuditEntry) for each in exported)
    assert [each.id for each in exported][:3] == [each.id for each in reversed(listed)]
    assert [each.action for each in exported[3:]] == [AuditAction.AUDIT_EXPORT], "that is noted, too"
    with pytest.raises(ForbiddenError):
        world.client(Scope.VIEW).audit_export()


def test_sessions(world: World) -> None:
    boss = world.client(Scope.ADMIN)
    world.runner.run(world.port.user("ada"))
    (session,) = boss.sessions()
    assert (session.user, session.current) == ("ada", False)
    boss.end_session(session.id)
    assert boss.sessions() == []
    assert boss.session().authenticated


def test_alerts(world: World) -> None:
    boss = world.client(Scope.REPLAY)
    assert ("dead_letters", "crm") in {(each.kind, each.subject) for each in boss.alerts()}
    made = boss.silence("backlog", subject="crm", for_s=3_600, why="we know")
    assert (made.kind, made.subject, made.by, made.why) == ("backlog", "crm", "boss", "we know")
    assert [each.subject for each in boss.silences()] == ["crm"]
    assert boss.unsilence("backlog", "crm") is None
    with pytest.raises(NotThereError):
        boss.unsilence("backlog", "crm")


def test_decisions_by_ids_and_what_happened_when(world: World) -> None:
    boss = world.client(Scope.REPLAY)
    plan = boss.plan_decision("replay", [DELIVERY, "nothing1"])
    assert (plan.survey.count, [each.id for each in plan.failed]) == (1, ["nothing1"])
    unknown, done = boss.decide("replay", [DELIVERY, "nothing1"], why="mended")
    assert (done.id, done.state, unknown.state) == (DELIVERY, State.SCHEDULED, None)
    assert unknown.error
    found = boss.statistics(series="accepted,dead", from_="1h", step=300, by="none")
    assert (found.step_s, [each.name for each in found.series]) == (300, ["accepted", "dead"])

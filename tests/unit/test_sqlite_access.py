"""Accounts and the audit log in a file of SQLite: what cannot be read, or changed, and what is found by index."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from longstop.model.audit import AuditFilter
from longstop.model.errors import StoreUnavailableError, UnreadableRowError
from longstop.model.listing import Page
from longstop.stores.sqlite import SqliteStore
from longstop.testing.store_contract.accounts import make_session, make_token, make_user
from longstop.testing.store_contract.audit import make_entry

PAGE = Page(newest_first=False)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    await made.open()
    await made.note([make_entry(1), make_entry(2)])
    for name in ("ada", "bob"):
        await made.add_user(make_user(name))
    for number in (1, 2):
        await made.add_token(make_token(number))
        await made.add_session(make_session(number))
    yield made
    await made.close()


async def run(store: SqliteStore, sql: str) -> Any:
    return await store._writer.call(lambda connection: connection.execute(sql).fetchall())


@pytest.mark.parametrize("change", ["role = 'king'", "disabled = 'no'", "role = x'00'", "name = CAST(x'ff' AS TEXT)"])
async def test_a_user_that_cannot_be_read_is_nobody_and_hides_no_other(store: SqliteStore, change: str) -> None:
    await run(store, f"UPDATE users SET {change} WHERE key = 'ada'")
    assert [each.name for each in (await store.users(PAGE)).rows] == ["bob"]
    with pytest.raises((UnreadableRowError, UnicodeDecodeError)):
        await store.user("ada")


@pytest.mark.parametrize("change", ["scopes = 'root'", "digest = 'text'", "created_at_ms = 'then'"])
async def test_a_token_that_cannot_be_read_is_good_for_nothing(store: SqliteStore, change: str) -> None:
    await run(store, f"UPDATE tokens SET {change} WHERE id = '{make_token(1).id}'")
    assert (await store.tokens(PAGE)).rows == (make_token(2),)
    with pytest.raises(UnreadableRowError):
        await store.token(make_token(1).id)


@pytest.mark.parametrize("change", ["digest = 'text'", "expires_at_ms = 'never'"])
async def test_a_session_that_cannot_be_read_is_over(store: SqliteStore, change: str) -> None:
    await run(store, f"UPDATE sessions SET {change} WHERE id = '{make_session(1).id}'")
    assert (await store.sessions(None, PAGE)).rows == (make_session(2),)
    with pytest.raises(UnreadableRowError):
        await store.session(make_session(1).id)


async def test_an_entry_that_cannot_be_read_is_left_out(store: SqliteStore) -> None:
    await run(store, "DROP TRIGGER audit_is_fixed")
    await run(store, f"UPDATE audit SET action = 'whim' WHERE id = '{make_entry(1).id}'")
    assert (await store.audit(AuditFilter(), PAGE)).rows == (make_entry(2),)


async def test_the_file_refuses_whoever_changes_an_entry(store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be changed"):
        await run(store, "UPDATE audit SET \"by\" = 'nobody'")
    assert (await store.audit(AuditFilter(), PAGE)).rows == (make_entry(1), make_entry(2))


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("1", "PRIMARY KEY"),
        ("\"by\" = 'a'", "audit_by "),
        ("action = 'a'", "audit_action"),
        ("\"by\" = 'a' AND action = 'b'", "audit_by_action"),
    ],
)
async def test_every_filter_of_the_audit_log_has_an_index(store: SqliteStore, where: str, index: str) -> None:
    query = f"EXPLAIN QUERY PLAN SELECT * FROM audit WHERE {where} AND id < 'x' ORDER BY id DESC LIMIT 5"
    plan = " ".join(str(row[3]) for row in await run(store, query))
    assert index in plan
    assert "TEMP B-TREE" not in plan

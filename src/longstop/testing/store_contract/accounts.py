"""Accounts: users, tokens and sessions, each found by its key; of two who change a user at once, one."""

import asyncio
from dataclasses import replace
from typing import Any

from longstop.model.accounts import Role, Session, Token, User
from longstop.model.caller import Scope
from longstop.model.ids import format_uuid7
from longstop.model.listing import Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect_equal

UP = Page(newest_first=False)


def make_user(name: str = "Ada", **changes: Any) -> User:
    """A user with a password; `changes` are fields of User."""
    return replace(User(name, Role.REPLAY, "$argon2id$made", "stamp-1", AT_MS, "cli", AT_MS), **changes)


def make_token(number: int, **changes: Any) -> Token:
    """A token; `changes` are fields of Token."""
    scopes = frozenset({Scope.VIEW, Scope.REPLAY})
    made = Token(format_uuid7(AT_MS + number, number), f"ci-{number}", bytes([number]) * 32, scopes, AT_MS, "ada")
    return replace(made, **changes)


def make_session(number: int, user: str = "ada", **changes: Any) -> Session:
    """A session of an hour; `changes` are fields of Session."""
    at_ms = AT_MS + number
    made = Session(format_uuid7(at_ms, number), bytes([number]) * 32, user, "stamp-1", at_ms, at_ms, at_ms + 3_600_000)
    return replace(made, **changes)


# -- users --------------------------------------------------------------------------------------


async def check_a_user_is_kept_whole(store: Store) -> None:
    """Every field, under the name in whatever case it was typed."""
    expect_equal(await store.user("ada"), None, "a user that is not there")
    with_both = make_user(subject="auth0|5", disabled=True)
    without = make_user("zoe", role=Role.VIEW, password=None)
    expect_equal(await store.add_user(with_both), True, "whether one was added")
    expect_equal(await store.add_user(without), True, "whether another was added")
    expect_equal(await store.user("ada"), with_both, "a user")
    expect_equal((await store.users(UP)).rows, (with_both, without), "all of them")


async def check_a_name_is_given_once(store: Store) -> None:
    """Whatever its case; the one who has it stays as he is."""
    await store.add_user(make_user())
    expect_equal(await store.add_user(make_user("ADA", role=Role.ADMIN, stamp="other")), False, "whether it was added")
    expect_equal(await store.user("ada"), make_user(), "who was there")


async def check_of_two_changes_one_is_made(store: Store) -> None:
    """Each says which stamp it saw; what comes second saw an old one."""
    await store.add_user(make_user())
    changes = [
        make_user(role=Role.ADMIN, stamp="stamp-2", changed_at_ms=AT_MS + 1, subject="s"),
        make_user(disabled=True, stamp="stamp-3", changed_at_ms=AT_MS + 1, password="$other"),  # noqa: S106
    ]
    made = await asyncio.gather(*(store.change_user(each, "stamp-1") for each in changes))
    expect_equal(sorted(made), [False, True], "which were made")
    expect_equal(await store.user("ada"), changes[made.index(True)], "the user then")
    expect_equal(await store.change_user(make_user("bob"), "stamp-1"), False, "a change of one who is not there")
    expect_equal(await store.user("bob"), None, "one who is not there")


async def check_a_user_is_removed(store: Store) -> None:
    """Once; the name is free then."""
    await store.add_user(make_user())
    expect_equal(await store.remove_user("ada"), True, "whether there was one")
    expect_equal(await store.remove_user("ada"), False, "whether there was one twice")
    expect_equal(await store.add_user(make_user(stamp="new")), True, "whether the name is free")


async def check_pages_of_users(store: Store) -> None:
    """By name, without a gap."""
    names = ["ada", "bob", "cleo", "dan", "eve"]
    for name in names:
        await store.add_user(make_user(name))
    first = await store.users(replace(UP, limit=2))
    second = await store.users(replace(UP, after=first.next_after))
    expect_equal([each.name for each in (*first.rows, *second.rows)], names, "names")
    expect_equal(second.next_after, None, "what follows the last page")


# -- tokens -------------------------------------------------------------------------------------


async def check_a_token_is_kept_whole(store: Store) -> None:
    """Every field, and it is found by its id until it is removed."""
    tokens = [make_token(1, expires_at_ms=AT_MS + 9), make_token(2, scopes=frozenset({Scope.ADMIN}))]
    for each in tokens:
        await store.add_token(each)
    expect_equal((await store.tokens(UP)).rows, tuple(tokens), "all of them")
    expect_equal(await store.token(tokens[0].id), tokens[0], "a token")
    expect_equal(await store.remove_token(tokens[0].id), True, "whether there was one")
    expect_equal(await store.remove_token(tokens[0].id), False, "whether there was one twice")
    expect_equal(await store.token(tokens[0].id), None, "one that was removed")
    expect_equal((await store.tokens(UP)).rows, (tokens[1],), "the other")


# -- sessions -----------------------------------------------------------------------------------


async def check_a_session_is_kept_whole(store: Store) -> None:
    """Every field; a use is noted, and one of what has ended brings nothing back."""
    one, two = make_session(1, address="192.0.2.7"), make_session(2)
    for each in (one, two):
        await store.add_session(each)
    expect_equal(await store.session(one.id), one, "a session")
    await store.see_session(one.id, AT_MS + 500)
    expect_equal(await store.session(one.id), replace(one, seen_at_ms=AT_MS + 500), "one that was used")
    expect_equal(await store.end_sessions([one.id, "none"]), 1, "how many were ended")
    await store.see_session(one.id, AT_MS + 900)
    expect_equal(await store.session(one.id), None, "one that has ended")
    expect_equal(await store.session(two.id), two, "the other")


async def check_sessions_of_a_user(store: Store) -> None:
    """His alone, in pages; or those of all."""
    all_ = [make_session(number, ("ada", "bob")[number % 2]) for number in range(6)]
    for each in all_:
        await store.add_session(each)
    first = await store.sessions("ada", Page(2))
    second = await store.sessions("ada", Page(2, first.next_after))
    expect_equal((*first.rows, *second.rows), tuple(all_[::2][::-1]), "sessions of one")
    expect_equal(second.next_after, None, "what follows the last page")
    expect_equal((await store.sessions(None, Page())).rows, tuple(all_[::-1]), "sessions of all")


async def check_what_is_over_is_forgotten(store: Store) -> None:
    """By its age, or because nobody used it."""
    aged = make_session(1, expires_at_ms=AT_MS + 100, seen_at_ms=AT_MS + 99)
    idle = make_session(2, seen_at_ms=AT_MS + 49)
    alive = make_session(3, expires_at_ms=AT_MS + 101, seen_at_ms=AT_MS + 50)
    for each in (aged, idle, alive):
        await store.add_session(each)
    expect_equal(await store.forget_sessions(AT_MS + 100, AT_MS + 50), 2, "how many were over")
    expect_equal((await store.sessions(None, Page())).rows, (alive,), "what is left")

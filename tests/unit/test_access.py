"""Signing in, and who a request is from: by password, session and token."""

import asyncio
import threading
from dataclasses import replace
from typing import Literal

import argon2
import pytest
from accounts_at_hand import ADDRESS, CHEAP, CLI, HOUR_MS, PASSWORD, CountedPasswords, House

from longstop.model.accounts import Role
from longstop.model.caller import Caller, CallerKind, Scope
from longstop.model.errors import AccountConflictError, AccountError, LoginError, LoginLimitError, NotFoundError
from longstop.model.identity import Identity
from longstop.model.listing import Page
from longstop.operating import login_limits, passwords
from longstop.operating.access import UNKNOWN, AccessSettings, session_id
from longstop.operating.passwords import Compared

VIEW, BODIES, REPLAY, ADMIN = Scope.VIEW, Scope.BODIES, Scope.REPLAY, Scope.ADMIN


# -- passwords ----------------------------------------------------------------------------------


async def test_whoever_knows_the_password_is_signed_in() -> None:
    house = await House().with_user("Ada")
    signed_in = await house.access.login("ada", PASSWORD, ADDRESS)
    who = await house.access.by_cookie(signed_in.cookie, "192.0.2.8")
    assert who == replace(signed_in.caller, address="192.0.2.8")
    assert (who.name, who.kind, who.scopes) == ("Ada", CallerKind.USER, {VIEW, BODIES, REPLAY})


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("bob", PASSWORD), ("ada", ""), ("a d a", PASSWORD)])
async def test_nobody_else_is(name: str, password: str) -> None:
    house = await House().with_user()
    with pytest.raises(LoginError, match="the name or the password is wrong"):
        await house.access.login(name, password, ADDRESS)
    assert (await house.store.sessions(None, Page())).rows == ()


@pytest.mark.parametrize("name", ["nobody", "ada@", "\x00", "x" * 500, "ada\ud800"])
async def test_a_name_that_nobody_has_is_compared_like_one_that_somebody_has(name: str) -> None:
    house = await House().with_user()
    with pytest.raises(LoginError):
        await house.access.login(name, PASSWORD, ADDRESS)
    assert house.passwords.compared == [None], "one comparison, with nobody's hash"


async def test_nobodys_hash_is_made_with_the_parameters_of_every_other() -> None:
    house = await House().with_user()
    with pytest.raises(LoginError):
        await house.access.login("nobody", PASSWORD, ADDRESS)
    user = await house.store.user("ada")
    assert user.password.rpartition("$")[0].rpartition("$")[0] in str(house.passwords._nobodys)


async def test_one_who_is_disabled_is_told_nothing_else_than_a_wrong_password() -> None:
    house = await House().with_user()
    await house.accounts.change_user("ada", disabled=True)
    with pytest.raises(LoginError, match="the name or the password is wrong"):
        await house.access.login("ada", PASSWORD, ADDRESS)
    assert (await house.noted())[-1].details == {"reason": "disabled"}


async def test_the_same_characters_are_the_same_password_however_they_are_composed() -> None:
    house = House()
    await house.accounts.add_user("zoe", Role.VIEW, "Zo\u00eb has a secret")
    assert await house.access.login("zoe", "Zoe\u0308 has a secret", ADDRESS)


async def test_an_outdated_hash_is_made_anew_and_nobody_is_signed_out() -> None:
    house = await House(passwords=CountedPasswords(argon2.PasswordHasher(2, 16, 1))).with_user()
    before = await house.access.login("ada", PASSWORD, ADDRESS)
    old = (await house.store.user("ada")).password
    today = House(store=house.store, passwords=CountedPasswords(CHEAP))
    await today.access.login("ada", PASSWORD, ADDRESS)
    new = (await house.store.user("ada")).password
    assert "m=16,t=2" in old
    assert "m=8,t=1" in new
    assert await today.access.by_cookie(before.cookie, ADDRESS) is not None
    await today.access.login("ada", PASSWORD, ADDRESS)
    assert (await house.store.user("ada")).password == new, "once"


@pytest.mark.parametrize("password", ["short", "x" * 11, "x" * 1025])
async def test_some_passwords_are_not_taken(password: str) -> None:
    with pytest.raises(AccountError, match=f"found a password of {len(password)} characters") as raised:
        await House().accounts.add_user("ada", Role.VIEW, password)
    assert password not in str(raised.value)


async def test_a_password_as_long_as_somebody_likes_costs_no_more() -> None:
    house = await House().with_user()
    with pytest.raises(LoginError):
        await house.access.login("ada", "x" * 10_000_000, ADDRESS)


def test_real_hashes_are_argon2id_of_32_mib() -> None:
    assert asyncio.run(passwords.Passwords().hash(PASSWORD)).startswith("$argon2id$v=19$m=32768,t=3,p=1$")


class Held(argon2.PasswordHasher):
    """Compares nothing before it is let go on."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.go_on = threading.Event()
        self._begun = threading.Semaphore(0)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self._begun.release()
        assert self.go_on.wait(60)
        return super().verify(hash, password)

    async def all_begun(self) -> None:
        """Until as many as are let are in their threads; who is still in line leaves his place when he leaves."""
        for _ in range(passwords.AT_ONCE):
            assert await asyncio.to_thread(self._begun.acquire, timeout=60)


async def test_few_passwords_are_compared_at_once_and_the_others_are_told_to_come_back() -> None:
    hasher = Held()
    house = await House(passwords=CountedPasswords(hasher)).with_user()
    under_way = [asyncio.create_task(house.access.login("ada", "wrong", ADDRESS)) for _ in range(passwords.AT_ONCE)]
    await hasher.all_begun()
    for place in range(9):
        with pytest.raises(LoginLimitError) as raised:
            await house.access.login("ada", PASSWORD, f"192.0.2.{place}")
        assert raised.value.retry_after_s == passwords.BUSY_RETRY_AFTER_S
    hasher.go_on.set()
    assert [type(each) for each in await asyncio.gather(*under_way, return_exceptions=True)] == [LoginError] * 2
    assert (await tried(house, "ada", "203.0.113.1", 9)).count(0) == 8, "what was not looked at is no try"


async def test_who_leaves_before_the_answer_still_takes_his_place_until_it_is_done() -> None:
    hasher = Held()
    house = await House(passwords=CountedPasswords(hasher)).with_user()
    leaving = [asyncio.create_task(house.access.login("ada", "wrong", ADDRESS)) for _ in range(passwords.AT_ONCE)]
    await hasher.all_begun()
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    with pytest.raises(LoginLimitError):
        await house.access.login("ada", PASSWORD, ADDRESS)
    hasher.go_on.set()


# -- limits -------------------------------------------------------------------------------------


async def tried(house: House, name: str, address: str, times: int) -> list[int]:
    """How long each had to wait; 0: the password was looked at."""
    waits = []
    for _ in range(times):
        try:
            await house.access.login(name, "wrong", address)
        except LoginLimitError as error:
            waits.append(error.retry_after_s)
        except LoginError:
            waits.append(0)
    return waits


async def test_an_account_has_some_tries_and_then_one_now_and_then() -> None:
    house = await House().with_user()
    addresses = [f"198.51.100.{place}" for place in range(50)]
    waits = [(await tried(house, name, each, 1))[0] for name, each in zip(["ada", "ADA"] * 25, addresses, strict=True)]
    assert waits.count(0) == login_limits.ACCOUNT_TRIES
    assert set(waits[10:]) == {30}
    with pytest.raises(LoginLimitError):
        await house.access.login("ada", PASSWORD, "203.0.113.9")
    house.clock.ms += login_limits.ACCOUNT_EVERY_MS
    assert await tried(house, "ada", ADDRESS, 3) == [0, 30, 30]
    assert await tried(house, "bob", ADDRESS, 1) == [0], "another account"


async def test_a_day_of_guessing_is_no_more_than_that() -> None:
    house = await House().with_user()
    guessed = 0
    for hour in range(24 * 60):
        guessed += (await tried(house, "ada", f"203.0.113.{hour % 250}", 4)).count(0)
        house.clock.ms += 60_000
    assert guessed <= login_limits.ACCOUNT_TRIES + 24 * 60 * 60_000 // login_limits.ACCOUNT_EVERY_MS


async def test_an_address_has_its_own_tries_whatever_names_it_gives() -> None:
    house = await House().with_user()
    waits = [(await tried(house, f"name{place}", f"2001:db8::{place:x}", 1))[0] for place in range(30)]
    assert waits.count(0) == login_limits.ADDRESS_TRIES, "one network is one sender"
    with pytest.raises(LoginLimitError):
        await house.access.login("ada", PASSWORD, "2001:db8::ffff")
    assert await house.access.login("ada", PASSWORD, "2001:db8:1::1")
    house.clock.ms += login_limits.ADDRESS_EVERY_MS
    assert await house.access.login("ada", PASSWORD, "2001:db8::1")


async def test_the_right_password_forgives_the_account_and_not_the_address() -> None:
    house = await House().with_user()
    for _ in range(30):
        assert await house.access.login("ada", PASSWORD, ADDRESS)
    assert await tried(house, "ada", ADDRESS, 9) == [0] * 9
    assert await house.access.login("ada", PASSWORD, ADDRESS)
    assert (await tried(house, "ada", ADDRESS, 12)).count(0) == 10, "its own tries are there anew"
    assert await tried(house, "eve", ADDRESS, 2) == [0, 10], "of the address 19 were wrong"


async def test_limits_remember_a_bounded_number_of_names() -> None:
    limits = House().limits
    for number in range(2 * login_limits.SLOTS):
        limits.take(f"name{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    for tries in (limits._accounts, limits._addresses):
        assert len(tries._full_at_ms) <= login_limits.SLOTS


async def test_a_flood_of_failed_logins_does_not_fill_the_audit_log() -> None:
    house = await House().with_user()
    for place in range(3 * login_limits.NOTED):
        await tried(house, f"name{place}", f"198.51.{place >> 8}.{place & 255}", 1)
    assert (await house.actions()).count("login.failed") == login_limits.NOTED


# -- sessions -----------------------------------------------------------------------------------


async def test_a_session_is_another_one_at_every_login_and_the_one_before_ends() -> None:
    house = await House().with_user()
    planted = await house.access.login("ada", PASSWORD, ADDRESS)
    own = await house.access.login("ada", PASSWORD, ADDRESS, before=session_id(planted.cookie))
    assert own.cookie != planted.cookie
    assert await house.access.by_cookie(planted.cookie, ADDRESS) is None
    assert await house.access.by_cookie(own.cookie, ADDRESS) is not None


async def test_a_cookie_that_was_made_up_is_nobodys() -> None:
    house = await House().with_user()
    true = (await house.access.login("ada", PASSWORD, ADDRESS)).cookie
    other = (await house.access.login("ada", PASSWORD, ADDRESS)).cookie
    mixed = f"{true.partition('.')[0]}.{other.partition('.')[2]}"
    for cookie in ("", "x", mixed, true[:-1], f"{true}=", true.upper(), f"{true}\n", true.partition(".")[0]):
        assert await house.access.by_cookie(cookie, ADDRESS) is None, cookie
    assert await house.access.by_cookie(true, ADDRESS) is not None


async def test_a_session_that_is_used_ends_all_the_same() -> None:
    house = await House().with_user()
    cookie = (await house.access.login("ada", PASSWORD, ADDRESS)).cookie
    for _ in range(12):
        house.clock.ms += HOUR_MS - 1
        assert await house.access.by_cookie(cookie, ADDRESS) is not None
    house.clock.ms += 12
    assert await house.access.by_cookie(cookie, ADDRESS) is None, "twelve hours are over"
    assert (await house.store.sessions(None, Page())).rows == ()


async def test_an_hour_unused_is_the_end() -> None:
    house = await House().with_user()
    cookie = (await house.access.login("ada", PASSWORD, ADDRESS)).cookie
    house.clock.ms += HOUR_MS
    assert await house.access.by_cookie(cookie, ADDRESS) is None
    assert (await house.store.sessions(None, Page())).rows == ()


async def test_what_others_left_behind_is_forgotten_at_the_next_login() -> None:
    house = await House().with_user()
    await house.access.login("ada", PASSWORD, ADDRESS)
    house.clock.ms += HOUR_MS + 1
    now = await house.access.login("ada", PASSWORD, ADDRESS)
    assert (await house.store.sessions(None, Page())).rows == (now.session,)


async def test_using_a_session_writes_once_a_minute_at_most() -> None:
    house = await House().with_user()
    cookie = (await house.access.login("ada", PASSWORD, ADDRESS)).cookie
    seen = []
    for _ in range(120):
        await house.access.by_cookie(cookie, ADDRESS)
        seen.append((await house.store.sessions(None, Page())).rows[0].seen_at_ms)
        house.clock.ms += 1_000
    assert len(set(seen)) == 2


@pytest.mark.parametrize(
    "change", [{"role": Role.VIEW}, {"password": "another good password"}, {"disabled": True}, None], ids=str
)
async def test_all_sessions_of_a_user_end_when_what_he_may_changes(change: dict[str, object] | None) -> None:
    house = await (await House().with_user()).with_user("bob")
    cookies = [(await house.access.login("ada", PASSWORD, ADDRESS)).cookie for _ in range(3)]
    other = (await house.access.login("bob", PASSWORD, ADDRESS)).cookie
    if change is None:
        await house.accounts.remove_user("ada")
        await house.with_user()
    else:
        await house.accounts.change_user("ada", **change)  # type: ignore[arg-type]
    assert [await house.access.by_cookie(cookie, ADDRESS) for cookie in cookies] == [None] * 3
    assert await house.access.by_cookie(other, ADDRESS) is not None


async def test_logging_out_ends_this_session_alone() -> None:
    house = await House().with_user()
    here, there = [await house.access.login("ada", PASSWORD, ADDRESS) for _ in range(2)]
    await house.access.logout(here.caller)
    assert await house.access.by_cookie(here.cookie, ADDRESS) is None
    assert await house.access.by_cookie(there.cookie, ADDRESS) is not None
    await house.accounts.revoke_session(there.session.id)
    assert await house.access.by_cookie(there.cookie, ADDRESS) is None
    with pytest.raises(NotFoundError):
        await house.accounts.revoke_session(there.session.id)


# -- tokens -------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_is_good_until_it_is_revoked() -> None:
    house = House()
    token, text = await house.accounts.create_token("ci", frozenset({REPLAY}))
    who = await house.access.by_token(text, ADDRESS)
    assert who == Caller("ci", CallerKind.TOKEN, frozenset({VIEW, REPLAY, BODIES}), ADDRESS)
    await house.accounts.revoke_token(token.id)
    assert await house.access.by_token(text, ADDRESS) is None
    with pytest.raises(NotFoundError):
        await house.accounts.revoke_token(token.id)


async def test_a_token_ends_when_it_is_said_to() -> None:
    house = House()
    _, text = await house.accounts.create_token("ci", frozenset({VIEW}), house.clock.ms + 10)
    house.clock.ms += 9
    assert await house.access.by_token(text, None) is not None
    house.clock.ms += 1
    assert await house.access.by_token(text, None) is None
    with pytest.raises(AccountError, match="in the past"):
        await house.accounts.create_token("ci", frozenset({VIEW}), house.clock.ms)


async def test_a_token_that_was_made_up_is_nobodys() -> None:
    house = House()
    (_, one), (_, two) = [await house.accounts.create_token(name, frozenset({ADMIN})) for name in ("a", "b")]
    head, secret = one[:-44], one[-43:]
    mixed = f"{two[:-43]}{secret}"
    for text in ("", "longstop_", mixed, head, one[:-1], f"{one} ", one.upper(), secret, f"{head}_{'A' * 43}"):
        assert await house.access.by_token(text, None) is None, text


@pytest.mark.parametrize(
    ("given", "masked", "may"),
    [
        ({VIEW}, False, {VIEW, BODIES}),
        ({VIEW}, True, {VIEW}),
        ({REPLAY}, True, {VIEW, REPLAY}),
        ({REPLAY, BODIES}, True, {VIEW, REPLAY, BODIES}),
        ({BODIES}, True, {VIEW, BODIES}),
        ({ADMIN}, True, set(Scope)),
    ],
)
async def test_what_a_token_may(given: set[Scope], masked: bool, may: set[Scope]) -> None:
    house = House(settings=AccessSettings(HOUR_MS, HOUR_MS, masked))
    _, text = await house.accounts.create_token("ci", frozenset(given))
    who = await house.access.by_token(text, None)
    assert who is not None
    assert who.scopes == may


@pytest.mark.parametrize(
    ("role", "masked", "may"),
    [
        (Role.VIEW, False, {VIEW, BODIES}),
        (Role.VIEW, True, {VIEW}),
        (Role.REPLAY, True, {VIEW, BODIES, REPLAY}),
        (Role.ADMIN, True, set(Scope)),
    ],
)
async def test_what_a_role_may(role: Role, masked: bool, may: set[Scope]) -> None:
    house = await House(settings=AccessSettings(HOUR_MS, HOUR_MS, masked)).with_user("ada", role)
    assert (await house.access.login("ada", PASSWORD, None)).caller.scopes == may


# -- accounts -----------------------------------------------------------------------------------


async def test_a_name_is_had_once() -> None:
    house = await House().with_user("Ada")
    with pytest.raises(AccountConflictError, match="there is a user ADA already"):
        await house.accounts.add_user("ADA", Role.ADMIN, PASSWORD)
    with pytest.raises(NotFoundError, match='no user "bob"'):
        await house.accounts.change_user("bob", role=Role.ADMIN)


@pytest.mark.parametrize("name", ["", " ada", "a b", "a" * 65, "-ada", "ad\x00a", "ada\n", "a/b", "ada\u202e"])
async def test_some_names_are_not_taken(name: str) -> None:
    house = House()
    with pytest.raises(AccountError, match="expected 1 to 64"):
        await house.accounts.add_user(name, Role.VIEW, PASSWORD)
    with pytest.raises(AccountError, match="expected 1 to 64"):
        await house.accounts.create_token(name, frozenset({VIEW}))


async def test_whoever_changes_what_somebody_else_just_changed_is_told() -> None:
    house = await House().with_user()
    both = (house.accounts.change_user("ada", role=Role.ADMIN), house.accounts.change_user("ada", disabled=True))

    async def stale(key: str) -> object:
        await asyncio.sleep(0)
        return user

    user = await house.store.user("ada")
    house.store.user = stale
    results = await asyncio.gather(*both, return_exceptions=True)
    assert [type(each).__name__ for each in results] == ["User", "AccountConflictError"]


# -- the identity provider ----------------------------------------------------------------------

ADA = Identity("sub-1", "ada", Role.REPLAY)


async def test_whom_the_identity_provider_knows_has_an_account_from_then_on() -> None:
    house = House()
    signed_in = await house.access.login_as(ADA, ADDRESS)
    assert (signed_in.user.role, signed_in.user.subject, signed_in.user.password) == (Role.REPLAY, "sub-1", None)
    assert (await house.access.by_cookie(signed_in.cookie, None)) is not None
    assert await house.actions() == ["user.add", "login"]
    with pytest.raises(LoginError, match="the name or the password is wrong"):
        await house.access.login("ada", "", ADDRESS)


async def test_a_role_that_changed_there_changes_here_and_ends_what_was_begun_with_the_old_one() -> None:
    house = House()
    before = await house.access.login_as(ADA, ADDRESS)
    after = await house.access.login_as(replace(ADA, role=Role.VIEW), ADDRESS)
    assert await house.access.by_cookie(before.cookie, None) is None
    assert after.caller.scopes == {VIEW, BODIES}


@pytest.mark.parametrize("identity", [replace(ADA, role=None), replace(ADA, name="a b"), replace(ADA, name="")])
async def test_who_has_no_role_or_no_name_is_not_signed_in(identity: Identity) -> None:
    house = House()
    with pytest.raises(LoginError):
        await house.access.login_as(identity, ADDRESS)
    assert (await house.store.users(Page())).rows == ()


@pytest.mark.parametrize("subject", ["sub-2", None])
async def test_nobody_becomes_another_one_by_calling_himself_so(subject: str | None) -> None:
    house = House()
    if subject is None:
        await house.with_user("ada", Role.ADMIN)
    else:
        await house.access.login_as(replace(ADA, subject=subject), ADDRESS)
    with pytest.raises(LoginError, match="belongs to another account"):
        await house.access.login_as(replace(ADA, name="ADA", role=Role.ADMIN), ADDRESS)


async def test_who_is_disabled_here_is_so_whatever_the_provider_says() -> None:
    house = House()
    await house.access.login_as(ADA, ADDRESS)
    await house.accounts.change_user("ada", disabled=True)
    with pytest.raises(LoginError, match="disabled"):
        await house.access.login_as(ADA, ADDRESS)


# -- what is noted ------------------------------------------------------------------------------


async def test_everything_is_noted_and_by_whom() -> None:
    house = await House().with_user()
    boss = house.accounts_by(Caller("boss", CallerKind.USER, frozenset(Scope), "203.0.113.5"))
    signed_in = await house.access.login("ada", PASSWORD, ADDRESS)
    await house.access.logout(signed_in.caller)
    with pytest.raises(LoginError):
        await house.access.login("ada", "wrong", ADDRESS)
    with pytest.raises(LoginError):
        await house.access.login(PASSWORD, "ada", ADDRESS)
    session = (await house.access.login("ada", PASSWORD, ADDRESS)).session
    await boss.revoke_session(session.id)
    await boss.change_user("ada", role=Role.ADMIN, password="another good password")
    await boss.change_user("ada", disabled=True)
    await boss.change_user("ada", disabled=False)
    token, _ = await boss.create_token("ci", frozenset({VIEW}))
    await boss.revoke_token(token.id)
    await boss.remove_user("ada")
    told = [(each.action.value, each.by, each.by_kind.value, each.target.id) for each in await house.noted()]
    assert told == [
        ("user.add", "root", "cli", "ada"),
        ("login", "ada", "user", "ada"),
        ("logout", "ada", "user", "ada"),
        ("login.failed", "ada", "user", "ada"),
        ("login.failed", UNKNOWN, "user", UNKNOWN),
        ("login", "ada", "user", "ada"),
        ("session.revoke", "boss", "user", session.id),
        ("user.role", "boss", "user", "ada"),
        ("user.password", "boss", "user", "ada"),
        ("user.disable", "boss", "user", "ada"),
        ("user.enable", "boss", "user", "ada"),
        ("token.create", "boss", "user", token.id),
        ("token.revoke", "boss", "user", token.id),
        ("user.remove", "boss", "user", "ada"),
    ]
    assert (await house.noted())[1].address == ADDRESS
    assert (await house.noted())[7].details == {"role": "admin", "was": "replay"}


async def test_what_cannot_be_noted_is_not_done() -> None:
    house = await House().with_user()

    async def fails(_entries: object) -> None:
        raise OSError

    house.store.note = fails
    for work in (
        house.access.login("ada", PASSWORD, ADDRESS),
        house.accounts.change_user("ada", disabled=True),
        house.accounts.remove_user("ada"),
        house.accounts.create_token("ci", frozenset({VIEW})),
    ):
        with pytest.raises(OSError):  # noqa: PT011
            await work
    user = await house.store.user("ada")
    assert user is not None
    assert not user.disabled
    assert (await house.store.sessions(None, Page())).rows == (await house.store.tokens(Page())).rows == ()


async def test_no_secret_is_kept_shown_or_noted() -> None:
    house = await House().with_user()
    signed_in = await house.access.login("ada", PASSWORD, ADDRESS)
    token, text = await house.accounts.create_token("ci", frozenset({VIEW}))
    with pytest.raises(LoginError):
        await house.access.login(f"{PASSWORD}!", "ada", ADDRESS)
    kept = [*vars(house.store).values(), signed_in.session, signed_in.user, token]
    secrets = (PASSWORD, signed_in.cookie.partition(".")[2], text[-43:])
    for secret in secrets:
        assert secret not in repr(kept)
        assert secret[:8] not in repr(kept), "not a part of it either"
        assert secret not in repr(await house.noted())
    assert "argon2" not in repr(signed_in.user), "nor a hash, which may be guessed at"
    assert CLI.name in repr(await house.noted())


async def test_a_password_that_is_changed_while_it_is_compared_is_good_for_nothing() -> None:
    house = await House().with_user()
    compare = house.passwords.compare

    async def slowly(password: str, kept: str | None) -> Compared:
        compared = await compare(password, kept)
        await house.accounts.change_user("ada", password="another password")
        return compared

    house.passwords.compare = slowly  # type: ignore[method-assign]
    signed_in = await house.access.login("ada", PASSWORD, ADDRESS)
    assert await house.access.by_cookie(signed_in.cookie, ADDRESS) is None

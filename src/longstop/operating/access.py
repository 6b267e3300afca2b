"""Who is it? Signing in by a password or the identity provider, and what comes with every request from then on.

What a browser or a program shows is an id and a secret of 256 random bits. The row is found by the id, and the secret
compared with its digest in constant time: an index that is searched for a secret would tell how far it fits.
"""

import base64
import contextlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from longstop.model.accounts import (
    SECRET_BYTES,
    Role,
    Session,
    User,
    digest,
    is_name,
    matches,
    name_key,
    scopes_of_role,
    scopes_of_token,
)
from longstop.model.audit import AuditAction
from longstop.model.caller import Caller, CallerKind, Scope
from longstop.model.errors import LoginError, LoginLimitError
from longstop.model.identity import Identity
from longstop.model.ids import IdFactory
from longstop.operating.audit import Auditor
from longstop.operating.login_limits import LoginLimits
from longstop.operating.passwords import Passwords
from longstop.ports import Accounts, Clock

log = structlog.get_logger("longstop.access")

SEEN_EVERY_MS = 60_000
"""A session that is used is noted as used so often: a request that only looks is no reason to write."""
TOKEN_PREFIX = "longstop_"  # noqa: S105
UNKNOWN = "(unknown)"
"""In the place of a name that nobody has: people type their password where the name belongs."""
FIRST_USER = "longstop users add NAME --role admin"

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SECRET = "[A-Za-z0-9_-]{43}"  # noqa: S105
_COOKIE = re.compile(f"({_UUID})\\.({_SECRET})")
_TOKEN = re.compile(f"{TOKEN_PREFIX}([0-9a-f]{{32}})_({_SECRET})")


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """How long sessions last, and whether there is anything to be hidden."""

    lifetime_ms: int
    """However much a session is used."""
    idle_ms: int
    """Unless it is used."""
    masked: bool = False
    """Fields are masked: then bodies are for those who have the scope, else for everybody who may look."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is signed in, and what his browser is to show from now on."""

    caller: Caller
    user: User
    session: Session
    cookie: str


class Access:
    """Tells who a request is from.

    auditor: for a caller, what notes what he does.
    """

    def __init__(
        self,
        accounts: Accounts,
        auditor: Callable[[Caller], Auditor],
        passwords: Passwords,
        limits: LoginLimits,
        clock: Clock,
        ids: IdFactory,
        settings: AccessSettings,
    ) -> None:
        self._accounts = accounts
        self._auditor = auditor
        self._passwords = passwords
        self._limits = limits
        self._clock = clock
        self._ids = ids
        self._settings = settings

    # -- every request ----------------------------------------------------------------------------

    async def by_token(self, text: str, address: str | None) -> Caller | None:
        """Whose token this is; None where it is nobody's, or no more."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        token = await self._accounts.token(_dashed(found[1]))
        if token is None or not matches(_bytes(found[2]), token.digest) or token.is_over(self._clock.now_ms()):
            return None
        return Caller(token.name, CallerKind.TOKEN, self.seen_with(scopes_of_token(token.scopes)), address)

    async def by_cookie(self, text: str, address: str | None) -> Caller | None:
        """Whose session this is; None where it is nobody's, or over."""
        found = _COOKIE.fullmatch(text)
        session = await self._accounts.session(found[1]) if found else None
        if found is None or session is None or not matches(_bytes(found[2]), session.digest):
            return None
        now_ms = self._clock.now_ms()
        user = await self._accounts.user(session.user)
        if user is None or user.disabled or user.stamp != session.stamp or session.is_over(now_ms, self._idle_ms):
            await self._accounts.end_sessions([session.id])
            return None
        if now_ms - session.seen_at_ms >= SEEN_EVERY_MS:
            await self._accounts.see_session(session.id, now_ms)
        return self.signed_in(user, address, session.id)

    def seen_with(self, scopes: frozenset[Scope]) -> frozenset[Scope]:
        """Where nothing is masked, whoever may look may look at bodies."""
        return scopes | {Scope.BODIES} if Scope.VIEW in scopes and not self._settings.masked else scopes

    # -- signing in and out -----------------------------------------------------------------------

    async def login(self, name: str, password: str, address: str | None, before: str | None = None) -> SignedIn:
        """Sign in by a password. before: the id of the session that the browser had, which ends.

        Raises LoginError, LoginLimitError. A name that nobody has takes as long as one that somebody has.
        """
        user = await self.check_password(name, password, address)
        return await self.sign_in(user, address, before)

    async def sign_in(self, user: User, address: str | None, before: str | None = None) -> SignedIn:
        """Sign in whose password was compared (`check_password`). user: as he was then.

        If his password was changed meanwhile, the session is none.
        """
        return await self._sign_in(user, address, before, "password")

    async def check_password(self, name: str, password: str, address: str | None) -> User:
        """Whose password this is. Raises LoginError, LoginLimitError."""
        wait_s = self._limits.take(name, address)
        if wait_s:
            log.warning("login_limited", address=address)
            raise LoginLimitError("too many tries to sign in; wait, or ask an administrator", wait_s)
        user = await self._accounts.user(name_key(name)) if is_name(name) else None
        try:
            compared = await self._passwords.compare(password, user.password if user else None)
        except LoginLimitError:
            self._limits.not_tried(name, address)
            raise
        if not compared.same or user is None or user.disabled:
            await self._failed(user, address, "disabled" if compared.same else "password")
            raise LoginError("the name or the password is wrong")
        self._limits.passed(name, address)
        if compared.outdated:
            await self._rehash(user, password)
        return user

    async def _rehash(self, user: User, password: str) -> None:
        """Keep the same password as today's parameters have it, if there is room to; the next time will do too."""
        with contextlib.suppress(LoginLimitError):
            hashed = await self._passwords.hash_again(password)
            # The stamp stays: who is signed in elsewhere stays so.
            await self._accounts.change_user(replace(user, password=hashed), user.stamp)

    def expect_room(self, address: str | None) -> None:
        """Take one of the tries of an address, before the identity provider is asked. Raises LoginLimitError.

        What a stranger sends here is sent there: it would take what he does for ours.
        """
        wait_s = self._limits.take_of_address(address)
        if wait_s:
            log.warning("login_limited", address=address)
            raise LoginLimitError("too many tries to sign in; wait, or ask an administrator", wait_s)

    async def login_as(self, identity: Identity, address: str | None, before: str | None = None) -> SignedIn:
        """Sign in whom the identity provider knows; the account is made, or its role changed, by what it says.

        Raises LoginError where he has no role here, is disabled, or his name is another one's.
        """
        user = await self._accounts.user(name_key(identity.name))
        if user is not None and user.subject != identity.subject:
            await self._failed(user, address, "the name is another account's")
            raise LoginError(f"the name {identity.name} belongs to another account; an administrator can remove it")
        if identity.role is None or not is_name(identity.name):
            await self._failed(user, address, "no role")
            raise LoginError("the identity provider names no role that you have here; ask an administrator")
        if user is None:
            user = await self._made(identity)
        if user.disabled:
            await self._failed(user, address, "disabled")
            raise LoginError("this account is disabled; ask an administrator")
        if user.role is not identity.role:
            user = await self._with_role(user, identity.role, address)
        self._limits.passed(user.name, address)
        return await self._sign_in(user, address, before, "identity provider")

    async def logout(self, caller: Caller) -> None:
        """End the session that the caller came with."""
        if caller.session is not None:
            await self._auditor(caller).note(AuditAction.LOGOUT, "user", caller.name)
            await self._accounts.end_sessions([caller.session])

    async def _sign_in(self, user: User, address: str | None, before: str | None, way: str) -> SignedIn:
        now_ms = self._clock.now_ms()
        secret = secrets.token_bytes(SECRET_BYTES)
        session = Session(
            self._ids.make(now_ms),
            digest(secret),
            user.key,
            user.stamp,
            now_ms,
            now_ms,
            now_ms + self._settings.lifetime_ms,
            address,
        )
        caller = self.signed_in(user, address, session.id)
        await self._auditor(caller).note(AuditAction.LOGIN, "user", user.name, way=way)
        # What a browser had before, whoever put it there, is worth nothing from now on.
        if before is not None:
            await self._accounts.end_sessions([before])
        await self._accounts.forget_sessions(now_ms, now_ms - self._idle_ms)
        await self._accounts.add_session(session)
        return SignedIn(caller, user, session, f"{session.id}.{_text(secret)}")

    async def _made(self, identity: Identity) -> User:
        now_ms = self._clock.now_ms()
        assert identity.role is not None
        user = User(
            identity.name, identity.role, None, self._ids.make(now_ms), now_ms, "oidc", now_ms, identity.subject
        )
        await self._auditor(_system()).note(AuditAction.USER_ADD, "user", user.name, role=user.role.value, way="oidc")
        if not await self._accounts.add_user(user):
            raise LoginError(f"the name {user.name} was taken at this moment; try again")
        return user

    async def _with_role(self, user: User, role: Role, address: str | None) -> User:
        now_ms = self._clock.now_ms()
        changed = replace(user, role=role, stamp=self._ids.make(now_ms), changed_at_ms=now_ms)
        await self._auditor(_system()).note(AuditAction.USER_ROLE, "user", user.name, role=role.value, way="oidc")
        if not await self._accounts.change_user(changed, user.stamp):
            await self._failed(user, address, "changed meanwhile")
            raise LoginError("the account was changed at this moment; try again")
        return changed

    async def _failed(self, user: User | None, address: str | None, why: str) -> None:
        name = user.name if user else UNKNOWN
        log.warning("login_failed", user=name, address=address, why=why)
        if self._limits.may_be_noted():
            who = Caller(name, CallerKind.USER, frozenset(), address)
            await self._auditor(who).note(AuditAction.LOGIN_FAILED, "user", name, reason=why)

    def signed_in(self, user: User, address: str | None, session: str | None = None) -> Caller:
        """The user as who asks. session: None while he has none yet."""
        scopes = self.seen_with(scopes_of_role(user.role))
        return Caller(user.name, CallerKind.USER, scopes, address, session)

    @property
    def _idle_ms(self) -> int:
        return self._settings.idle_ms


def make_token(id_: str, secret: bytes) -> str:
    """The text of a token, which is shown once."""
    return f"{TOKEN_PREFIX}{id_.replace('-', '')}_{_text(secret)}"


def session_id(cookie: str) -> str | None:
    """The id of the session that a cookie is about, whether it is a true one or not."""
    found = _COOKIE.fullmatch(cookie)
    return found[1] if found else None


def _system() -> Caller:
    return Caller("longstop", CallerKind.SYSTEM, frozenset())


def _text(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(f"{text}=")


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

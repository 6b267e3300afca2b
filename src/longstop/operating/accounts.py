"""Users and tokens: making, changing and removing them. Each is noted in the audit log; no secret ever is."""

import secrets
from dataclasses import replace

from longstop.model.accounts import NAME, SECRET_BYTES, Role, Token, User, digest, is_name, name_key
from longstop.model.audit import AuditAction
from longstop.model.caller import Scope
from longstop.model.errors import AccountConflictError, AccountError, NotFoundError
from longstop.model.ids import IdFactory
from longstop.operating.access import make_token
from longstop.operating.audit import Auditor
from longstop.operating.passwords import Passwords
from longstop.ports import Accounts as Store
from longstop.ports import Clock


class Accounts:
    """Changes who may use the operators' side, on behalf of the auditor's caller."""

    def __init__(self, store: Store, passwords: Passwords, auditor: Auditor, clock: Clock, ids: IdFactory) -> None:
        self._store = store
        self._passwords = passwords
        self._auditor = auditor
        self._clock = clock
        self._ids = ids

    # -- users ------------------------------------------------------------------------------------

    async def add_user(self, name: str, role: Role, password: str) -> User:
        """A new user, who signs in by a password. Raises AccountError, AccountConflictError where the name is taken."""
        _expect_name(name)
        now_ms = self._clock.now_ms()
        hashed = await self._passwords.hash(password)
        user = User(name, role, hashed, self._ids.make(now_ms), now_ms, self._auditor.by, now_ms)
        await self._auditor.note(AuditAction.USER_ADD, "user", name, role=role.value)
        if not await self._store.add_user(user):
            raise AccountConflictError(f"there is a user {name} already; `longstop users passwd {name}` changes it")
        return user

    async def change_user(
        self, name: str, *, role: Role | None = None, password: str | None = None, disabled: bool | None = None
    ) -> User:
        """Change what is given. Whoever is signed in under this name has to do so again.

        Raises NotFoundError, AccountError, AccountConflictError where somebody else changed it at this moment.
        """
        user = await self._user(name)
        now_ms = self._clock.now_ms()
        hashed = user.password if password is None else await self._passwords.hash(password)
        changed = replace(
            user,
            role=user.role if role is None else role,
            password=hashed,
            disabled=user.disabled if disabled is None else disabled,
            stamp=self._ids.make(now_ms),
            changed_at_ms=now_ms,
        )
        if role is not None:
            await self._auditor.note(AuditAction.USER_ROLE, "user", user.name, role=role.value, was=user.role.value)
        if password is not None:
            await self._auditor.note(AuditAction.USER_PASSWORD, "user", user.name)
        if disabled is not None:
            action = AuditAction.USER_DISABLE if disabled else AuditAction.USER_ENABLE
            await self._auditor.note(action, "user", user.name)
        if not await self._store.change_user(changed, user.stamp):
            raise AccountConflictError(f"somebody else changed {name} at this moment; look at it and try again")
        return changed

    async def remove_user(self, name: str) -> None:
        """Remove a user; whoever is signed in under the name is so no more. Raises NotFoundError."""
        user = await self._user(name)
        await self._auditor.note(AuditAction.USER_REMOVE, "user", user.name, role=user.role.value)
        await self._store.remove_user(user.key)

    async def _user(self, name: str) -> User:
        user = await self._store.user(name_key(name))
        if user is None:
            raise NotFoundError(f'found no user "{name}"; `longstop users list` shows them')
        return user

    # -- tokens -----------------------------------------------------------------------------------

    async def create_token(
        self, name: str, scopes: frozenset[Scope], expires_at_ms: int | None = None
    ) -> tuple[Token, str]:
        """A new token, and its text, which is nowhere from then on. Raises AccountError."""
        _expect_name(name)
        now_ms = self._clock.now_ms()
        if not scopes:
            raise AccountError("found no scope; expected one or more of view, replay, bodies, admin")
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise AccountError("found an end in the past; expected one to come")
        secret = secrets.token_bytes(SECRET_BYTES)
        token = Token(self._ids.make(now_ms), name, digest(secret), scopes, now_ms, self._auditor.by, expires_at_ms)
        listed = " ".join(sorted(scopes))
        await self._auditor.note(AuditAction.TOKEN_CREATE, "token", token.id, name=name, scopes=listed)
        await self._store.add_token(token)
        return token, make_token(token.id, secret)

    async def revoke_token(self, id_: str) -> None:
        """End a token at once. Raises NotFoundError."""
        token = await self._store.token(id_)
        if token is None:
            raise NotFoundError(f"no token has the id {id_}; `longstop tokens list` shows them")
        await self._auditor.note(AuditAction.TOKEN_REVOKE, "token", id_, name=token.name)
        await self._store.remove_token(id_)

    # -- sessions ---------------------------------------------------------------------------------

    async def revoke_session(self, id_: str) -> None:
        """End a session at once. Raises NotFoundError."""
        session = await self._store.session(id_)
        if session is None:
            raise NotFoundError(f"no session has the id {id_}")
        await self._auditor.note(AuditAction.SESSION_REVOKE, "session", id_, user=session.user)
        await self._store.end_sessions([id_])


def _expect_name(name: str) -> None:
    if not is_name(name):
        raise AccountError(f"found a name of {len(name)} characters; expected {NAME}")

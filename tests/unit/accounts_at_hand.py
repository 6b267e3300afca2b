"""Access on a store in memory, with a clock that tests set and a hash that costs next to nothing."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import argon2

from longstop.model.accounts import Role
from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind
from longstop.model.ids import IdFactory
from longstop.model.listing import Page
from longstop.operating.access import Access, AccessSettings
from longstop.operating.accounts import Accounts
from longstop.operating.audit import Auditor
from longstop.operating.login_limits import LoginLimits
from longstop.operating.passwords import Compared, Passwords
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.7"
CLI = Caller("root", CallerKind.CLI, ALL_SCOPES)
HOUR_MS = 3_600_000
SETTINGS = AccessSettings(lifetime_ms=12 * HOUR_MS, idle_ms=HOUR_MS)


class SetClock:
    """Says what it was set to."""

    def __init__(self) -> None:
        self.ms = AT_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        await asyncio.sleep(0)


class CountedPasswords(Passwords):
    """Remembers what was compared with what."""

    def __init__(self, hasher: argon2.PasswordHasher = CHEAP) -> None:
        super().__init__(hasher)
        self.compared: list[str | None] = []

    async def compare(self, password: str, kept: str | None) -> Compared:
        self.compared.append(kept)
        return await super().compare(password, kept)


@dataclass
class House:
    """Everything around accounts."""

    store: Any = field(default_factory=MemoryStore)
    clock: SetClock = field(default_factory=SetClock)
    settings: AccessSettings = SETTINGS
    passwords: CountedPasswords = field(default_factory=CountedPasswords)
    ids: IdFactory = field(default_factory=lambda: IdFactory(random.Random(1)))

    def __post_init__(self) -> None:
        self.limits = LoginLimits(self.clock, b"salt")
        self.access = Access(self.store, self.auditor, self.passwords, self.limits, self.clock, self.ids, self.settings)
        self.accounts = self.accounts_by(CLI)

    def auditor(self, caller: Caller) -> Auditor:
        return Auditor(self.store, self.clock, self.ids, caller)

    def accounts_by(self, caller: Caller) -> Accounts:
        return Accounts(self.store, self.passwords, self.auditor(caller), self.clock, self.ids)

    async def with_user(self, name: str = "ada", role: Role = Role.REPLAY) -> "House":
        await self.accounts.add_user(name, role, PASSWORD)
        return self

    async def noted(self) -> list[AuditEntry]:
        """The audit log, oldest first."""
        return list((await self.store.audit(AuditFilter(), Page(500, newest_first=False))).rows)

    async def actions(self) -> list[str]:
        return [each.action.value for each in await self.noted()]

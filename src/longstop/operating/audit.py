"""Noting what people do and look at, in the audit log, before it is done.

Before, and not after: what cannot be noted is not done, and nothing that was done is missing. An entry says what was
asked for; what became of it, the delivery's own history says, or the job.
"""

from collections.abc import Sequence
from types import MappingProxyType

from longstop.model.audit import DETAIL_CHARS_MAX, IDS_MAX, AuditAction, AuditEntry, Target
from longstop.model.caller import Caller
from longstop.model.ids import IdFactory
from longstop.ports import AuditLog, Clock

FORGET_AT_ONCE = 1_000
"""How many entries retention drops in one transaction."""


class Auditor:
    """Notes what one caller does."""

    def __init__(self, log: AuditLog, clock: Clock, ids: IdFactory, caller: Caller) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self.caller = caller

    @property
    def by(self) -> str:
        """What is recorded of every decision."""
        return self.caller.name

    async def note(
        self, action: AuditAction, kind: str, id_: str, *, count: int = 1, why: str | None = None, **details: str | None
    ) -> None:
        """Note something about the one thing of this kind and id, or about so many. Raises StoreUnavailableError."""
        now_ms = self._clock.now_ms()
        told = {name: _cut(text) for name, text in details.items() if text}
        entry = AuditEntry(
            self._ids.make(now_ms),
            now_ms,
            _cut(self.caller.name),
            self.caller.kind,
            action,
            Target(kind, _cut(id_)),
            count,
            _cut(why) if why else None,
            self.caller.address,
            MappingProxyType(told),
        )
        await self._log.note([entry])

    async def note_many(self, action: AuditAction, kind: str, ids: Sequence[str], *, why: str | None = None) -> None:
        """Note something about several: one entry, which names the first of them. Nothing where there are none."""
        if ids:
            named = ", ".join(ids[:IDS_MAX]) if len(ids) > 1 else None
            await self.note(action, kind, ids[0], count=len(ids), why=why, ids=named)


async def note_silence(
    auditor: Auditor, kind: str, subject: str | None, *, until: str | None, why: str | None = None
) -> None:
    """Note that alerts of a kind are to be told to nobody until then, or from now on again."""
    await auditor.note(AuditAction.ALERT_SILENCE, "alert", kind, why=why, subject=subject, until=until)


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_CHARS_MAX else f"{text[: DETAIL_CHARS_MAX - 1]}…"


async def forget_audit(log: AuditLog, before_ms: int) -> int:
    """Drop the entries from before a time, some at a time; how many there were."""
    forgotten = 0
    while True:
        step = await log.forget_audit(before_ms, FORGET_AT_ONCE)
        forgotten += step
        if step < FORGET_AT_ONCE:
            return forgotten

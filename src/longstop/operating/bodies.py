"""Looking at a body: noted in the audit log, and with its fields hidden from whoever lacks the scope for them."""

import asyncio

from longstop.model.audit import AuditAction
from longstop.model.caller import Scope
from longstop.model.errors import HiddenError
from longstop.model.event import Event
from longstop.operating.audit import Auditor
from longstop.operating.masking import Masking

AT_ONCE_BYTES = 64 * 1024
"""What is larger is parsed in a thread: nobody else waits for it."""


class Bodies:
    """Hands bodies out, to the auditor's caller."""

    def __init__(self, masking: Masking, auditor: Auditor) -> None:
        self._masking = masking
        self._auditor = auditor

    @property
    def hides(self) -> bool:
        """Whether what is shown is not what was sent."""
        return self._masking.hides_from(self._auditor.caller)

    async def note(self, kind: str, id_: str, count: int = 1, **details: str | None) -> None:
        """Note that bodies are looked at: of the one thing of this kind and id, or so many."""
        await self._auditor.note(
            AuditAction.BODY_READ, kind, id_, count=count, masked="yes" if self.hides else None, **details
        )

    async def shown(self, event: Event) -> bytes:
        """The body as this caller may see it. Raises HiddenError where that is nothing of it."""
        hides = self.hides
        await self.note("event", event.id)
        if not hides:
            return event.body
        if len(event.body) <= AT_ONCE_BYTES:
            body = self._masking.body(event)
        else:
            body = await asyncio.to_thread(self._masking.body, event)
        if body is None:
            raise HiddenError(
                "the body is neither JSON nor a form, so it cannot be told where in it the masked fields are; "
                f"to see it takes the scope {Scope.BODIES}"
            )
        return body

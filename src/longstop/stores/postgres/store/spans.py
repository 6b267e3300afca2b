"""Forgetting by the span: that part of ports.Retention over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.retention import Cutoffs, Forgettable, Span
from longstop.stores.postgres import span_retention, spans
from longstop.stores.postgres.database import PostgresDatabase


class PostgresSpans(PostgresDatabase):
    """See ports.Retention."""

    async def prepare_spans(self, now_ms: int) -> None:
        """See ports.Retention."""
        await spans.prepare(self, now_ms)

    async def due_span(self, before: Cutoffs) -> Span | None:
        """See ports.Retention."""
        return await span_retention.due(self, before)

    async def span_events(self, span: Span, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        return await self.view(lambda connection: span_retention.events(connection, span, after, limit))

    async def forget_span(self, span: Span, before: Cutoffs, keep: Sequence[str]) -> int | None:
        """See ports.Retention."""
        return await span_retention.forget(self, span, before, keep)

"""How far the times in a store's ids lie from the times of arrival, and what follows for searching.

An id begins with the time when it was made, which is about `received_at_ms`. A store notes by how much it was not, at
most and ever. An event and its deliveries have the same time of arrival: so their ids' times lie no further apart than
the most ahead and the most behind together, and who goes through events knows which deliveries none of the others has.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from longstop.model.ids import format_uuid7, id_ms, is_id
from longstop.model.listing import Page
from longstop.model.value import value

APART_MAX_MS = 1_000
"""Further apart they lie after a clock was put back, or where another program made them: many events lie between."""
_TIMES = 1 << 48
_LAST_TAIL = (1 << 74) - 1


@value(frozen=True, slots=True)
class IdTimes:
    """Of one store; each at most, over all that it ever kept."""

    ahead_ms: int
    """How far the time in an id is after the arrival."""
    behind_ms: int
    """How far it is before that."""
    early_ms: int
    """How far a delivery's end lies before its arrival, by a clock that was put back."""

    def wider(self, id_: str, received_at_ms: int, ended_at_ms: int | None = None) -> Self:
        """With this id, too, of what was received then and has ended then; the same where nothing is further."""
        ahead_ms = id_ms(id_) - received_at_ms
        early_ms = 0 if ended_at_ms is None else received_at_ms - ended_at_ms
        if ahead_ms <= self.ahead_ms and -ahead_ms <= self.behind_ms and early_ms <= self.early_ms:
            return self
        wider = max(self.ahead_ms, ahead_ms), max(self.behind_ms, -ahead_ms), max(self.early_ms, early_ms)
        return replace(self, ahead_ms=wider[0], behind_ms=wider[1], early_ms=wider[2])

    @property
    def apart_ms(self) -> int:
        """How far the times in the ids of an event and of its delivery lie apart."""
        return self.ahead_ms + self.behind_ms

    @property
    def are_near(self) -> bool:
        """Whether who goes through the events comes by their deliveries soon."""
        return self.apart_ms <= APART_MAX_MS

    def received(
        self, since_ms: int | None, until_ms: int | None, ended_until_ms: int | None = None
    ) -> tuple[str | None, str | None]:
        """Times of arrival as bounds of ids, the first inclusive, the second exclusive; None: there is none.

        ended_until_ms: what ended before that was received before it, too.
        """
        ends_ms = [] if until_ms is None else [until_ms + self.ahead_ms]
        ends_ms += [] if ended_until_ms is None else [ended_until_ms + self.ahead_ms + self.early_ms]
        low = None if since_ms is None else _lowest(since_ms - self.behind_ms)
        return low, _lowest(min(ends_ms)) if ends_ms else None

    def events_behind(self, page: Page) -> str | None:
        """Where to begin among the events, as a page's `after`, for a page of deliveries; None: with the first."""
        if page.after is None or not is_id(page.after):
            return None
        at_ms = id_ms(page.after)
        return _lowest(at_ms + self.apart_ms + 1) if page.newest_first else _highest(at_ms - self.apart_ms - 1)

    def before_others(self, ids: Iterable[str], looked_to: str, newest_first: bool) -> list[str]:
        """Those of these deliveries that come before all that the events behind this id have.

        looked_to: down to this id (oldest first: up to it) what is wanted of the events' deliveries is among these.
        """
        at_ms = id_ms(looked_to)
        if newest_first:
            edge = _highest(at_ms + self.apart_ms)
            return [each for each in ids if each > edge]
        edge = _lowest(at_ms - self.apart_ms)
        return [each for each in ids if each < edge]


def _lowest(at_ms: int) -> str:
    """No id of this time or a later one is lower."""
    return format_uuid7(min(max(at_ms, 0), _TIMES - 1), 0)


def _highest(at_ms: int) -> str:
    """No id of this time or an earlier one is higher."""
    return format_uuid7(min(at_ms, _TIMES - 1), _LAST_TAIL) if at_ms >= 0 else ""

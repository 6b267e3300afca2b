"""Rows that cannot be read, because another program has written over them: told, left out, made anew.

A delivery is made anew from what its item says beside its row, in the attributes of the indexes, and from its event; so
it can be parked, listed and decided on, and nothing stands still behind it.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

import structlog

from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event
from longstop.model.ids import id_ms
from longstop.stores.aws.attributes import Item, key_of

T = TypeVar("T")

log = structlog.get_logger("longstop.store")


def readable(items: Iterable[Item], make: Callable[[Item], T]) -> Iterator[T]:
    """What is made of rows. One that cannot be read is left out, and told."""
    for item in items:
        made = read(item, make)
        if made is not None:
            yield made


def read(item: Item, make: Callable[[Item], T]) -> T | None:
    """What is made of a row; None where it cannot be read, which is told."""
    try:
        return make(item)
    except UnreadableRowError as error:
        tell("/".join(key_of(item)), error.trouble)
    except (ValueError, TypeError, KeyError) as error:
        tell("/".join(key_of(item)), str(error))
    return None


@lru_cache(maxsize=1_000)
def tell(row: str, trouble: str) -> None:
    """Say so, once: most of what reads it does so again and again."""
    log.error("row_unreadable", row=row, error=trouble)


def tell_parked(delivery: Delivery) -> None:
    """Say that it is dead now."""
    log.error("delivery_unreadable", delivery_id=delivery.id, event_id=delivery.event_id, error=delivery.last_error)


def trouble_of(error: UnreadableRowError) -> str:
    """What a delivery that is parked for it says."""
    return f"the store's row cannot be read: {error.trouble}"


def remade(item: Item, event: Event | None, attempts: int) -> Delivery:
    """A delivery of which only what its item says beside the row is left. event: its own, where that can be read."""
    id_ = str(item["sk"] if str(item["pk"]).startswith("D#") else str(item["pk"])[2:])
    list_, _, rest = str(item.get("of_all", "")).removeprefix("L#").partition("#")
    state, until = _state(item, list_)
    received_at_ms = id_ms(id_) if event is None else event.received_at_ms
    return Delivery(
        id=id_,
        event_id=str(item.get("event", "")),
        source="" if event is None else event.source,
        type=None if event is None else event.type,
        key=None if event is None else event.key,
        received_at_ms=received_at_ms,
        destination=rest.rpartition("#")[0],
        state=state,
        due_at_ms=received_at_ms,
        lane=str(item["lane"]) if "lane" in item else None,
        round_at_ms=received_at_ms,
        attempts=attempts,
        # More than there can have been leases: whoever holds an old one is refused.
        token=received_at_ms,
        lease_until_ms=until,
        reason=DeadReason.MALFORMED if state is State.DEAD else None,
        ended_at_ms=_whole(str(item.get("at", "")).partition("#")[0]) if until is None and list_ != "waiting" else None,
    )


def _state(item: Item, list_: str) -> tuple[State, int | None]:
    """By where it lies, and until when it is leased."""
    turn = str(item.get("turn", ""))
    if turn.startswith("~"):
        return State.LEASED, _whole(turn.split("#")[1])
    if str(item["pk"]).startswith("D#"):
        return State.SCHEDULED, None
    return (State(list_) if list_ in (each.value for each in State) else State.DEAD), None


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0

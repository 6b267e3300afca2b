"""What a person means by an id: all of it, a beginning that only one has, or its last eight characters."""

import re
from collections.abc import Sequence

from longstop.edges.rows.looking import Looking
from longstop.model.errors import LongstopError, NotFoundError
from longstop.model.ids import END_CHARS, is_id

_PART = re.compile(r"[0-9a-f-]{4,35}")
_SHOWN = 6


class AmbiguousIdError(LongstopError):
    """A short id that may be any of several."""


def short(id_: str) -> str:
    """As much of an id as tells it from others on a screen; every command takes it."""
    return id_[-END_CHARS:]


def normal(text: str) -> str:
    """An id as it was typed or pasted, in the one form that ids have."""
    return text.strip().lower()


async def meant(parts: Looking, text: str) -> str:
    """The id of an event or a delivery that a text stands for.

    Where an event and its own deliveries are all that fits, it is the event. Raises AmbiguousIdError where several are
    meant, NotFoundError where none is.
    """
    found = await candidates(parts, text)
    if len(found) == 1:
        return found[0]
    events = {(await _event_of(parts, id_)) for id_ in found}
    if len(events) == 1:
        return events.pop()
    raise ambiguous(text, found)


async def candidates(parts: Looking, text: str) -> Sequence[str]:
    """The ids of events and deliveries that a text may stand for, at least one; no more than tell that they are many.

    A whole one stands for itself, whether or not there is such a thing. Raises NotFoundError where there is none.
    """
    text = normal(text)
    if is_id(text):
        return [text]
    if not _PART.fullmatch(text):
        raise NotFoundError(not_found(text))
    found = await parts.store.find_ids(text, _SHOWN + 1)
    if not found:
        raise NotFoundError(
            f"no id begins with {text}, and none of the latest ends with it; `longstop events list --json` and "
            "`longstop dead list --json` show whole ids"
        )
    return found


def ambiguous(text: str, found: Sequence[str]) -> AmbiguousIdError:
    """The error that lists what may be meant."""
    listed = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    return AmbiguousIdError(f"{normal(text)} may be any of {listed}; give more of it")


async def _event_of(parts: Looking, id_: str) -> str:
    delivery = await parts.store.delivery(id_)
    return delivery.event_id if delivery else id_


def not_found(id_: str) -> str:
    """What to say of an id that nothing has."""
    if not is_id(id_):
        return (
            f'found "{id_}"; expected an id such as 019ab0c2-7d1e-7000-8000-0123456789ab, its beginning or its last '
            f"{END_CHARS} characters; `events list` shows ids"
        )
    return f"no event or delivery has the id {id_}; `longstop events list` and `longstop dead list` show ids"

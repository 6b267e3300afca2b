"""Finding what a person asks for: an event by its id or a delivery's, kept or archived."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longstop.edges.rows.ids import ambiguous, candidates, meant, normal, not_found, short
from longstop.edges.rows.looking import Looking
from longstop.model.credentials import credential_headers
from longstop.model.delivery import Delivery
from longstop.model.errors import NotFoundError
from longstop.model.listing import History, KeptEvent, Listing, Page
from longstop.model.rejection import SAMPLES_KEPT, UNKNOWN, Rejection

if TYPE_CHECKING:
    from longstop.ports import Store


async def find_event(parts: Looking, text: str) -> tuple[KeptEvent, Sequence[History], str | None]:
    """The event that is meant, what was done with it, and in which file it is where it has been archived.

    Raises NotFoundError, AmbiguousIdError, ArchiveError.
    """
    id_ = await meant(parts, text)
    kept = await parts.store.event(id_)
    if kept is None and (delivery := await parts.store.delivery(id_)) is not None:
        kept = await parts.store.event(delivery.event_id)
    if kept is not None:
        return kept, [await parts.store.history(delivery.id) for delivery in kept.deliveries], None
    archived = await parts.archive.find(id_) if parts.archive is not None else None
    if archived is None:
        raise NotFoundError(not_found(id_))
    return archived.whole.kept, archived.whole.histories, archived.place


async def find_delivery(parts: Looking, text: str) -> Delivery:
    """The delivery that is meant. Raises NotFoundError, AmbiguousIdError."""
    ids = await candidates(parts, text)
    found = [each for id_ in ids if (each := await parts.store.delivery(id_)) is not None]
    if not found:
        raise NotFoundError(f"no delivery has the id {text}; `longstop dead list` shows some")
    if len(found) > 1:
        raise ambiguous(text, [each.id for each in found])
    return found[0]


async def find_rejection(store: "Store", source: str, text: str) -> Rejection:
    """The refused request of this id, or that ends with it, of this source or of the unknown names.

    Raises NotFoundError.
    """
    id_ = normal(text)
    for name in (source, UNKNOWN):
        page = await store.rejections(name, Page(SAMPLES_KEPT))
        found = [each for each in page.rows if id_ in (each.id, short(each.id))]
        if found:
            return found[0]
    raise NotFoundError(
        f"found no refused request {id_} of {source}, nor of an unknown name; the last {SAMPLES_KEPT} of each source "
        f"are kept; `longstop sources rejections {source}` lists them"
    )


async def events_of(parts: Looking, found: Listing[Delivery]) -> list[KeptEvent]:
    """The events of deliveries, each once."""
    ids = dict.fromkeys(delivery.event_id for delivery in found.rows)
    events = [await parts.store.event(id_) for id_ in ids]
    return [kept for kept in events if kept is not None]


def secret_headers(parts: Looking) -> set[str]:
    """Headers that carry a credential as the configuration has it. A signature is none: it proves one body only."""
    names = (credential_headers(source) for source in parts.config.sources)
    return {name.decode("latin-1") for each in names for name in each}

"""Deciding on deliveries and events that are named: what each id stands for, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from longstop.edges.desk.desk import ByIds, Decision, NamedSurvey
from longstop.edges.desk.lookups import delivery_rows
from longstop.edges.rows.deliveries import result_row
from longstop.edges.rows.ids import AmbiguousIdError, meant, normal, not_found
from longstop.edges.rows.jobs import survey_row
from longstop.edges.rows.looking import Looking
from longstop.edges.rows.values import Row
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LongstopError, NotFoundError
from longstop.model.ids import is_id
from longstop.operating.replay import DEAD_OR_ENDED, DEAD_OR_WAITING, WAITING, Done, Replay
from longstop.operating.survey import survey_of

VERBS: Mapping[Decision, str] = {"replay": "replayed", "discard": "discarded", "expedite": "expedited"}
_PREFER = {"replay": DEAD_OR_ENDED, "discard": DEAD_OR_WAITING, "expedite": WAITING}


@dataclass
class _Named:
    """What ids turned out to mean."""

    deliveries: list[Delivery] = field(default_factory=list)
    unrouted: list[str] = field(default_factory=list)
    """Events without any delivery."""
    failed: list[Row] = field(default_factory=list)
    """Results of ids that mean nothing that could be decided on."""


async def survey_ids(looking: Looking, service: Replay, wanted: ByIds) -> NamedSurvey:
    """What the decision would be of. Nothing is changed."""
    named = await _named(looking, service, wanted)
    found = survey_of(named.deliveries, besides=len(named.unrouted))
    # Read again, by whoever looks: services see everything.
    sample = [each for kept in found.sample if (each := await looking.store.delivery(kept.id)) is not None]
    return NamedSurvey({**survey_row(found), "sample": await delivery_rows(looking, sample)}, named.failed)


async def decide_by_ids(looking: Looking, service: Replay, wanted: ByIds) -> list[Row]:
    """Decide on all that the ids stand for; a result row for each, also for an id that stands for nothing."""
    named = await _named(looking, service, wanted)
    routed = [await _route_again(service, id_, wanted.why) for id_ in named.unrouted]
    done = await _decide(service, named.deliveries, wanted)
    return [
        *named.failed,
        *routed,
        *(result_row(each.delivery_id, each.event_id, each.state, each.error) for each in done),
    ]


async def _decide(service: Replay, deliveries: Sequence[Delivery], wanted: ByIds) -> list[Done]:
    if wanted.action == "replay":
        return await service.replay(deliveries, wanted.rate_per_s, why=wanted.why)
    if wanted.action == "discard":
        return await service.discard(deliveries, wanted.why or "")
    return await service.expedite(deliveries, wanted.why)


async def _named(looking: Looking, service: Replay, wanted: ByIds) -> _Named:
    named = _Named()
    seen: set[str] = set()
    for text in dict.fromkeys(normal(id_) for id_ in wanted.ids):
        id_ = text
        try:
            id_ = await meant(looking, text)
            found = await service.by_id(id_, _PREFER[wanted.action])
        except NotFoundError as error:
            named.failed.append(result_row(id_, None, None, not_found(id_) if is_id(id_) else str(error)))
            continue
        except AmbiguousIdError as error:
            named.failed.append(result_row(id_, None, None, str(error)))
            continue
        named.deliveries += [delivery for delivery in found if delivery.id not in seen]
        seen.update(delivery.id for delivery in found)
        if not found:
            await _without_any(looking, id_, wanted.action, named)
    return named


async def _without_any(looking: Looking, id_: str, action: Decision, named: _Named) -> None:
    # An event whose deliveries are all under way must not be taken for an unrouted one: it would be sent twice.
    kept = await looking.store.event(id_)
    if kept is not None and kept.deliveries:
        states = ", ".join(dict.fromkeys(each.state.value for each in kept.deliveries))
        error = f"it has nothing that can be {VERBS[action]}: its deliveries are {states}"
        named.failed.append(result_row(id_, id_, None, error))
    elif action == "replay":
        named.unrouted.append(id_)
    else:
        error = f"no route wanted it, so it has no delivery that could be {VERBS[action]}"
        named.failed.append(result_row(id_, id_, None, error))


async def _route_again(service: Replay, id_: str, why: str | None) -> Row:
    try:
        event = await service.route_again(id_, why)
    except LongstopError as error:
        return result_row(id_, id_, None, str(error))
    return result_row(id_, event.id, State.SCHEDULED, None)

"""Carrying a decision out, in bulk: for a few ids or for all that a filter selects, with results as they come."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, FAILED, say
from longstop.edges.cli.job_run import tell_survey
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, Program, on_store
from longstop.edges.cli.selection import Selection
from longstop.edges.rows.deliveries import result_row
from longstop.edges.rows.ids import AmbiguousIdError, meant, not_found
from longstop.edges.rows.known import expect_known
from longstop.edges.rows.values import Row
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LongstopError, NotFoundError
from longstop.model.ids import is_id
from longstop.operating.survey import survey_of

if TYPE_CHECKING:
    from longstop.operating.replay import Done, Replay

CHUNK = 100
"""Deliveries decided on at once, between two steps of the progress bar."""
SHOWN = 10
"""Errors said one by one; of more only the number is told."""

Decide = Callable[["Replay", Sequence[Delivery], int], Awaitable["list[Done]"]]
"""Decides on some deliveries of the selection; the number says how many went before."""


@dataclass
class Named:
    """What ids turned out to mean."""

    deliveries: list[Delivery] = field(default_factory=list)
    unrouted: list[str] = field(default_factory=list)
    """Events without any delivery."""
    failed: list[Row] = field(default_factory=list)
    """Results of ids that mean nothing that could be decided on."""


class Decision:
    """A decision on a selection, as one command asks for it.

    verb: what is said of it at the end, as `replayed`.
    prefer: which of an event's deliveries its id stands for, as in `Replay.by_id`.
    routes_again: whether events without a delivery are routed anew; otherwise there is nothing to decide on.
    """

    def __init__(
        self,
        verb: str,
        selection: Selection,
        decide: Decide,
        *,
        json: bool,
        prefer: Sequence[frozenset[State]],
        routes_again: bool = False,
    ) -> None:
        self._verb = verb
        self._prefer = prefer
        self._selection = selection
        self._decide = decide
        self._json = json
        self._routes_again = routes_again
        self._done = 0
        self._errors = 0

    async def preview(self, parts: Parts, service: "Replay") -> int:
        """Change nothing; say how many there are, and show the first."""
        if self._selection.ids:
            named = await self._named(parts, service)
            self._tell(named.failed if not self._json else [])
            found = survey_of(named.deliveries, besides=len(named.unrouted))
        else:
            await self._expect_known(parts)
            found = await service.preview(self._selection.wanted)
        tell_survey(parts, found, self._verb, self._json)
        return FAILED if self._selection.ids and named.failed else DONE

    async def carry_out(self, parts: Parts, service: "Replay") -> int:
        """Decide on all of it; FAILED where something could not be done."""
        await self._expect_known(parts)
        try:
            if self._selection.ids:
                await self._carry_out_named(await self._named(parts, service), service)
            else:
                await self._carry_out_found(service)
        finally:
            # Also where the store fails midway: what was done is done.
            self._sum_up()
        return FAILED if self._errors else DONE

    async def _carry_out_named(self, named: Named, service: "Replay") -> None:
        self._tell(named.failed)
        for id_ in named.unrouted:
            self._tell([await _route_again(service, id_)])
        self._tell_done(await self._decide(service, named.deliveries, 0))

    async def _carry_out_found(self, service: "Replay") -> None:
        offset = 0
        with output.progress(self._verb, None) as advance:
            async for chunk in _chunks(service.select(self._selection.wanted)):
                self._tell_done(await self._decide(service, chunk, offset))
                offset += len(chunk)
                advance(len(chunk))

    async def _expect_known(self, parts: Parts) -> None:
        if not self._selection.ids:
            await expect_known(parts, self._selection.wanted.source, self._selection.wanted.destination)

    async def _named(self, parts: Parts, service: "Replay") -> Named:
        named = Named()
        seen: set[str] = set()
        for text in self._selection.ids:
            id_ = text
            try:
                id_ = await meant(parts, text)
                found = await service.by_id(id_, self._prefer)
            except NotFoundError as error:
                named.failed.append(result_row(id_, None, None, not_found(id_) if is_id(id_) else str(error)))
                continue
            except AmbiguousIdError as error:
                named.failed.append(result_row(id_, None, None, str(error)))
                continue
            named.deliveries += [delivery for delivery in found if delivery.id not in seen]
            seen.update(delivery.id for delivery in found)
            if not found:
                await self._without_any(parts, id_, named)
        return named

    async def _without_any(self, parts: Parts, id_: str, named: Named) -> None:
        # An event whose deliveries are all under way must not be taken for an unrouted one: it would be sent twice.
        kept = await parts.store.event(id_)
        if kept is not None and kept.deliveries:
            states = ", ".join(dict.fromkeys(each.state.value for each in kept.deliveries))
            error = f"it has nothing that can be {self._verb}: its deliveries are {states}"
            named.failed.append(result_row(id_, id_, None, error))
        elif self._routes_again:
            named.unrouted.append(id_)
        else:
            error = f"no route wanted it, so it has no delivery that could be {self._verb}"
            named.failed.append(result_row(id_, id_, None, error))

    def _tell_done(self, done: Sequence["Done"]) -> None:
        self._tell([result_row(each.delivery_id, each.event_id, each.state, each.error) for each in done])

    def _tell(self, results: Sequence[Row]) -> None:
        for each in results:
            if each["error"] is None:
                self._done += 1
            else:
                self._errors += 1
            if self._json:
                output.json_line(each)
            elif each["error"] is not None and self._errors <= SHOWN:
                say([f"{each['id']}: {each['error']}"])

    def _sum_up(self) -> None:
        if self._json:
            return
        if self._done == self._errors == 0:
            say([f"Nothing matches that could be {self._verb}; nothing was changed."])
        else:
            output.line(f"{self._done} {self._verb}" + (f", {self._errors} could not be" if self._errors else ""))


async def _route_again(service: "Replay", id_: str) -> Row:
    try:
        event = await service.route_again(id_)
    except LongstopError as error:
        return result_row(id_, id_, None, str(error))
    return result_row(id_, event.id, State.SCHEDULED, None)


async def _chunks(deliveries: AsyncIterator[Delivery]) -> AsyncIterator[list[Delivery]]:
    chunk: list[Delivery] = []
    async for delivery in deliveries:
        chunk.append(delivery)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def decide_on_store(program: Program, config: Path, decision: Decision, dry_run: bool) -> int:
    async def work(parts: Parts) -> int:
        service = parts.replay(caller())
        return await (decision.preview(parts, service) if dry_run else decision.carry_out(parts, service))

    return on_store(program, config, work)

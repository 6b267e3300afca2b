"""Carrying a decision out on what ids name, or, of what is expedited, on all that a filter selects."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE, FAILED, say
from longstop.edges.cli.job_run import tell_survey
from longstop.edges.cli.program import Program
from longstop.edges.cli.selection import Selection
from longstop.edges.cli.where import Where, at_desk
from longstop.edges.desk.desk import ByIds, Decision, Desk
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.values import Row
from longstop.model.listing import DeliveryFilter, Page

CHUNK = 100
"""Deliveries decided on at once, between two steps of the progress bar."""
SHOWN = 10
"""Errors said one by one; of more only the number is told."""
SAMPLE = 10
"""Deliveries that a dry run shows."""
VERBS: dict[Decision, str] = {"replay": "replayed", "discard": "discarded", "expedite": "expedited"}


def decide(
    program: Program,
    where: Where,
    selection: Selection,
    wanted: ByIds,
    *,
    json: bool,
    dry_run: bool,
) -> int:
    """Decide on a selection as `wanted` says, or say what that would be of; the exit status."""

    async def work(desk: Desk) -> int:
        carried_out = _CarryingOut(desk, selection, replace(wanted, ids=selection.ids), json)
        return await (carried_out.preview() if dry_run else carried_out.run())

    return at_desk(program, where, work)


class _CarryingOut:
    def __init__(self, desk: Desk, selection: Selection, wanted: ByIds, json: bool) -> None:
        self._desk = desk
        self._selection = selection
        self._wanted = wanted
        self._verb = VERBS[wanted.action]
        self._json = json
        self._done = 0
        self._errors = 0

    async def preview(self) -> int:
        """Change nothing; say how many there are, and show the first."""
        failed: Sequence[Row] = ()
        if self._selection.ids:
            named = await self._desk.survey_ids(self._wanted)
            survey, failed = named.survey, named.failed
            self._tell(failed if not self._json else [])
        else:
            survey = await self._survey()
        tell_survey(survey, self._verb, self._desk.clock.now_ms(), self._json)
        return FAILED if failed else DONE

    async def run(self) -> int:
        """Decide on all of it; FAILED where something could not be done."""
        try:
            if self._selection.ids:
                self._tell(await self._desk.decide(self._wanted))
            else:
                await self._run_found()
        finally:
            # Also where it fails midway: what was done is done.
            self._sum_up()
        return FAILED if self._errors else DONE

    async def _run_found(self) -> None:
        with output.progress(self._verb, None) as advance:
            async for chunk in _chunks(self._desk, self._selection.wanted):
                self._tell(await self._desk.decide(replace(self._wanted, ids=[each["id"] for each in chunk])))
                advance(len(chunk))

    async def _survey(self) -> Row:
        """What a filter selects, as a dry run of a job says it."""
        destinations: Counter[str] = Counter()
        keys: set[str] = set()
        times: list[str] = []
        sample: list[Row] = []
        async for chunk in _chunks(self._desk, self._selection.wanted):
            destinations.update(each["destination"] or QUARANTINE for each in chunk)
            keys.update(each["key"] for each in chunk if each["key"] is not None)
            received = [*times, *(each["received_at"] for each in chunk)]
            times = [min(received), max(received)]
            sample += chunk[: SAMPLE - len(sample)]
        oldest, newest = times or (None, None)
        return {
            "count": destinations.total(),
            "exact": True,
            "destinations": dict(destinations),
            "keys": len(keys),
            "oldest_at": oldest,
            "newest_at": newest,
            "sample": sample,
        }

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


async def _chunks(desk: Desk, wanted: DeliveryFilter) -> AsyncIterator[Sequence[Row]]:
    """What a filter selects, oldest first, some at a time."""
    rows, page = desk.deliveries(wanted), Page(CHUNK, newest_first=False)
    while True:
        found = await rows.page(page)
        if found.items:
            yield found.items
        if found.next is None:
            return
        page = replace(page, after=found.next)

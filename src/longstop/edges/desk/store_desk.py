"""The desk at the store itself."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from longstop.edges.desk import lookups
from longstop.edges.desk.behind import Behind, alerts_of, jobs_of, pausing_of
from longstop.edges.desk.decisions import decide_by_ids, survey_ids
from longstop.edges.desk.desk import ByIds, JobStep, NamedSurvey, RowList, RowPage, UserChange
from longstop.edges.rows.access import audit_row, token_meant, token_row, user_row
from longstop.edges.rows.activity import Activity
from longstop.edges.rows.alerts import active_rows, silence_row, silence_rows
from longstop.edges.rows.deliveries import group_row
from longstop.edges.rows.edits import edit_row
from longstop.edges.rows.found import find_event
from longstop.edges.rows.ids import AmbiguousIdError, meant
from longstop.edges.rows.jobs import job_row, survey_row
from longstop.edges.rows.known import as_stored, expect_known, expect_one_of
from longstop.edges.rows.sources import rejection_row
from longstop.edges.rows.status import paused_row, resumed_row
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.accounts import Role
from longstop.model.alert_book import Silence
from longstop.model.audit import AuditAction, AuditFilter
from longstop.model.caller import Caller, Scope
from longstop.model.errors import NotFoundError
from longstop.model.job import Job, JobState
from longstop.model.listing import DeliveryFilter, EventFilter, Listing, Page, TimeSteps
from longstop.model.rejection import UNKNOWN
from longstop.operating.audit import note_silence

if TYPE_CHECKING:
    from longstop.operating.job_runner import JobRunner
    from longstop.operating.jobs import JobRequest
    from longstop.ports import Clock

LOOK_EVERY_S = 0.5
"""How often the store is asked for what happened."""
COUNTED = 10_000


class StoreDesk:
    """The desk of one caller at an open store. runner: what carries jobs out here, where no gateway does."""

    def __init__(self, behind: Behind, who: Caller, runner: "JobRunner | None" = None) -> None:
        self._behind = behind
        self._who = who
        self._runner = runner

    @property
    def clock(self) -> "Clock":
        return self._behind.clock

    # -- looking --------------------------------------------------------------------------------------

    async def status(self) -> Row:
        return await lookups.status_of(self._behind)

    def events(self, wanted: EventFilter, of: DeliveryFilter | None = None) -> RowList:
        behind = self._behind
        source, destination = (wanted.source, None) if of is None else (of.source, of.destination)

        async def page(page: Page) -> RowPage:
            await expect_known(behind, source, destination)
            found, events = await lookups.find_events(behind, wanted, of, page)
            return _page(found, await lookups.event_rows(behind, events))

        async def bare(page: Page) -> RowPage:
            # Of deliveries each is counted, as where the listing goes on is one of them.
            if of is not None:
                return _bare(await behind.store.find_deliveries(of, page))
            return _bare(await behind.store.find_events(wanted, page))

        return RowList(page, bare, COUNTED)

    async def event(self, id_: str) -> Row:
        row = await lookups.event_detail(self._behind, *await find_event(self._behind, id_))
        del row["body"], row["body_base64"]
        return row

    async def body(self, id_: str) -> bytes:
        kept, _, _ = await find_event(self._behind, id_)
        return await self._behind.bodies(self._who).shown(kept.event)

    async def conversation(self, key: str, page: Page) -> RowPage:
        found = await self._behind.store.find_events(EventFilter(key=key), page)
        return _page(found, await lookups.with_histories(self._behind, found.rows))

    def deliveries(self, wanted: DeliveryFilter) -> RowList:
        behind = self._behind

        async def page(page: Page) -> RowPage:
            await expect_known(behind, wanted.source, wanted.destination)
            found = await behind.store.find_deliveries(wanted, page)
            return _page(found, await lookups.delivery_rows(behind, found.rows))

        async def bare(page: Page) -> RowPage:
            return _bare(await behind.store.find_deliveries(wanted, page))

        return RowList(page, bare, COUNTED)

    async def dead_groups(self, destination: str | None, limit: int) -> Sequence[Row]:
        wanted = as_stored(destination)
        await expect_known(self._behind, None, wanted)
        over = TimeSteps.last_day(self._behind.clock.now_ms())
        return [group_row(group) for group in await self._behind.store.dead_groups(wanted, limit, over)]

    async def statistics(self, query: Mapping[str, str]) -> Row:
        # Late: no command asks for them.
        from longstop.edges.rows.statistics import statistics_asked, statistics_row
        from longstop.operating.statistics import StatisticsReader

        store, clock = self._behind.store, self._behind.clock
        asked = statistics_asked(query, clock.now_ms())
        return statistics_row(await StatisticsReader(store, clock).read(asked))

    async def rejections(self, source: str | None, page: Page) -> RowPage:
        if source is not None:
            configured = {each.name for each in self._behind.config.sources}
            expect_one_of("source", source, configured)
        name = UNKNOWN if source is None else source
        found = await self._behind.store.rejections(name, page)
        if with_bodies := sum(each.body_kept for each in found.rows):
            await self._behind.bodies(self._who).note("source", name, with_bodies)
        return _page(found, list(map(rejection_row, found.rows)))

    def audit(self, wanted: AuditFilter) -> RowList:
        async def page(page: Page) -> RowPage:
            found = await self._behind.store.audit(wanted, page)
            return _page(found, list(map(audit_row, found.rows)))

        return RowList(page, page, COUNTED)

    async def activity(self, source: str | None, destination: str | None, since_ms: int | None) -> AsyncIterator[Row]:
        behind, wanted = self._behind, as_stored(destination)
        await expect_known(behind, source, wanted)
        activity = Activity(behind.store, behind.clock.now_ms() if since_ms is None else since_ms, source, wanted)
        while True:
            for line in await activity.next():
                yield line.row()
            await behind.clock.sleep(LOOK_EVERY_S)

    # -- deciding -------------------------------------------------------------------------------------

    async def survey_ids(self, wanted: ByIds) -> NamedSurvey:
        return await survey_ids(self._behind, self._behind.replay(self._who), wanted)

    async def decide(self, wanted: ByIds) -> Sequence[Row]:
        return await decide_by_ids(self._behind, self._behind.replay(self._who), wanted)

    async def plan_edit(self, id_: str, body: bytes) -> Row:
        plan = await self._behind.replay(self._who).plan_edit(await meant(self._behind, id_), body)
        # What is taken away of it, the difference shows.
        await self._behind.bodies(self._who).note("event", plan.parent.id, by="difference")
        return edit_row(plan)

    async def edit(self, id_: str, body: bytes, why: str | None) -> str:
        return (await self._behind.replay(self._who).edit(await meant(self._behind, id_), body, why)).id

    async def pause(self, destination: str, why: str | None) -> Row:
        await self._expect_stoppable(destination)
        return paused_row(destination, await pausing_of(self._behind, self._who).pause(destination, why))

    async def resume(self, destination: str) -> Row:
        await self._expect_stoppable(destination)
        return resumed_row(destination, await pausing_of(self._behind, self._who).resume(destination))

    async def _expect_stoppable(self, destination: str) -> None:
        """Destinations that exist in an application's code alone are known by what was ever kept for them."""
        store = self._behind.store
        configured = [each.name for each in self._behind.config.destinations]
        stopped = {each.destination for each in await store.pauses()}
        stopped |= {each.destination for each in await store.circuits()}
        kept = (await store.counts()).deliveries
        expect_one_of("destination", destination, {*configured, *stopped, *kept} - {""})

    # -- jobs -----------------------------------------------------------------------------------------

    def jobs(self, state: JobState | None) -> RowList:
        async def page(page: Page) -> RowPage:
            found = await self._behind.store.find_jobs(state, page)
            return _page(found, list(map(self._job_row, found.rows)))

        return RowList(page, page, COUNTED)

    async def job(self, id_: str) -> Row:
        return self._job_row(await self._job(id_))

    async def survey(self, asked: "JobRequest") -> Row:
        await expect_known(self._behind, asked.wanted.source, asked.wanted.destination)
        found = await jobs_of(self._behind, self._who).survey(asked)
        return {**survey_row(found), "sample": await lookups.delivery_rows(self._behind, found.sample)}

    async def make_job(self, asked: "JobRequest") -> Row | None:
        await expect_known(self._behind, asked.wanted.source, asked.wanted.destination)
        service = jobs_of(self._behind, self._who)
        job, survey = await service.plan(asked)
        if survey.exact and not survey.count:
            return None
        await service.keep(job)
        return self._job_row(job)

    async def change_job(self, id_: str, step: JobStep, why: str | None) -> Row:
        service = jobs_of(self._behind, self._who)
        change = {"pause": service.pause, "resume": service.resume, "cancel": service.cancel}[step]
        return self._job_row(await change((await self._job(id_)).id, why))

    async def carry_out(self, job_id: str, show: Callable[[Row], None]) -> bool | None:
        if self._runner is None:
            return None
        return await self._runner.carry_out(job_id, lambda job: show(self._job_row(job)))

    def _job_row(self, job: Job) -> Row:
        return job_row(job, self._behind.clock.now_ms())

    async def _job(self, text: str) -> Job:
        service = jobs_of(self._behind, self._who)
        ids = await service.meant(text)
        if not ids:
            raise NotFoundError(f'found no job "{text}"; `longstop jobs list` shows them')
        if len(ids) > 1:
            raise AmbiguousIdError(f"{text} may be any of {', '.join(ids)}; give more of it")
        return await service.job(ids[0])

    # -- alerts ---------------------------------------------------------------------------------------

    async def alerts(self) -> Sequence[Row]:
        return active_rows(await self._behind.store.alert_book(), self._behind.clock.now_ms())

    async def has_looked(self) -> bool:
        return bool((await self._behind.store.alert_book()).began_at_ms)

    async def silences(self) -> Sequence[Row]:
        return silence_rows(await self._behind.store.alert_book(), self._behind.clock.now_ms())

    async def silence(self, kind: str, subject: str | None, for_ms: int, why: str | None) -> Row:
        now_ms = self._behind.clock.now_ms()
        made = Silence(kind, subject, now_ms + for_ms, self._who.name, why, now_ms)
        await note_silence(self._behind.auditor(self._who), kind, subject, why=why, until=rfc3339(made.until_ms))
        await alerts_of(self._behind).silence(made)
        return silence_row(made)

    async def unsilence(self, kind: str, subject: str | None) -> bool:
        await note_silence(self._behind.auditor(self._who), kind, subject, until="now")
        return await alerts_of(self._behind).unsilence(kind, subject)

    # -- access ---------------------------------------------------------------------------------------

    async def asks_who(self) -> bool:
        return self._behind.config.operators.auth == "users"

    async def users(self, page: Page) -> RowPage:
        found = await self._behind.store.users(replace(page, newest_first=False))
        return _page(found, list(map(user_row, found.rows)))

    async def add_user(self, name: str, role: Role, password: str) -> Row:
        return user_row(await self._behind.accounts(self._who).add_user(name, role, password))

    async def change_user(self, name: str, change: UserChange) -> Row:
        accounts = self._behind.accounts(self._who)
        return user_row(
            await accounts.change_user(name, role=change.role, password=change.password, disabled=change.disabled)
        )

    async def remove_user(self, name: str) -> None:
        await self._behind.accounts(self._who).remove_user(name)

    async def tokens(self, page: Page) -> RowPage:
        found = await self._behind.store.tokens(page)
        return _page(found, list(map(token_row, found.rows)))

    async def create_token(self, name: str, scopes: frozenset[Scope], ends_ms: int | None) -> Row:
        token, text = await self._behind.accounts(self._who).create_token(name, scopes, ends_ms)
        return {**token_row(token), "token": text}

    async def revoke_token(self, id_: str) -> Row:
        token = await token_meant(self._behind.store, id_)
        await self._behind.accounts(self._who).revoke_token(token.id)
        return token_row(token)

    async def note_tool_call(self, tool: str) -> None:
        await self._behind.auditor(self._who).note(AuditAction.MCP_CALL, "tool", tool, via="mcp")


def _page(found: Listing[Any], items: Sequence[Row]) -> RowPage:
    return RowPage(items, found.next_after, rfc3339(found.searched_to_ms), found.may_lag)


def _bare(found: Listing[Any]) -> RowPage:
    return _page(found, [{}] * len(found.rows))

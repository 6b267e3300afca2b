"""The desk over a gateway's API, from wherever that can be reached."""

import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import RootModel

from longstop.client import AsyncClient, calls
from longstop.client.calls import Call
from longstop.client.errors import (
    ApiError,
    ForbiddenError,
    NotThereError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from longstop.edges.desk.desk import ByIds, JobStep, NamedSurvey, RowList, RowPage, TestOf, UserChange
from longstop.edges.rows.ids import AmbiguousIdError
from longstop.edges.rows.jobs import filter_row
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.accounts import Role
from longstop.model.audit import AuditFilter
from longstop.model.caller import Scope
from longstop.model.errors import HiddenError, LongstopError, NotFoundError
from longstop.model.ids import END_CHARS
from longstop.model.job import JobState
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.model.rejection import UNKNOWN

if TYPE_CHECKING:
    from longstop.operating.jobs import JobRequest
    from longstop.ports import Clock

AT_ONCE = 500
"""The most rows that the API gives in a page, and the most ids that it takes."""
COUNTED = 1_000
"""Each row comes over the network, only to be counted."""
COME_BACK_S = 2.0
"""After so long a broken stream is asked for again."""


class RemoteError(LongstopError):
    """The gateway did not do it; the message says why and what to do."""


class _Raw(RootModel[dict[str, Any]]):
    """A row as it came: also fields that this version does not know yet."""


class RemoteDesk:
    """The desk of whoever the client's token stands for."""

    def __init__(self, client: AsyncClient, clock: "Clock") -> None:
        self._client = client
        self._clock = clock

    @property
    def clock(self) -> "Clock":
        return self._clock

    # -- asking ---------------------------------------------------------------------------------------

    async def _ask(self, method: str, *parts: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Row:
        with _told():
            call = Call(method, calls.path(*parts), _Raw, query or {}, body)
            return (await self._client.ask(call)).root

    async def _post(self, *parts: str, **body: Any) -> Row:
        given = {name: value for name, value in body.items() if value is not None}
        return await self._ask("POST", *parts, body=given)

    async def _pages(self, parts: tuple[str, ...], query: Mapping[str, Any], page: Page) -> RowPage:
        """A page of whatever length, out of as many of the API's as that takes."""
        items: list[Row] = []
        order, cursor = "newest" if page.newest_first else "oldest", page.after
        while True:
            limit = min(page.limit - len(items), AT_ONCE)
            asked = {**query, "limit": limit, "cursor": cursor, **({} if parts == ("users",) else {"order": order})}
            found = await self._ask("GET", *parts, query=asked)
            items += found["items"]
            cursor = found["next"]
            if cursor is None or found["searched_to"] is not None or len(items) >= page.limit:
                return RowPage(items, cursor, found["searched_to"], found.get("may_lag", False))

    def _list(self, parts: tuple[str, ...], query: Mapping[str, Any]) -> RowList:
        async def page(page: Page) -> RowPage:
            return await self._pages(parts, query, page)

        return RowList(page, page, COUNTED)

    # -- looking --------------------------------------------------------------------------------------

    async def status(self) -> Row:
        return await self._ask("GET", "status")

    def events(self, wanted: EventFilter, of: DeliveryFilter | None = None) -> RowList:
        if of is not None:
            return self._list(("events",), _filter(of))
        query = _filter(
            DeliveryFilter(
                source=wanted.source,
                type=wanted.type,
                key=wanted.key,
                since_ms=wanted.since_ms,
                until_ms=wanted.until_ms,
                contains=wanted.contains,
            )
        )
        return self._list(("events",), {**query, **({"unrouted": True} if wanted.unrouted else {})})

    async def event(self, id_: str) -> Row:
        return await self._ask("GET", "events", id_)

    async def body(self, id_: str) -> bytes:
        with _told():
            return await self._client.bytes_of(calls.path("events", id_, "body"))

    async def conversation(self, key: str, page: Page) -> RowPage:
        return await self._pages(("keys", key), {}, page)

    def deliveries(self, wanted: DeliveryFilter) -> RowList:
        return self._list(("deliveries",), _filter(wanted))

    async def dead_groups(self, destination: str | None, limit: int) -> Sequence[Row]:
        query = {"destination": destination, "limit": min(limit, AT_ONCE)}
        items: Sequence[Row] = (await self._ask("GET", "dead-letters", "groups", query=query))["items"]
        return items

    async def statistics(self, query: Mapping[str, str]) -> Row:
        return await self._ask("GET", "statistics", query=query)

    async def sources(self) -> Sequence[Row]:
        """The senders, and what came of them."""
        items: Sequence[Row] = (await self._ask("GET", "sources"))["items"]
        return items

    async def source(self, name: str) -> Row:
        """One of them, whole, without its secrets."""
        return await self._ask("GET", "sources", name)

    async def test_source(self, name: str, wanted: TestOf) -> Row:
        """What would become of a request, and why."""
        at = rfc3339(wanted.at_ms)
        if wanted.request is None:
            return await self._post("sources", name, "test", rejection=wanted.rejection, at=at)
        asked = wanted.request
        return await self._post(
            "sources",
            name,
            "test",
            body_base64=base64.b64encode(asked.body).decode(),
            headers=[list(pair) for pair in asked.headers],
            method=asked.method,
            path=asked.path,
            query=asked.query,
            client=asked.client,
            at=at,
        )

    async def rejections(self, source: str | None, page: Page) -> RowPage:
        return await self._pages(("sources", UNKNOWN if source is None else source, "rejections"), {}, page)

    def audit(self, wanted: AuditFilter) -> RowList:
        return self._list(
            ("audit",),
            {
                "by": wanted.by,
                "action": wanted.action.value if wanted.action else None,
                "since": rfc3339(wanted.since_ms),
                "until": rfc3339(wanted.until_ms),
            },
        )

    async def activity(self, source: str | None, destination: str | None, since_ms: int | None) -> AsyncIterator[Row]:
        heard: str | None = None
        since = rfc3339(since_ms)
        while True:
            try:
                with _told():
                    stream = self._client.stream(source=source, destination=destination, after=heard, since=since)
                    async for each in stream:
                        heard, since = each.id or heard, None
                        if each.event == "activity":
                            yield each.data
                        elif each.event == "missed":
                            yield _missed(self._clock.now_ms())
            except (UnavailableRemoteError, UnreachableError):
                if heard is None and since is not None:
                    raise
            # It ends when the gateway stops: until it is there again, nothing happens.
            await self._clock.sleep(COME_BACK_S)

    # -- deciding -------------------------------------------------------------------------------------

    async def survey_ids(self, wanted: ByIds) -> NamedSurvey:
        found = await self._decision(wanted, wanted.ids, dry_run=True)
        return NamedSurvey(found["survey"], found["failed"])

    async def decide(self, wanted: ByIds) -> Sequence[Row]:
        results: list[Row] = []
        for start in range(0, len(wanted.ids), AT_ONCE):
            results += (await self._decision(wanted, wanted.ids[start : start + AT_ONCE]))["items"]
        return results

    async def _decision(self, wanted: ByIds, ids: Sequence[str], dry_run: bool | None = None) -> Row:
        if len(wanted.ids) > AT_ONCE and (dry_run or wanted.rate_per_s is not None):
            raise RemoteError(f"found {len(wanted.ids)} ids; expected {AT_ONCE} at most with --rate or --dry-run")
        return await self._post(
            "decisions", action=wanted.action, ids=list(ids), why=wanted.why, rate=wanted.rate_per_s, dry_run=dry_run
        )

    async def plan_edit(self, id_: str, body: bytes) -> Row:
        parent = await self.event(id_)
        plan = await self._post("events", id_, "replay", body_base64=base64.b64encode(body).decode(), dry_run=True)
        return {
            "parent": parent["id"],
            "type": plan["type"],
            "key": plan["key"],
            "destinations": [each["destination"] for each in plan["would"]],
            "replaces": plan["replaces"],
            "diff": plan["diff"],
        }

    async def edit(self, id_: str, body: bytes, why: str | None) -> str:
        sent = await self._post("events", id_, "replay", body_base64=base64.b64encode(body).decode(), why=why)
        new: str = sent["event"]["id"]
        return new

    async def pause(self, destination: str, why: str | None) -> Row:
        return await self._post("destinations", destination, "pause", why=why)

    async def resume(self, destination: str) -> Row:
        return await self._post("destinations", destination, "resume")

    # -- jobs -----------------------------------------------------------------------------------------

    def jobs(self, state: JobState | None) -> RowList:
        return self._list(("jobs",), {"state": state.value if state else None})

    async def job(self, id_: str) -> Row:
        return await self._ask("GET", "jobs", id_)

    async def survey(self, asked: "JobRequest") -> Row:
        return await self._post("jobs", **_job(asked), dry_run=True)

    async def make_job(self, asked: "JobRequest") -> Row | None:
        made = await self._post("jobs", **_job(asked))
        return None if made["exact"] and not made["total"] else made

    async def change_job(self, id_: str, step: JobStep, why: str | None) -> Row:
        return await self._post("jobs", id_, step, why=why)

    async def carry_out(self, job_id: str, show: Callable[[Row], None]) -> bool | None:  # noqa: ARG002
        return None

    # -- alerts ---------------------------------------------------------------------------------------

    async def alerts(self) -> Sequence[Row]:
        items: Sequence[Row] = (await self._ask("GET", "alerts"))["items"]
        return items

    async def has_looked(self) -> bool:
        # The gateway that answers does.
        return True

    async def silences(self) -> Sequence[Row]:
        items: Sequence[Row] = (await self._ask("GET", "alerts", "silences"))["items"]
        return items

    async def silence(self, kind: str, subject: str | None, for_ms: int, why: str | None) -> Row:
        return await self._post("alerts", "silences", kind=kind, subject=subject, for_s=for_ms / 1000, why=why)

    async def unsilence(self, kind: str, subject: str | None) -> bool:
        query = {"kind": kind, "subject": subject}
        try:
            return bool((await self._ask("DELETE", "alerts", "silences", query=query))["ended"])
        except NotFoundError:
            return False

    # -- access ---------------------------------------------------------------------------------------

    async def who(self) -> tuple[str, frozenset[Scope]]:
        """Whom the gateway takes the caller for, and what he may do. Raises RemoteError for nobody."""
        await self._ask("GET", "status")
        told = await self._ask("GET", "session")
        return told["user"] or "this token", frozenset(map(Scope, told["scopes"]))

    async def asks_who(self) -> bool:
        return bool((await self._ask("GET", "session"))["required"])

    async def users(self, page: Page) -> RowPage:
        return await self._pages(("users",), {}, page)

    async def add_user(self, name: str, role: Role, password: str) -> Row:
        return await self._post("users", name=name, role=role.value, password=password)

    async def change_user(self, name: str, change: UserChange) -> Row:
        asked = {"role": change.role and change.role.value, "password": change.password, "disabled": change.disabled}
        given = {name: value for name, value in asked.items() if value is not None}
        return await self._ask("PATCH", "users", name, body=given)

    async def remove_user(self, name: str) -> None:
        await self._ask("DELETE", "users", name)

    async def tokens(self, page: Page) -> RowPage:
        return await self._pages(("tokens",), {}, page)

    async def create_token(self, name: str, scopes: frozenset[Scope], ends_ms: int | None) -> Row:
        return await self._post("tokens", name=name, scopes=sorted(scopes), expires_at=rfc3339(ends_ms))

    async def revoke_token(self, id_: str) -> Row:
        wanted, after = id_.strip().lower(), None
        found: list[Row] = []
        while len(wanted) >= END_CHARS:
            page = await self.tokens(Page(AT_ONCE, after))
            found += [each for each in page.items if each["id"].startswith(wanted) or each["id"].endswith(wanted)]
            after = page.next
            if after is None:
                break
        if len(found) > 1:
            listed = ", ".join(each["id"] for each in found[:6])
            raise AmbiguousIdError(f"{id_} may be any of {listed}; give more of it")
        if not found:
            raise NotFoundError(f"no token has the id {id_[:100]}; `longstop tokens list` shows them")
        await self._ask("DELETE", "tokens", found[0]["id"])
        return found[0]

    async def note_tool_call(self, tool: str) -> None:
        await self._post("audit", "mcp", tool=tool)


def _filter(wanted: DeliveryFilter) -> Row:
    """The query for a filter."""
    if wanted.contains is not None:
        try:
            wanted.contains.decode()
        except UnicodeDecodeError:
            raise RemoteError(
                "--contains: found bytes that are not UTF-8; expected text, as no other can be asked for over a network"
            ) from None
    return filter_row(wanted)


def _job(asked: "JobRequest") -> Row:
    return {
        "action": asked.action.value,
        "filter": _filter(asked.wanted),
        "rate": asked.rate_per_s,
        "why": asked.why,
        "including_edited": asked.including_edited,
        "expected_count": asked.expected_count,
    }


def _missed(now_ms: int) -> Row:
    nothing = dict.fromkeys(("event_id", "delivery_id", "source", "destination", "type", "key"))
    about = "more happened than the gateway keeps for who comes back; `longstop events list` has all"
    return {"at": rfc3339(now_ms), "what": "missed", **nothing, "about": about}


class UnavailableRemoteError(RemoteError):
    """It can be asked again later."""


@contextlib.contextmanager
def _told() -> Any:
    """Errors of the API in the words of the command line."""
    try:
        yield
    except UnauthorizedError:
        raise RemoteError(
            "the gateway asks who you are, and knows nobody by what it was shown: give a token by LONGSTOP_TOKEN, "
            "--token-file FILE or LONGSTOP_TOKEN_FILE (`longstop tokens create` beside the store makes one)"
        ) from None
    except ForbiddenError as error:
        detail = error.problem.detail or "this is not allowed"
        if error.problem.scope is Scope.BODIES:
            raise HiddenError(detail) from None
        raise RemoteError(detail) from None
    except (RateLimitedError, UnavailableError) as error:
        raise UnavailableRemoteError(error.problem.detail or str(error)) from None
    except NotThereError as error:
        raise NotFoundError(error.problem.detail or str(error)) from None
    except ApiError as error:
        raise RemoteError(error.problem.detail or str(error)) from None

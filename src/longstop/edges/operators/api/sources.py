"""`sources`: the configured senders, what came of them, and what was refused."""

import asyncio
import base64
import binascii
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from longstop.client.models import Items
from longstop.client.places import Rejection, Source, SourceDetail, SourceTest
from longstop.edges.operators.api.access import Viewer
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.problems import ProblemError, invalid
from longstop.edges.operators.api.queries import moment
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.setup_steps import setup_steps
from longstop.edges.operators.api.strict import StrictBody
from longstop.edges.rows.first_event import first_event, webhook_url
from longstop.edges.rows.found import find_rejection
from longstop.edges.rows.sources import (
    dry_run_row,
    rejection_row,
    source_details,
    source_refused_row,
    source_row,
    verified_by,
)
from longstop.edges.rows.values import Row, rfc3339
from longstop.model.audit import AuditAction
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.rejection import UNKNOWN
from longstop.model.settings import SourceSettings
from longstop.model.statistics import Series
from longstop.operating.dry_run import Verdict, dry_run, dry_run_of_rejection
from longstop.operating.silence import SilenceWatch, SourceActivity
from longstop.operating.statistics import StatisticsReader
from longstop.operating.trial import SOURCE as TRIAL


class Captured(StrictBody):
    """A captured request."""

    body: str = ""
    body_base64: str | None = Field(default=None, description="The body, where it is no text.")
    headers: dict[str, str] | Annotated[list[tuple[str, str]], Field(max_length=200)] = Field(
        default={}, description="By name; or pairs, where a name may stand twice.", examples=[{"X-Signature": "…"}]
    )
    method: str = Field(default="POST", max_length=20)
    path: str = Field(default="", max_length=1_000, description="What stands below the source's name.")
    query: str = Field(default="", max_length=10_000)
    client: str | None = Field(default=None, max_length=100, description="The address that it came from.")
    rejection: str | None = Field(
        default=None, max_length=100, description="One that was refused, by its id, in place of all of these."
    )
    at: str | None = Field(
        default=None, max_length=100, description="When it came, to judge signed times by; else now (or then)."
    )

    def request(self) -> Request:
        """As the gateway would see it. Raises a problem."""
        body = self.body.encode()
        if self.body_base64 is not None:
            try:
                body = base64.b64decode(self.body_base64, validate=True)
            except (binascii.Error, ValueError):
                raise invalid("body.body_base64", self.body_base64[:50], "expected base64") from None
        headers = self.headers.items() if isinstance(self.headers, dict) else self.headers
        return Request(Headers(headers), body, self.method, self.client, self.path, self.query)


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(prefix="/sources", tags=["sources"])
    watch, reader = SilenceWatch(services.store, services.clock), StatisticsReader(services.store, services.clock)

    async def row(name: str) -> Row:
        activity, duplicates = await watch.look(name), await reader.total(Series.DUPLICATE, name)
        return {**await _row(services, name), **_activity_row(activity), "duplicates": duplicates}

    @api.get("", response_model=Items[Source], summary="The configured senders, and what came of them")
    async def sources(_who: Viewer) -> Any:
        counts = await services.store.counts()
        configured = [each.name for each in services.config.sources]
        names = [*configured, *sorted(set(counts.sources) - {*configured, TRIAL})]
        return {"items": [await row(name) for name in names]}

    @api.get("/{name}", response_model=SourceDetail, summary="One source, and what its sender has to be told")
    async def source(_who: Viewer, name: str) -> Any:
        settings = named(services, name)
        details = source_details(settings)
        return {
            **await row(name),
            "setup": setup_steps(settings, services.config.server.url),
            "verify": {"scheme": verified_by(settings), "headers": details["headers"], "secrets": details["secrets"]},
            **{name: details[name] for name in ("dedup", "type", "key", "on_unverified")},
            "settings": details,
        }

    @api.get("/{name}/rejections", response_model=Items[Rejection], summary="The last requests that were refused")
    async def rejections(who: Viewer, name: str, page: AskedPage) -> Any:
        """Of each source the last 20 are kept, without credentials. The source `(unknown)` is every other name."""
        wanted = UNKNOWN if name == UNKNOWN else named(services, name).name
        found = await services.store.rejections(wanted, page)
        if with_bodies := sum(each.body_kept for each in found.rows):
            await services.bodies(who).note("source", wanted, with_bodies)
        return await items(services, Rejection, map(rejection_row, found.rows), found)

    @api.post("/{name}/test", response_model=SourceTest, summary="What would become of a request, and why")
    async def test(who: Viewer, name: str, asked: Captured, once: CarriedOut) -> Any:
        """Nothing is kept and nothing is delivered. It is noted who asks: who asks often enough tries out secrets."""
        settings = named(services, name)

        async def act() -> Row:
            await services.auditor(who).note(AuditAction.SOURCE_TEST, "source", name)
            return await _tried(services, settings, asked)

        return await once(SourceTest, act)

    return api


def named(services: Services, name: str) -> SourceSettings:
    """The configured source of this name. Raises a problem."""
    for each in services.config.sources:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in services.config.sources)
    raise ProblemError(404, f'found no source "{name}" in the configuration; expected one of: {known}')


async def _tried(services: Services, settings: SourceSettings, asked: Captured) -> Row:
    """What would become of a request at this source. Raises a problem."""
    now_ms, source, routes = services.clock.now_ms(), services.sources[settings.name], services.router
    at_ms = moment("body.at", asked.at, now_ms)
    if asked.rejection is None:
        request = asked.request()
        tried = partial(dry_run, settings, source, routes, request, now_ms if at_ms is None else at_ms)
    else:
        sample = await find_rejection(services.store, settings.name, asked.rejection)
        then_ms = sample.at_ms if at_ms is None else at_ms
        tried = partial(dry_run_of_rejection, settings, source, routes, sample, then_ms)
    # In a thread: it is read whole, and senders should not wait for that.
    row = dry_run_row(await asyncio.to_thread(tried))
    verified = row["verdict"] in (Verdict.ACCEPTED, Verdict.QUARANTINED)
    return {**row, "verified": verified, "would_answer": row["status"]}


async def _row(services: Services, name: str) -> Row:
    store = services.store
    settings = next((each for each in services.config.sources if each.name == name), None)
    configured: Row = (
        source_row(services.config, settings) if settings else {"name": name, "kind": None, "verified": None, "to": []}
    )
    configured.pop("path", None)
    return {
        **configured,
        **source_refused_row(name, await store.rejection_counts(), await store.held_counts()),
        "configured": settings is not None,
        "url_path": f"/webhooks/{name}",
        "url": webhook_url(settings, services.config.server.url) if settings else None,
        "first_event": first_event(settings, services.config.server.url) if settings else None,
        "events": (await store.counts()).sources.get(name, 0),
    }


def _activity_row(activity: SourceActivity) -> Row:
    gap_ms = activity.usual_gap_ms
    return {
        "last_event_at": rfc3339(activity.last_event_at_ms),
        "usual_gap_s": None if gap_ms is None else gap_ms / 1000,
        "silent": activity.silent,
    }

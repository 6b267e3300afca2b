"""The async client of the operators' API."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from longstop.client import access, calls, models, places
from longstop.client import alerts as alert_models
from longstop.client import jobs as job_models
from longstop.client.calls import Call
from longstop.client.statistics import Statistics
from longstop.client.transport import (
    TIMEOUT_S,
    URL,
    Events,
    read,
    refuse,
    request,
    settings,
    unreachable,
    wait_before,
)

T = TypeVar("T", bound=BaseModel)
P = TypeVar("P", bound=models.Items[Any])


class AsyncClient:
    """Asks the operators' side of a gateway; a method for each thing that can be asked.

    url: of the operators' port. token: else LONGSTOP_TOKEN, where there is one. timeout_s: for one request.
    ca_file: certificates of authorities that are trusted, too. A token goes over https, or to this machine, or not at
    all (InsecureError).

    What cannot be answered now (429, 503, no answer at all) is asked again, up to three times, after the time that the
    gateway asks for. That is safe for what changes something, too: its Idempotency-Key stays the same.
    Every method raises ApiError, each kind of which says more, and UnreachableError.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """transport: another way to the gateway than the network, for tests."""
        self._client = httpx.AsyncClient(transport=transport, **settings(url, token, timeout_s, ca_file))
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- asking ---------------------------------------------------------------------------------

    async def ask(self, call: Call[T]) -> T:
        """The answer to any call, also to one that has no method of its own."""
        return read(call, await self._sent(request(self._client, call)))

    async def bytes_of(self, path: str) -> bytes:
        """An answer that is no JSON."""
        response = await self._sent(self._client.build_request("GET", path))
        refuse(response)
        return response.content

    async def _sent(self, asked: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            attempt += 1
            response: httpx.Response | None = None
            failure: httpx.TransportError | None = None
            try:
                response = await self._client.send(asked)
            except httpx.TransportError as error:
                failure = error
            wait_s = wait_before(attempt, response)
            if wait_s is None:
                if response is None:
                    assert failure is not None
                    raise unreachable(failure, asked.url) from failure
                return response
            await self._sleep(wait_s)

    # -- lists ----------------------------------------------------------------------------------

    async def pages(self, call: Call[P]) -> AsyncIterator[P]:
        """All pages of a list, as they are needed."""
        while True:
            page = await self.ask(call)
            yield page
            if page.next is None:
                return
            call = dataclasses.replace(call, query={**call.query, "cursor": page.next})

    async def events(self, *, page_size: int = 100, **filters: str | bool | None) -> AsyncIterator[models.Event]:
        """What was accepted, newest first. filters: source, type, key, since, until, contains, unrouted, order."""
        async for page in self.pages(calls.events({"limit": page_size, **filters})):
            for each in page.items:
                yield each

    async def deliveries(self, *, page_size: int = 100, **filters: str | int | None) -> AsyncIterator[models.Delivery]:
        """Deliveries, newest first.

        filters: state, reason, status, error, source, destination, type, key, since, until, contains, order.
        """
        async for page in self.pages(calls.deliveries({"limit": page_size, **filters})):
            for each in page.items:
                yield each

    async def conversation(self, key: str, *, page_size: int = 100) -> AsyncIterator[models.EventWithHistory]:
        """All events of a key with every attempt, oldest first."""
        async for page in self.pages(calls.conversation(key, {"limit": page_size})):
            for each in page.items:
                yield each

    async def stream(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        after: str | None = None,
        since: str | None = None,
    ) -> AsyncIterator[models.Live]:
        """What happens now, until the gateway stops or the connection breaks. after: the id of the last one heard.

        since: begin with what has happened since then.
        """
        query = {"source": source, "destination": destination, "since": since}
        call = Call("GET", calls.path("stream"), models.Live, query)
        headers = {} if after is None else {"last-event-id": after}
        events = Events()
        try:
            async with self._client.stream("GET", call.path, params=call.params(), headers=headers) as response:
                if not response.is_success:
                    await response.aread()
                refuse(response)
                async for line in response.aiter_lines():
                    for fields in events.line(line):
                        yield models.Live(event=fields["event"], data=json.loads(fields["data"]), id=fields.get("id"))
        except httpx.TransportError as error:
            raise unreachable(error, self._client.base_url) from error

    # -- events ---------------------------------------------------------------------------------

    async def event(self, id_: str) -> models.EventDetail:
        """An event whole, but for its body; the id may be short, or a delivery's."""
        return await self.ask(calls.event(id_))

    async def body(self, id_: str) -> bytes:
        """The body of an event, exactly as sent."""
        return await self.bytes_of(calls.path("events", id_, "body"))

    async def curl(self, id_: str, destination: str | None = None) -> str:
        """A command that sends it as a destination gets it, without credentials."""
        return (await self.ask(calls.curl(id_, destination))).text

    async def replay_event(
        self, id_: str, *, to: Sequence[str] = (), body: bytes | None = None, why: str | None = None
    ) -> models.Results:
        """Send an event again: to its own destinations, to these, or with another body, as a new event."""
        return await self.ask(calls.replay_event(id_, to, body, why))

    async def plan_replay(self, id_: str, *, to: Sequence[str] = (), body: bytes | None = None) -> models.ReplayPlan:
        """What `replay_event` would do. Nothing is changed."""
        return await self.ask(calls.plan_replay(id_, to, body))

    # -- deliveries -----------------------------------------------------------------------------

    async def delivery(self, id_: str) -> models.DeliveryDetail:
        """One event for one destination."""
        return await self.ask(calls.delivery(id_))

    async def sent_request(self, id_: str, attempt: int | None = None) -> models.SentRequest:
        """What its destination gets, without credentials; attempt: of which, else the last."""
        return await self.ask(calls.sent_request(id_, attempt))

    async def attempts(self, id_: str) -> list[models.Attempt]:
        """Every attempt of a delivery, oldest first."""
        return (await self.ask(calls.attempts(id_))).items

    async def replay(self, id_: str, why: str | None = None) -> models.Result:
        """Start a new round of a delivery that has ended. Raises ConflictError where it has not."""
        return await self.ask(calls.decide(id_, "replay", why))

    async def discard(self, id_: str, why: str) -> models.Result:
        """Give up a delivery that is dead or waits."""
        return await self.ask(calls.decide(id_, "discard", why))

    async def expedite(self, id_: str, why: str | None = None) -> models.Result:
        """Have a delivery that waits tried now."""
        return await self.ask(calls.decide(id_, "expedite", why))

    async def dead_groups(
        self, destination: str | None = None, limit: int = 50, *, step_s: int = 3_600, steps: int = 24
    ) -> list[models.DeadGroup]:
        """What is dead, by what it died of, the largest group first.

        step_s, steps: `over_time` of each says how many died in each of the last so many steps of so many seconds.
        """
        return (await self.ask(calls.dead_groups(destination, limit, step_s, steps))).items

    async def decide(
        self, action: str, ids: Sequence[str], *, why: str | None = None, rate: float | None = None
    ) -> list[job_models.NamedResult]:
        """replay, discard or expedite what these ids name (500 at most), and what became of each.

        ids: of deliveries, or of events for those of theirs that are dead. rate: how many go out in a second at most.
        """
        return (await self.ask(calls.decide_on(action, ids, why, rate))).items

    async def plan_decision(self, action: str, ids: Sequence[str]) -> job_models.NamedSurvey:
        """What `decide` would be of. Nothing is changed."""
        return await self.ask(calls.plan_decision(action, ids))

    # -- jobs -----------------------------------------------------------------------------------

    async def plan_job(
        self, action: str, *, including_edited: bool = False, **filters: str | int | None
    ) -> job_models.JobSurvey:
        """Of how many a job would be, and which. Nothing is changed. filters: those of `deliveries`."""
        return await self.ask(calls.plan_job(action, filters, including_edited))

    async def make_job(
        self,
        action: str,
        *,
        why: str,
        rate: float | None = None,
        including_edited: bool = False,
        **filters: str | int | None,
    ) -> job_models.Job:
        """Have the gateway `replay` or `discard` all that match: what is dead, unless `state` says otherwise.

        rate: how many go out in a second at most. filters: those of `deliveries`.
        """
        return await self.ask(calls.make_job(action, filters, rate, why, including_edited))

    async def jobs(self, state: str | None = None, limit: int = 50) -> list[job_models.Job]:
        """The last jobs, and how far each is."""
        return (await self.ask(calls.list_jobs(state, limit))).items

    async def job(self, id_: str) -> job_models.Job:
        """How far a job is."""
        return await self.ask(calls.job(id_))

    async def pause_job(self, id_: str, why: str | None = None) -> job_models.Job:
        """Let a job rest."""
        return await self.ask(calls.change_job(id_, "pause", why))

    async def resume_job(self, id_: str, why: str | None = None) -> job_models.Job:
        """Let a job go on that rests, or that could not."""
        return await self.ask(calls.change_job(id_, "resume", why))

    async def cancel_job(self, id_: str, why: str | None = None) -> job_models.Job:
        """End a job; what it did stays done."""
        return await self.ask(calls.change_job(id_, "cancel", why))

    # -- places ---------------------------------------------------------------------------------

    async def sources(self) -> list[places.Source]:
        """The senders, and what came of them."""
        return (await self.ask(calls.sources())).items

    async def source(self, name: str) -> places.SourceDetail:
        """One source, and what its sender has to be told."""
        return await self.ask(calls.source(name))

    async def rejections(self, name: str) -> list[places.Rejection]:
        """The last requests of a source that were refused, and what is wrong with each."""
        return (await self.ask(calls.rejections(name))).items

    async def test_source(self, name: str, body: bytes, headers: Mapping[str, str]) -> places.SourceTest:
        """What would become of a request. Nothing is kept."""
        return await self.ask(calls.test_source(name, body, headers))

    async def destinations(self) -> list[places.Destination]:
        """Where deliveries go, and how they are."""
        return (await self.ask(calls.destinations())).items

    async def destination(self, name: str) -> places.DestinationDetail:
        """One destination, and its last attempts."""
        return await self.ask(calls.destination(name))

    async def pause(self, name: str, why: str | None = None) -> places.PauseResult:
        """Send a destination nothing more until it is resumed."""
        return await self.ask(calls.pause(name, why))

    async def resume(self, name: str) -> places.ResumeResult:
        """End a destination's pause, and close its circuit."""
        return await self.ask(calls.resume(name))

    async def test_destination(self, name: str) -> models.Result:
        """Send a destination a test event."""
        return await self.ask(calls.test_destination(name))

    # -- the gateway ----------------------------------------------------------------------------

    async def status(self) -> places.Status:
        """How it stands."""
        return await self.ask(calls.status())

    async def nodes(self) -> list[places.Node]:
        """The processes that accept and deliver."""
        return (await self.ask(calls.nodes())).items

    async def settings(self) -> places.RunningSettings:
        """The configuration that is in force, secrets masked."""
        return await self.ask(calls.settings())

    async def statistics(self, **asked: str | int | None) -> Statistics:
        """What happened when.

        asked: series (several with commas between), from_, to, step (seconds), source, destination, by.
        """
        return await self.ask(calls.statistics({name.rstrip("_"): value for name, value in asked.items()}))

    # -- alerts ---------------------------------------------------------------------------------

    async def alerts(self) -> list[alert_models.Alert]:
        """What is wrong now, the longest first."""
        return (await self.ask(calls.alerts())).items

    async def silences(self) -> list[alert_models.Silence]:
        """What nobody is told of."""
        return (await self.ask(calls.silences())).items

    async def silence(
        self, kind: str, *, for_s: float, subject: str | None = None, why: str | None = None
    ) -> alert_models.Silence:
        """Tell nobody of a kind of alert ("*": of any) for so long. subject: only where it is about this."""
        return await self.ask(calls.silence(kind, subject, for_s, why))

    async def unsilence(self, kind: str, subject: str | None = None) -> None:
        """End a silence. Raises NotThereError where there is none for exactly this."""
        await self.ask(calls.unsilence(kind, subject))

    # -- access ---------------------------------------------------------------------------------

    async def session(self) -> access.Session:
        """Whom the gateway takes the caller for, and what he may."""
        return await self.ask(calls.session())

    async def sessions(self, *, page_size: int = 100) -> AsyncIterator[access.KeptSession]:
        """Who is signed in, newest first: an admin sees all, others their own."""
        async for page in self.pages(calls.sessions({"limit": page_size})):
            for each in page.items:
                yield each

    async def end_session(self, id_: str) -> None:
        """Sign somebody out in one browser."""
        await self.ask(calls.end_session(id_))

    async def users(self, *, page_size: int = 100) -> AsyncIterator[access.User]:
        """Who may sign in, by name."""
        async for page in self.pages(calls.users({"limit": page_size})):
            for each in page.items:
                yield each

    async def add_user(self, name: str, role: str, password: str) -> access.User:
        """Let a person sign in. role: view, replay or admin."""
        return await self.ask(calls.add_user(name, role, password))

    async def change_user(
        self, name: str, *, role: str | None = None, password: str | None = None, disabled: bool | None = None
    ) -> access.User:
        """Change what is given; every session of the user ends."""
        return await self.ask(calls.change_user(name, role, password, disabled))

    async def remove_user(self, name: str) -> None:
        """Remove a user, and sign him out."""
        await self.ask(calls.remove_user(name))

    async def tokens(self, *, page_size: int = 100) -> AsyncIterator[access.Token]:
        """What programs show, newest first, without their secrets."""
        async for page in self.pages(calls.tokens({"limit": page_size})):
            for each in page.items:
                yield each

    async def create_token(self, name: str, scopes: Sequence[str], *, expires_at: str | None = None) -> access.NewToken:
        """Make a token. `token` of the answer is shown this once. scopes: of view, replay, admin and bodies.

        Raises ConflictError where it was made and the answer did not arrive: then revoke it, and make another.
        """
        return await self.ask(calls.create_token(name, scopes, expires_at))

    async def revoke_token(self, id_: str) -> None:
        """Let a token be good for nothing from now on."""
        await self.ask(calls.revoke_token(id_))

    async def audit(self, *, page_size: int = 100, **filters: str | None) -> AsyncIterator[access.AuditEntry]:
        """Who did and looked at what, newest first. filters: by, action, since, until, order."""
        async for page in self.pages(calls.audit({"limit": page_size, **filters})):
            for each in page.items:
                yield each

    async def audit_export(self, **filters: str | None) -> AsyncIterator[access.AuditEntry]:
        """All of the audit log, oldest first, in one answer; that is noted there, too.

        filters: by, action, since, until.
        """
        call = calls.audit_export(filters)
        try:
            async with self._client.stream("GET", call.path, params=call.params()) as response:
                if not response.is_success:
                    await response.aread()
                refuse(response)
                async for line in response.aiter_lines():
                    yield call.answer.model_validate_json(line)
        except httpx.TransportError as error:
            raise unreachable(error, self._client.base_url) from error

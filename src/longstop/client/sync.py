"""The sync client of the operators' API."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Client:
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """transport: another way to the gateway than the network, for tests."""
        self._client = httpx.Client(transport=transport, **settings(url, token, timeout_s, ca_file))
        self._sleep: Callable[[float], None] = time.sleep

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, call: Call[T]) -> T:
        """The answer to any call, also to one that has no method of its own."""
        return read(call, self._sent(request(self._client, call)))

    def bytes_of(self, path: str) -> bytes:
        """An answer that is no JSON."""
        response = self._sent(self._client.build_request("GET", path))
        refuse(response)
        return response.content

    def _sent(self, asked: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            attempt += 1
            response: httpx.Response | None = None
            failure: httpx.TransportError | None = None
            try:
                response = self._client.send(asked)
            except httpx.TransportError as error:
                failure = error
            wait_s = wait_before(attempt, response)
            if wait_s is None:
                if response is None:
                    assert failure is not None
                    raise unreachable(failure, asked.url) from failure
                return response
            self._sleep(wait_s)

    # -- lists ----------------------------------------------------------------------------------

    def pages(self, call: Call[P]) -> Iterator[P]:
        """All pages of a list, as they are needed."""
        while True:
            page = self.ask(call)
            yield page
            if page.next is None:
                return
            call = dataclasses.replace(call, query={**call.query, "cursor": page.next})

    def events(self, *, page_size: int = 100, **filters: str | bool | None) -> Iterator[models.Event]:
        """What was accepted, newest first. filters: source, type, key, since, until, contains, unrouted, order."""
        for page in self.pages(calls.events({"limit": page_size, **filters})):
            yield from page.items

    def deliveries(self, *, page_size: int = 100, **filters: str | int | None) -> Iterator[models.Delivery]:
        """Deliveries, newest first.

        filters: state, reason, status, error, source, destination, type, key, since, until, contains, order.
        """
        for page in self.pages(calls.deliveries({"limit": page_size, **filters})):
            yield from page.items

    def conversation(self, key: str, *, page_size: int = 100) -> Iterator[models.EventWithHistory]:
        """All events of a key with every attempt, oldest first."""
        for page in self.pages(calls.conversation(key, {"limit": page_size})):
            yield from page.items

    def stream(
        self,
        *,
        source: str | None = None,
        destination: str | None = None,
        after: str | None = None,
        since: str | None = None,
    ) -> Iterator[models.Live]:
        """What happens now, until the gateway stops or the connection breaks. after: the id of the last one heard.

        since: begin with what has happened since then.
        """
        query = {"source": source, "destination": destination, "since": since}
        call = Call("GET", calls.path("stream"), models.Live, query)
        headers = {} if after is None else {"last-event-id": after}
        events = Events()
        try:
            with self._client.stream("GET", call.path, params=call.params(), headers=headers) as response:
                if not response.is_success:
                    response.read()
                refuse(response)
                for line in response.iter_lines():
                    for fields in events.line(line):
                        yield models.Live(event=fields["event"], data=json.loads(fields["data"]), id=fields.get("id"))
        except httpx.TransportError as error:
            raise unreachable(error, self._client.base_url) from error

    # -- events ---------------------------------------------------------------------------------

    def event(self, id_: str) -> models.EventDetail:
        """An event whole, but for its body; the id may be short, or a delivery's."""
        return self.ask(calls.event(id_))

    def body(self, id_: str) -> bytes:
        """The body of an event, exactly as sent."""
        return self.bytes_of(calls.path("events", id_, "body"))

    def curl(self, id_: str, destination: str | None = None) -> str:
        """A command that sends it as a destination gets it, without credentials."""
        return (self.ask(calls.curl(id_, destination))).text

    def replay_event(
        self, id_: str, *, to: Sequence[str] = (), body: bytes | None = None, why: str | None = None
    ) -> models.Results:
        """Send an event again: to its own destinations, to these, or with another body, as a new event."""
        return self.ask(calls.replay_event(id_, to, body, why))

    def plan_replay(self, id_: str, *, to: Sequence[str] = (), body: bytes | None = None) -> models.ReplayPlan:
        """What `replay_event` would do. Nothing is changed."""
        return self.ask(calls.plan_replay(id_, to, body))

    # -- deliveries -----------------------------------------------------------------------------

    def delivery(self, id_: str) -> models.DeliveryDetail:
        """One event for one destination."""
        return self.ask(calls.delivery(id_))

    def sent_request(self, id_: str, attempt: int | None = None) -> models.SentRequest:
        """What its destination gets, without credentials; attempt: of which, else the last."""
        return self.ask(calls.sent_request(id_, attempt))

    def attempts(self, id_: str) -> list[models.Attempt]:
        """Every attempt of a delivery, oldest first."""
        return self.ask(calls.attempts(id_)).items

    def replay(self, id_: str, why: str | None = None) -> models.Result:
        """Start a new round of a delivery that has ended. Raises ConflictError where it has not."""
        return self.ask(calls.decide(id_, "replay", why))

    def discard(self, id_: str, why: str) -> models.Result:
        """Give up a delivery that is dead or waits."""
        return self.ask(calls.decide(id_, "discard", why))

    def expedite(self, id_: str, why: str | None = None) -> models.Result:
        """Have a delivery that waits tried now."""
        return self.ask(calls.decide(id_, "expedite", why))

    def dead_groups(
        self, destination: str | None = None, limit: int = 50, *, step_s: int = 3_600, steps: int = 24
    ) -> list[models.DeadGroup]:
        """What is dead, by what it died of, the largest group first.

        step_s, steps: `over_time` of each says how many died in each of the last so many steps of so many seconds.
        """
        return self.ask(calls.dead_groups(destination, limit, step_s, steps)).items

    def decide(
        self, action: str, ids: Sequence[str], *, why: str | None = None, rate: float | None = None
    ) -> list[job_models.NamedResult]:
        """replay, discard or expedite what these ids name (500 at most), and what became of each.

        ids: of deliveries, or of events for those of theirs that are dead. rate: how many go out in a second at most.
        """
        return self.ask(calls.decide_on(action, ids, why, rate)).items

    def plan_decision(self, action: str, ids: Sequence[str]) -> job_models.NamedSurvey:
        """What `decide` would be of. Nothing is changed."""
        return self.ask(calls.plan_decision(action, ids))

    # -- jobs -----------------------------------------------------------------------------------

    def plan_job(
        self, action: str, *, including_edited: bool = False, **filters: str | int | None
    ) -> job_models.JobSurvey:
        """Of how many a job would be, and which. Nothing is changed. filters: those of `deliveries`."""
        return self.ask(calls.plan_job(action, filters, including_edited))

    def make_job(
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
        return self.ask(calls.make_job(action, filters, rate, why, including_edited))

    def jobs(self, state: str | None = None, limit: int = 50) -> list[job_models.Job]:
        """The last jobs, and how far each is."""
        return self.ask(calls.list_jobs(state, limit)).items

    def job(self, id_: str) -> job_models.Job:
        """How far a job is."""
        return self.ask(calls.job(id_))

    def pause_job(self, id_: str, why: str | None = None) -> job_models.Job:
        """Let a job rest."""
        return self.ask(calls.change_job(id_, "pause", why))

    def resume_job(self, id_: str, why: str | None = None) -> job_models.Job:
        """Let a job go on that rests, or that could not."""
        return self.ask(calls.change_job(id_, "resume", why))

    def cancel_job(self, id_: str, why: str | None = None) -> job_models.Job:
        """End a job; what it did stays done."""
        return self.ask(calls.change_job(id_, "cancel", why))

    # -- places ---------------------------------------------------------------------------------

    def sources(self) -> list[places.Source]:
        """The senders, and what came of them."""
        return self.ask(calls.sources()).items

    def source(self, name: str) -> places.SourceDetail:
        """One source, and what its sender has to be told."""
        return self.ask(calls.source(name))

    def rejections(self, name: str) -> list[places.Rejection]:
        """The last requests of a source that were refused, and what is wrong with each."""
        return self.ask(calls.rejections(name)).items

    def test_source(self, name: str, body: bytes, headers: Mapping[str, str]) -> places.SourceTest:
        """What would become of a request. Nothing is kept."""
        return self.ask(calls.test_source(name, body, headers))

    def destinations(self) -> list[places.Destination]:
        """Where deliveries go, and how they are."""
        return self.ask(calls.destinations()).items

    def destination(self, name: str) -> places.DestinationDetail:
        """One destination, and its last attempts."""
        return self.ask(calls.destination(name))

    def pause(self, name: str, why: str | None = None) -> places.PauseResult:
        """Send a destination nothing more until it is resumed."""
        return self.ask(calls.pause(name, why))

    def resume(self, name: str) -> places.ResumeResult:
        """End a destination's pause, and close its circuit."""
        return self.ask(calls.resume(name))

    def test_destination(self, name: str) -> models.Result:
        """Send a destination a test event."""
        return self.ask(calls.test_destination(name))

    # -- the gateway ----------------------------------------------------------------------------

    def status(self) -> places.Status:
        """How it stands."""
        return self.ask(calls.status())

    def nodes(self) -> list[places.Node]:
        """The processes that accept and deliver."""
        return self.ask(calls.nodes()).items

    def settings(self) -> places.RunningSettings:
        """The configuration that is in force, secrets masked."""
        return self.ask(calls.settings())

    def statistics(self, **asked: str | int | None) -> Statistics:
        """What happened when.

        asked: series (several with commas between), from_, to, step (seconds), source, destination, by.
        """
        return self.ask(calls.statistics({name.rstrip("_"): value for name, value in asked.items()}))

    # -- alerts ---------------------------------------------------------------------------------

    def alerts(self) -> list[alert_models.Alert]:
        """What is wrong now, the longest first."""
        return self.ask(calls.alerts()).items

    def silences(self) -> list[alert_models.Silence]:
        """What nobody is told of."""
        return self.ask(calls.silences()).items

    def silence(
        self, kind: str, *, for_s: float, subject: str | None = None, why: str | None = None
    ) -> alert_models.Silence:
        """Tell nobody of a kind of alert ("*": of any) for so long. subject: only where it is about this."""
        return self.ask(calls.silence(kind, subject, for_s, why))

    def unsilence(self, kind: str, subject: str | None = None) -> None:
        """End a silence. Raises NotThereError where there is none for exactly this."""
        self.ask(calls.unsilence(kind, subject))

    # -- access ---------------------------------------------------------------------------------

    def session(self) -> access.Session:
        """Whom the gateway takes the caller for, and what he may."""
        return self.ask(calls.session())

    def sessions(self, *, page_size: int = 100) -> Iterator[access.KeptSession]:
        """Who is signed in, newest first: an admin sees all, others their own."""
        for page in self.pages(calls.sessions({"limit": page_size})):
            yield from page.items

    def end_session(self, id_: str) -> None:
        """Sign somebody out in one browser."""
        self.ask(calls.end_session(id_))

    def users(self, *, page_size: int = 100) -> Iterator[access.User]:
        """Who may sign in, by name."""
        for page in self.pages(calls.users({"limit": page_size})):
            yield from page.items

    def add_user(self, name: str, role: str, password: str) -> access.User:
        """Let a person sign in. role: view, replay or admin."""
        return self.ask(calls.add_user(name, role, password))

    def change_user(
        self, name: str, *, role: str | None = None, password: str | None = None, disabled: bool | None = None
    ) -> access.User:
        """Change what is given; every session of the user ends."""
        return self.ask(calls.change_user(name, role, password, disabled))

    def remove_user(self, name: str) -> None:
        """Remove a user, and sign him out."""
        self.ask(calls.remove_user(name))

    def tokens(self, *, page_size: int = 100) -> Iterator[access.Token]:
        """What programs show, newest first, without their secrets."""
        for page in self.pages(calls.tokens({"limit": page_size})):
            yield from page.items

    def create_token(self, name: str, scopes: Sequence[str], *, expires_at: str | None = None) -> access.NewToken:
        """Make a token. `token` of the answer is shown this once. scopes: of view, replay, admin and bodies.

        Raises ConflictError where it was made and the answer did not arrive: then revoke it, and make another.
        """
        return self.ask(calls.create_token(name, scopes, expires_at))

    def revoke_token(self, id_: str) -> None:
        """Let a token be good for nothing from now on."""
        self.ask(calls.revoke_token(id_))

    def audit(self, *, page_size: int = 100, **filters: str | None) -> Iterator[access.AuditEntry]:
        """Who did and looked at what, newest first. filters: by, action, since, until, order."""
        for page in self.pages(calls.audit({"limit": page_size, **filters})):
            yield from page.items

    def audit_export(self, **filters: str | None) -> Iterator[access.AuditEntry]:
        """All of the audit log, oldest first, in one answer; that is noted there, too.

        filters: by, action, since, until.
        """
        call = calls.audit_export(filters)
        try:
            with self._client.stream("GET", call.path, params=call.params()) as response:
                if not response.is_success:
                    response.read()
                refuse(response)
                for line in response.iter_lines():
                    yield call.answer.model_validate_json(line)
        except httpx.TransportError as error:
            raise unreachable(error, self._client.base_url) from error

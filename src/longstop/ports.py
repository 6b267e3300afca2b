"""The ports: what the services need of the outside, as protocols. Adapters implement them; services see only these.

A store is an `Inbox` (what happens to every event) and a `Ledger` (what people ask and decide).
Both are made of batches, because that is what every backend is good at: one transaction on SQLite and
PostgreSQL, one pipeline on Redis, one SendMessageBatch or TransactWriteItems on AWS. Callers never
batch by hand: `group_commit.GroupCommit` does it for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from longstop.model.action import Action, Edit, Pause
from longstop.model.alert import Alert
from longstop.model.append import Append
from longstop.model.breaker import Circuit, CircuitChange
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Delivery, Outcome
from longstop.model.errors import LeaseLostError
from longstop.model.event import Event, Headers, Receipt
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.handler import Transaction
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.model.listing import (
    BackedUp,
    Counts,
    DeadGroup,
    DeliveryFilter,
    EventFilter,
    History,
    KeptEvent,
    Listing,
    Page,
    Recount,
)
from longstop.model.node import Node
from longstop.model.recent import Recent
from longstop.model.rejection import HeldCount, HeldRequest, HoldSettings, Rejection, RejectionCount
from longstop.model.retention import ArchivedEvent, Cutoffs, Forgettable, Kind, WholeEvent
from longstop.model.routing import Target


class Clock(Protocol):
    """Time. The tests' clock jumps."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC, by a clock that somebody may set at any time."""

    def monotonic_ms(self) -> int:
        """Milliseconds of a clock that only rises: for how long something took, or is to last in this process."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""


class Inbox(Protocol):
    """The way of every event: append, lease, extend, settle. All of it durable when the call returns.

    Every method raises StoreUnavailableError where the backend cannot do it now; then none of the batch
    was acknowledged, and trying again is safe.
    """

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """Keep events with their deliveries; one receipt for each, in order.

        An event whose source and dedup key are already kept, within their window, is not kept again: its
        receipt is a duplicate and names the first event, which counts one more redelivery. Two appends of
        one key in the same batch, or racing in two processes, make one event.
        """

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """Claim scheduled deliveries that are due (`due_at_ms <= now_ms`).

        For each destination, half of its room for those that were never tried (`attempts == 0`) and half for the
        others, of each the longest due first; what one half does not use is the other's, but there are never more of
        the others than `retries` allows. So many that fail again and again hold up none that is new, nor the reverse.

        Nothing of a paused destination, and nothing of it in `next_due_at_ms`. Of one whose circuit is open, one
        delivery once its `probe_at_ms` has come, and none from then on until the circuit as it has `probed` says so;
        besides, what has expired (`expires_at_ms <= over_ms`): it will not be sent. The probe is one that was never
        tried: of the PROBE_CANDIDATES newest, or oldest, what `Circuit.probe` chooses. Where there is none, it is one
        of those with the fewest `tries`, the longest due first.
        """

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """Hold leases until a later time; for each, None or the error that says it is lost."""

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """End leases; for each, None or the error that says its token is no longer the delivery's.

        A lost one changes nothing, not even the attempts. A lease that ran out but that nobody has claimed
        or rescued since is still its holder's.
        """

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """Leased deliveries whose lease has run out (`lease_until_ms <= now_ms`); rescuing them is a settlement."""

    async def repair_clock(self, repair: ClockRepair) -> int:
        """Mend what a clock that was ahead has left behind; how much there was. At most REPAIRS_MAX at a time.

        Scheduled deliveries become what `repair.repaired` makes of them (those that are held in their lane only where
        the repair is thorough). Leases that last longer than `lease_ms` from now end then. Open circuits whose
        `probe_at_ms` is further away than their destination's longest wait may be probed now. Where it is thorough,
        dedup keys whose window lasts longer than `dedup_ms` from now are kept for that long.
        """

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """Put a destination's circuit in place of the one that has this version; None closes it.

        Version 0 stands for the closed circuit. False where the kept version is another: somebody was quicker, and
        nothing was changed.
        """

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """Call `wake`, in the event loop, whenever there may be new deliveries to lease, wherever they came from."""


class Ledger(Protocol):
    """What people ask and decide."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """An event with its deliveries, oldest first."""

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """A delivery."""

    async def history(self, delivery_id: str) -> History:
        """What is recorded of a delivery; empty where there is none."""

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """One page of events. Every filter has an index but `contains`; see Page for what takes too long."""

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """One page of deliveries. Of the dead every filter has an index but `contains`."""

    async def dead_groups(self, destination: str | None = None, limit: int = 100) -> Sequence[DeadGroup]:
        """What is dead, by what it died of, the largest group first. Kept, so that it costs the same at any size."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """Carry out people's decisions and record who made them.

        For each, the delivery as it stands now, or None where its state does not allow the transition
        (somebody was quicker) or there is no such delivery; then nothing was changed.
        """

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """Keep the event that a person sends in the place of a kept one, and the record of it, together or not at all.

        The deliveries named, those of the kept one that it takes the place of, say so from then on (`replaced_by`);
        nothing else of them changes, and a worker that settles one of them later leaves it as it is. `KeptEvent` of
        both events has the record.
        """

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """What a held delivery waits for: the one of its lane that goes first. None where it is not held."""

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """Ids of events and deliveries that begin with `part`, the youngest first, at most so many.

        Eight characters may also be how an id ends; such an end may be looked for among the latest hundred thousand of
        each kind only.
        """

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """What happened since a time: events by when they came, attempts by their end, actions by when they were taken.

        What another process has not written yet is not there: whoever goes on from the latest time asks for a little
        that was before it as well.
        """

    async def beat(self, node: Node) -> None:
        """Note that a process is there, in the place of what was known of it. Forgets those long gone."""

    async def leave(self, name: str) -> None:
        """Note that a process has ended. Nothing to do where it is not known."""

    async def nodes(self) -> Sequence[Node]:
        """The processes that said they are there and have not left, by name; also those that were killed."""

    async def pause(self, pause: Pause) -> bool:
        """Let nothing more be leased for a destination. Where it is paused already, False: since when it was stays as
        it is, and by whom and why are this pause's.
        """

    async def resume(self, destination: str) -> bool:
        """End a destination's pause. False where there is none."""

    async def pauses(self) -> Sequence[Pause]:
        """The destinations that are paused, by name."""

    async def circuits(self) -> Sequence[Circuit]:
        """The circuits that are open, by destination."""

    async def counts(self) -> Counts:
        """How much of everything there is. From counters that are changed in the transactions that change what they
        count, so that it may be asked as often as one likes."""

    async def recount(self, after: str | None = None) -> Recount:
        """Compare the next few counters with what they count, and put right those that drifted. None: the first."""

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """Events that may be forgotten now that something of them of this kind is old enough, the oldest first.

        Looks at `limit` of the kind at most. After the last step `after` is where to go on another day: what was
        passed over is found again by what it waited for.
        """

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """All that is kept of these events; those that are not there are left out."""

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """Forget those of these events that may still be forgotten (`retention.event_may_go`), and all that belongs to
        them; how many they were."""

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """Events with attempts from before a time, of deliveries that had ended by then; see `forgettable`."""

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """Forget those attempts of these events; how many they were."""

    async def lived_until(self) -> int | None:
        """The time of `retention.lived` as it was kept last; None where it never was."""

    async def live_until(self, at_ms: int) -> None:
        """Keep it, unless a later one is kept already."""

    async def give_back(self) -> bool:
        """Give a little of the room that forgetting has freed back to the disk; whether there is more to give."""

    async def forget_dedup(self, now_ms: int) -> int:
        """Drop dedup keys whose window is over; how many there were."""

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """Add to the counts of refused requests, and keep samples of them: of each source the last SAMPLES_KEPT.

        A count is added to what is kept of its source and reason; the times become the first and the last of all.
        """

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """One page of a source's samples; UNKNOWN has those of names that no source has."""

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """How many requests were refused, by source and reason."""

    async def forget_rejections(self, before_ms: int) -> int:
        """Drop samples from before a time, and counts whose last is from before it; how many samples there were."""

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """Keep requests apart; for each, in order, whether there was room for it. `limits`: by source.

        There is none where a source's requests or bytes would be over its limit, or those of one sender over its
        share of them. What is kept already is not given up for what is new.
        """

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """One page of what is held of a source."""

    async def held_counts(self) -> Sequence[HeldCount]:
        """What is held, by source; none of a source of which nothing is."""

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """Let go of held requests; how many of them there were."""

    async def forget_held(self, source: str, before_ms: int) -> int:
        """Drop what was received before a time; how many there were."""


class Store(Inbox, Ledger, Protocol):
    """Both ports over one backend, and its life."""

    async def open(self) -> None:
        """Connect, create or migrate. Raises SchemaError, StoreUnavailableError."""

    async def close(self) -> None:
        """Finish what was begun and let go. Safe to call twice."""

    def ready(self) -> bool:
        """Whether it can be used, as far as is known; asks nobody."""


class Archive(Protocol):
    """Where what is forgotten is kept."""

    async def write(self, events: Sequence[WholeEvent]) -> None:
        """Keep them; they are durable when this returns. Raises ArchiveError, and then they are not forgotten."""

    async def find(self, id_: str) -> ArchivedEvent | None:
        """The event of this id, or the one that a delivery of this id was of. Raises ArchiveError."""


class Backups(Protocol):
    """What a store offers besides, where it is one file."""

    async def backup(self, target: Path) -> BackedUp:
        """Copy the store into a new file while it is in use: of one moment, checked, and durable on return.

        Raises BackupError, StoreUnavailableError; then there is no such file.
        """


class Transactions(Protocol):
    """What a store offers besides, where its transactions can hold a handler's writes: one database does."""

    async def settle_with(
        self,
        lease: LeaseRef,
        work: Callable[[Transaction], None],
        done: Callable[[], Settlement],
        timeout_s: float,
    ) -> LeaseLostError | None:
        """Call `work` and settle as `done` then says, in one transaction; or the error that says the lease is lost.

        A lost one calls nothing. Both functions run in a thread of the store's. Raises HandlerRaisedError where `work`
        raised or took longer than `timeout_s`, StoreUnavailableError where the store could not: nothing is kept then.
        """


class Source(Protocol):
    """A configured sender: how its requests are verified, read and answered."""

    name: str
    kind: str
    dedup_window_ms: int
    rate_per_s: float | None
    retry_after_max_s: int
    """The longest Retry-After that its own retry rules make sensible."""
    answer_within_s: float
    """A store that takes longer is answered for with 503, before the sender has given up waiting."""
    credential_headers: frozenset[bytes]
    """The names, in lower case, of the headers whose values are not kept: they would prove other requests too."""

    def methods(self, path: str) -> frozenset[str]:
        """The HTTP methods that are served at this path below the source's name; none: there is no such path."""

    def body_bytes_max(self, path: str) -> int:
        """How many bytes the body of a request at this path below the source's name may have."""

    def bears_proof(self, headers: Headers) -> bool:
        """Whether a head has what the sender's own requests have, a signature or a credential, right or wrong.

        Asked before the body is there: where room is scarce, those who show nothing at all give way first.
        """

    def handshake(self, request: Request, now_ms: int) -> Answer | None:
        """The answer to a request that asks for one and carries no event (a token, a challenge); else None.

        Raises VerificationError where it must prove itself for that and does not. Nothing is parsed before that, unless
        the proof itself is in the body, which is small then.
        """

    def is_light(self, request: Request) -> bool:
        """Whether reading this request takes a few milliseconds at most, by what costs next to nothing to find out."""

    def verify(self, request: Request, now_ms: int) -> None:
        """Return if the request is the sender's own; raise VerificationError otherwise. Compares in constant time."""

    def read(self, request: Request) -> Reading:
        """What the request says. Raises MalformedError where it cannot be told."""

    def answer(self, receipt: Receipt) -> Answer:
        """The receipt in the sender's dialect."""


Read = tuple[Reading, Mapping[str, Target]]
"""What a request says, and the destinations that its source's routes name for it: see `Router.destinations`."""


class Reader(Protocol):
    """Reads what is too much for the event loop, somewhere else."""

    async def read(self, source: str, request: Request, patience_s: float) -> Read:
        """What a request of the source says, without the document, and where it goes.

        Raises MalformedError where it cannot be told, or not in reasonable time and memory, BodyTooLargeError, and
        UnavailableError where reading is not possible now.
        """

    async def close(self) -> None:
        """Let go of processes."""


class Sender(Protocol):
    """Carries one delivery to its destination, once."""

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        """Try it and classify the result. Never raises for anything the destination does."""

    async def close(self) -> None:
        """Let go of connections and threads."""


class TransactionalSender(Protocol):
    """A handler that wants to be called within the store's transaction."""

    timeout_s: float

    def call(self, event: Event, transaction: Transaction) -> None:
        """Have the handler do its work; what it raises undoes it."""

    def judge(self, error: BaseException) -> Outcome:
        """What it means that `call` raised this."""


class CircuitListener(Protocol):
    """Hears of what happens to the circuits that this process opens and closes."""

    def circuit_changed(self, change: CircuitChange) -> None:
        """Take note and return at once: an attempt waits for it. Whatever this raises is logged and harms nothing."""


class Alerter(Protocol):
    """Tells people of an alert, by one way."""

    async def tell(self, alert: Alert) -> str | None:
        """Tell it once, within a time of its own; what went wrong, None where nothing did. Never raises for that."""

    async def close(self) -> None:
        """Let go of threads."""

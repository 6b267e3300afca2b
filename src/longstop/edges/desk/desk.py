"""What can be asked at the desk."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from longstop.edges.rows.values import Row
from longstop.model.accounts import Role
from longstop.model.audit import AuditFilter
from longstop.model.caller import Scope
from longstop.model.exchange import Request
from longstop.model.job import JobState
from longstop.model.listing import DeliveryFilter, EventFilter, Page

if TYPE_CHECKING:
    from longstop.operating.jobs import JobRequest
    from longstop.ports import Clock

Decision = Literal["replay", "discard", "expedite"]
JobStep = Literal["pause", "resume", "cancel"]


@dataclass(frozen=True, slots=True)
class RowPage:
    """The rows of one page; `next` asks for the following one as `Page.after`, None where this was the last.

    `searched_to` and `may_lag`: as those of a `Listing`.
    """

    items: Sequence[Row]
    next: str | None = None
    searched_to: str | None = None
    may_lag: bool = False


@dataclass(frozen=True, slots=True)
class RowList:
    """A list that can be asked for a page at a time."""

    page: Callable[[Page], Awaitable[RowPage]]
    bare: Callable[[Page], Awaitable[RowPage]]
    """The same for counting: what is in the rows is left out where that costs something."""
    counted_up_to: int
    """How many rows it is reasonable to count."""


@dataclass(frozen=True, slots=True)
class ByIds:
    """A decision about deliveries and events that are named."""

    action: Decision
    ids: Sequence[str]
    """Of events or deliveries, whole or short."""
    why: str | None = None
    rate_per_s: float | None = None
    """Replay: how many go out in a second at most."""


@dataclass(frozen=True, slots=True)
class NamedSurvey:
    """What a decision by ids would be of."""

    survey: Row
    failed: Sequence[Row]
    """Results of ids that stand for nothing that could be decided on."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """What is to be another way with a user; None: as it is."""

    role: Role | None = None
    password: str | None = field(default=None, repr=False)
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class TestOf:
    """A captured request, or a refused one by its id; at_ms: when it came, to judge signed times by."""

    __test__ = False

    request: Request | None = None
    rejection: str | None = None
    at_ms: int | None = None


class Desk(Protocol):
    """Whoever sits here looks and decides on somebody's behalf. Rows are those of docs/cli.md.

    Every method raises LongstopError where it is not done: what is not there, what its state does not allow, what this
    caller may not, a store or a gateway that cannot answer.
    """

    @property
    def clock(self) -> "Clock":
        """The time."""

    # -- looking --------------------------------------------------------------------------------------

    async def status(self) -> Row:
        """How it stands."""

    def events(self, wanted: EventFilter, of: DeliveryFilter | None = None) -> RowList:
        """What was accepted. of: those with such a delivery, in place of `wanted`."""

    async def event(self, id_: str) -> Row:
        """An event whole, but for its body; the id may be short, or a delivery's."""

    async def body(self, id_: str) -> bytes:
        """Its body, as this caller may see it. It is noted in the audit log."""

    async def conversation(self, key: str, page: Page) -> RowPage:
        """The events of a key, with what was done with each."""

    def deliveries(self, wanted: DeliveryFilter) -> RowList:
        """Deliveries."""

    async def dead_groups(self, destination: str | None, limit: int) -> Sequence[Row]:
        """What is dead, by what it died of, the largest group first."""

    async def statistics(self, query: Mapping[str, str]) -> Row:
        """Series over time, by the names of the query of `GET statistics`."""

    async def rejections(self, source: str | None, page: Page) -> RowPage:
        """The last requests of a source that were refused; None: of names that no source has."""

    def audit(self, wanted: AuditFilter) -> RowList:
        """Who did and looked at what."""

    def activity(self, source: str | None, destination: str | None, since_ms: int | None) -> AsyncIterator[Row]:
        """What happens, as it happens, without an end. since_ms: and what has happened since then."""

    # -- deciding -------------------------------------------------------------------------------------

    async def survey_ids(self, wanted: ByIds) -> NamedSurvey:
        """What a decision by ids would be of. Nothing is changed."""

    async def decide(self, wanted: ByIds) -> Sequence[Row]:
        """Decide on all that the ids stand for; a result row for each."""

    async def plan_edit(self, id_: str, body: bytes) -> Row:
        """What sending another body in the place of a kept one would come to."""

    async def edit(self, id_: str, body: bytes, why: str | None) -> str:
        """Do so; the new event's id."""

    async def pause(self, destination: str, why: str | None) -> Row:
        """Send a destination nothing more."""

    async def resume(self, destination: str) -> Row:
        """End its pause, and close its circuit."""

    # -- jobs -----------------------------------------------------------------------------------------

    def jobs(self, state: JobState | None) -> RowList:
        """Replays and discards of many."""

    async def job(self, id_: str) -> Row:
        """One of them; the id may be short."""

    async def survey(self, asked: "JobRequest") -> Row:
        """What a job would be of."""

    async def make_job(self, asked: "JobRequest") -> Row | None:
        """Make one; None where there is nothing for it to do."""

    async def change_job(self, id_: str, step: JobStep, why: str | None) -> Row:
        """Pause, resume or cancel one."""

    async def carry_out(self, job_id: str, show: Callable[[Row], None]) -> bool | None:
        """Carry a job out here, where no gateway does. False: somebody else has it. None: that is not possible here."""

    # -- alerts ---------------------------------------------------------------------------------------

    async def alerts(self) -> Sequence[Row]:
        """What is wrong now, the longest first."""

    async def has_looked(self) -> bool:
        """Whether any gateway has looked yet whether something is wrong."""

    async def silences(self) -> Sequence[Row]:
        """What nobody is told of."""

    async def silence(self, kind: str, subject: str | None, for_ms: int, why: str | None) -> Row:
        """Tell nobody of a kind for a time."""

    async def unsilence(self, kind: str, subject: str | None) -> bool:
        """End a silence; whether there was one for exactly this."""

    # -- access ---------------------------------------------------------------------------------------

    async def asks_who(self) -> bool:
        """Whether the operators' side asks people who they are."""

    async def users(self, page: Page) -> RowPage:
        """Who may sign in."""

    async def add_user(self, name: str, role: Role, password: str) -> Row:
        """Let a person sign in."""

    async def change_user(self, name: str, change: UserChange) -> Row:
        """Change a user."""

    async def remove_user(self, name: str) -> None:
        """Remove one."""

    async def tokens(self, page: Page) -> RowPage:
        """What programs show."""

    async def create_token(self, name: str, scopes: frozenset[Scope], ends_ms: int | None) -> Row:
        """Make a token; `token` in its row is the token itself."""

    async def revoke_token(self, id_: str) -> Row:
        """End one; its row."""

    async def note_tool_call(self, tool: str) -> None:
        """Note that an assistant uses a tool on the caller's behalf."""

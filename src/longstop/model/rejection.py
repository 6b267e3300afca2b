"""Rejections: requests that were refused, as they are counted and kept for the person who looks for what is wrong.

A rejection is no event. Of each source the last few are kept as samples; of all, how many there were of each reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from longstop.model.exchange import Request

UNKNOWN = "(unknown)"
"""The source of everything that was posted to a name that is not configured. No source can have this name."""

SAMPLES_KEPT = 20
"""Of each source."""
SAMPLE_BODY_BYTES_MAX = 64 * 1024


class RejectionReason(StrEnum):
    """Why a request was refused."""

    NO_PROOF = "no_proof"
    """401: the header that proves it is missing, comes twice or is of another form."""
    WRONG_PROOF = "wrong_proof"
    """401: it is there, and does not fit."""
    UNKNOWN_SOURCE = "unknown_source"
    """Whatever it was answered: no source has this name."""
    ADDRESS = "address"
    """403: proven, and from an address that is not allowed."""
    PATH = "path"
    METHOD = "method"
    SLOW = "slow"
    LENGTH = "length"
    TOO_LARGE = "too_large"
    HEADERS = "headers"
    RATE = "rate"
    """429: its sender is to come back."""
    UNAVAILABLE = "unavailable"
    """503: its sender is to come back."""
    UNREADABLE = "unreadable"
    """It is no HTTP that can be read."""


_BY_STATUS: Mapping[int, RejectionReason] = MappingProxyType(
    {
        403: RejectionReason.ADDRESS,
        404: RejectionReason.PATH,
        405: RejectionReason.METHOD,
        408: RejectionReason.SLOW,
        411: RejectionReason.LENGTH,
        413: RejectionReason.TOO_LARGE,
        429: RejectionReason.RATE,
        431: RejectionReason.HEADERS,
        503: RejectionReason.UNAVAILABLE,
    }
)
TEMPORARY = frozenset({RejectionReason.RATE, RejectionReason.UNAVAILABLE})
"""Nothing is wrong with the request: its sender is told to come back."""


def reason_of(status: int, known: bool, bears_proof: bool) -> RejectionReason:
    """The reason of a refusal. known: whether the source is; bears_proof: whether the request shows any proof."""
    by_status = _BY_STATUS.get(status)
    if by_status in TEMPORARY:
        return by_status
    if not known:
        return RejectionReason.UNKNOWN_SOURCE
    if status == 401:
        return RejectionReason.WRONG_PROOF if bears_proof else RejectionReason.NO_PROOF
    return by_status or RejectionReason.UNREADABLE


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused request, kept as a sample, without credentials."""

    id: str
    source: str
    """UNKNOWN where no source has the name that was asked for."""
    at_ms: int
    reason: RejectionReason
    status: int
    """The HTTP status it was answered with."""
    problems: tuple[str, ...]
    """What is wrong with it, in words."""
    request: Request
    """As far as it is kept: its body only where the source's settings ask for it."""
    body_bytes: int
    """How long the body was; 0 where it was refused by its head."""
    body_kept: bool = False
    asked: str | None = None
    """The name that was asked for, where it is not a source's; its beginning."""
    nearest: str | None = None
    """The source whose name is nearest to it."""


@dataclass(frozen=True, slots=True)
class RejectionCount:
    """How many requests of one source were refused for one reason, from the first to the last of them."""

    source: str
    reason: RejectionReason
    count: int
    first_at_ms: int
    last_at_ms: int


# -- held requests ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HoldSettings:
    """How much of what is not verified is kept apart, of one source."""

    max_requests: int = 1_000
    max_bytes: int = 50_000_000
    max_age_ms: int = 3 * 86_400_000

    @property
    def share(self) -> tuple[int, int]:
        """Requests and bytes that one address may take of it: half, so that no stranger takes all."""
        return max(1, self.max_requests // 2), max(1, self.max_bytes // 2)


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A request that was not verified and is kept apart, to be verified again: it is no event yet."""

    id: str
    """The event's, if it becomes one: so that accepting it twice, around a crash, is seen."""
    source: str
    received_at_ms: int
    request: Request = field(repr=False)
    """Without credentials."""
    sender: str = ""
    """What shares are counted by: the address, or of IPv6 its network of 64 bits."""
    fingerprint: bytes = b""
    """Of the credential it bore, where it bore one: what tells whether it was one of the secrets of then."""

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self.request.body) + sum(len(name) + len(text) for name, text in self.request.headers.raw)


class HoldRoom:
    """The room that is left for held requests of one source, while some are taken in.

    of_sender: by sender, how many requests of how many bytes are held already.
    """

    def __init__(self, limit: HoldSettings, of_sender: Mapping[str, tuple[int, int]]) -> None:
        self._limit = limit
        self._of_sender = dict(of_sender)

    def take(self, sender: str, size: int) -> bool:
        """Whether there is room for one more of so many bytes; it is taken then."""
        requests, taken = (sum(each) for each in zip(*self._of_sender.values(), (0, 0), strict=True))
        of_sender = self._of_sender.get(sender, (0, 0))
        requests_share, bytes_share = self._limit.share
        if requests + 1 > self._limit.max_requests or taken + size > self._limit.max_bytes:
            return False
        if of_sender[0] + 1 > requests_share or of_sender[1] + size > bytes_share:
            return False
        self._of_sender[sender] = (of_sender[0] + 1, of_sender[1] + size)
        return True


@dataclass(frozen=True, slots=True)
class HeldCount:
    """What is held of one source."""

    source: str
    requests: int
    bytes: int
    oldest_at_ms: int

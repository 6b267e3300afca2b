"""Whether, when and for how long a failed delivery is tried again. Pure: the clock and the dice are arguments."""

import email.utils
import random
import re
from dataclasses import dataclass
from datetime import UTC
from typing import Literal

from longstop.model.delivery import DeadReason, Delivery, Outcome, OutcomeKind, Transition, Trigger, Wait

RETRIED_STATUSES = frozenset({408, 425, 429})
"""Client errors that say "not now" rather than "never" (RFC 9110, RFC 8470, RFC 6585); every 5xx is retried too."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How persistent a destination's deliveries are. Times in milliseconds."""

    attempts: int | None = None
    """Attempts a round may spend; None: any number, until it is too old."""
    first_ms: int = 1_000
    factor: float = 2.0
    cap_ms: int = 900_000
    """No backoff is longer than this."""
    jitter: Literal["full", "none"] = "full"
    """full: a uniform draw between 0 and the backoff, which spreads a herd best; none: the backoff itself."""
    max_age_ms: int = 3 * 86_400_000
    """A round that would go on past this age is over."""
    retry_after_cap_ms: int = 3_600_000
    """The longest Retry-After that is honoured."""
    crashes: int = 10
    """After this many lost leases and crashes in a round, the payload is held to be poison."""
    on_dead: Literal["hold", "skip"] = "hold"
    """Whether a dead delivery of an ordered destination holds its successors."""


def backoff_ms(policy: RetryPolicy, tries: int, rng: random.Random) -> int:
    """How long to wait after the `tries`-th failed try (1 for the first)."""
    try:
        ceiling = min(policy.cap_ms, policy.first_ms * policy.factor ** (tries - 1))
    except OverflowError:
        # A float ends at 2**1024; the cap was reached long before.
        ceiling = policy.cap_ms
    return round(rng.uniform(0, ceiling) if policy.jitter == "full" else ceiling)


def decide(
    delivery: Delivery, outcome: Outcome, policy: RetryPolicy, now_ms: int, rng: random.Random, probe: bool = False
) -> Transition:
    """What becomes of a leased delivery after an attempt.

    `delivery` already counts the attempt (`Delivery.tried`). probe: it went out to find out about the destination; that
    it failed is at nobody's expense, however old the round is.
    """
    match outcome.kind:
        case OutcomeKind.SUCCESS:
            return Transition(Trigger.SUCCEED, now_ms)
        case OutcomeKind.REJECT:
            return _park(policy, now_ms, DeadReason.REJECTED)
        case OutcomeKind.LOST | OutcomeKind.CRASHED if delivery.lost >= policy.crashes:
            return _park(policy, now_ms, DeadReason.CRASHED)
        case OutcomeKind.LOST | OutcomeKind.INTERRUPTED:
            # Nothing says that the destination is in trouble, so it is not made to wait.
            return Transition(Trigger.RETRY, now_ms, due_at_ms=now_ms)
        case OutcomeKind.CRASHED:
            # A lost lease has cost its time already. A crash is known at once, and must not start process upon process.
            return _retry_or_park(delivery, delivery.lost, outcome, policy, now_ms, rng)
        case OutcomeKind.RETRY:
            return _retry_or_park(delivery, delivery.tries, outcome, policy, now_ms, rng, probe)


def expiry(delivery: Delivery, now_ms: int) -> Transition | None:
    """The end of a leased delivery that came due too late to be of use; None where it is still fresh.

    It never holds up its lane: what was useless before it was tried is nothing to wait for.
    """
    if delivery.expires_at_ms is None or now_ms < delivery.expires_at_ms:
        return None
    return Transition(Trigger.PARK, now_ms, reason=DeadReason.EXPIRED, leaves_lane=True)


def _retry_or_park(
    delivery: Delivery,
    failures: int,
    outcome: Outcome,
    policy: RetryPolicy,
    now_ms: int,
    rng: random.Random,
    probe: bool = False,
) -> Transition:
    asked_ms = min(round((outcome.retry_after_s or 0) * 1000), policy.retry_after_cap_ms)
    # The longer of the two: never before the destination asked for, and "Retry-After: 0" is no licence to hammer.
    backoff = backoff_ms(policy, max(failures, 1), rng)
    due_at_ms = now_ms + max(asked_ms, backoff)
    spent = policy.attempts is not None and delivery.tries >= policy.attempts
    if not probe and (spent or due_at_ms > delivery.round_at_ms + policy.max_age_ms):
        return _park(policy, now_ms, DeadReason.EXHAUSTED)
    wait = Wait.RETRY_AFTER if asked_ms > backoff else Wait.BACKOFF
    return Transition(Trigger.RETRY, now_ms, due_at_ms=due_at_ms, wait=wait)


def _park(policy: RetryPolicy, now_ms: int, reason: DeadReason) -> Transition:
    return Transition(Trigger.PARK, now_ms, reason=reason, leaves_lane=policy.on_dead == "skip")


def classify_status(status: int, retried: frozenset[int] = RETRIED_STATUSES) -> OutcomeKind:
    """What an HTTP answer means: 2xx success; 4xx other than `retried` is a never; all the rest is tried again.

    A redirect is not followed and not taken for a never: it is a proxy or a login page in the way more
    often than the destination's own word.
    """
    if 200 <= status < 300:
        return OutcomeKind.SUCCESS
    if 400 <= status < 500 and status not in retried:
        return OutcomeKind.REJECT
    return OutcomeKind.RETRY


def parse_retry_after(value: str | None, now_ms: int) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or an HTTP date).

    None where there is no header, it cannot be read, or it points to the past.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        # The obsolete asctime form names no zone; every HTTP date is in UTC (RFC 9110, 5.6.7).
        at = at.replace(tzinfo=UTC)
    seconds = at.timestamp() - now_ms / 1000
    return seconds if seconds > 0 else None

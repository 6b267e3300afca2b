"""Whether people are told of what is wrong, and when: a pure state machine from one look to the next.

What begins is told at once, and then, about the same thing, at most every `every_ms`; what of one kind begins within
`group_ms` is told together. A part of it that is new (another cause of dead letters) is told again, and so is what
lasts for `remind_ms`. What is gone for as long as its kind settles is over, which is told to whoever was told of it.
What begins while it is silenced is told when the silence ends, if it still is so.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from longstop.model.alert import ALERTS_PER_NOTICE, KINDS, Alert, Notice, Severity, Status
from longstop.model.alert_book import STANDING_MAX, AlertBook, Standing
from longstop.model.alert_conditions import AlertPolicy, Condition
from longstop.model.breaker import CircuitChange


def watch(
    book: AlertBook,
    seen: Iterable[Condition],
    looked_at: Collection[str],
    policy: AlertPolicy,
    now_ms: int,
    make_id: Callable[[], str],
) -> AlertBook:
    """The book after a look; what is to be told is in its outbox.

    seen: what is wrong now. looked_at: the kinds that could be looked at; of others nothing is known, and nothing is
    over. make_id: makes an id for a notice.
    """
    standing = dict(book.standing)
    conditions = {each.key: each for each in seen}
    for key, condition in conditions.items():
        known = standing.get(key)
        if known is not None or len(standing) < STANDING_MAX:
            standing[key] = _seen(known, condition, now_ms)
    for key, each in standing.items():
        if key not in conditions and each.kind in looked_at and each.gone_at_ms is None:
            standing[key] = replace(each, gone_at_ms=now_ms)
    changed = replace(
        book,
        standing=standing,
        began_at_ms=now_ms if book.began_at_ms is None else book.began_at_ms,
        silences=tuple(each for each in book.silences if now_ms < each.until_ms),
    )
    return _forgotten(_begun(_ended(changed, now_ms, make_id), policy, now_ms, make_id), policy, now_ms)


def after_circuit(
    book: AlertBook, change: CircuitChange, policy: AlertPolicy, now_ms: int, make_id: Callable[[], str]
) -> AlertBook:
    """The book after a circuit was opened or closed, by whoever did it, who knows why."""
    key = f"circuit:{change.destination}"
    standing = dict(book.standing)
    if change.change == "opened":
        condition = Condition("circuit", change.destination, change.why, change.at_ms)
        standing[key] = _seen(standing.get(key), condition, now_ms)
        return _begun(replace(book, standing=standing), policy, now_ms, make_id)
    known = standing.get(key)
    if known is None or known.over:
        return book
    standing[key] = replace(known, gone_at_ms=change.at_ms)
    return _ended(replace(book, standing=standing), now_ms, make_id, {key: change.why})


def _seen(known: Standing | None, condition: Condition, now_ms: int) -> Standing:
    since_ms = now_ms if condition.since_ms is None else min(condition.since_ms, now_ms)
    fresh = Standing(
        condition.kind,
        condition.subject,
        since_ms,
        condition.why,
        condition.weight,
        condition.facts,
        condition.parts,
    )
    if known is None:
        return fresh
    if known.over:
        # It comes again: told anew, but not sooner than it may be.
        return replace(fresh, told_at_ms=known.told_at_ms, told=frozenset({_AGAIN}))
    worst = max(known.severity, condition.weight, key=lambda each: each.rank)
    told = known.told if _AGAIN in known.told else known.told & condition.parts
    return replace(
        fresh, since_ms=min(known.since_ms, since_ms), severity=worst, told_at_ms=known.told_at_ms, told=told
    )


_AGAIN = "(again)"
"""In the place of the parts that people know of: they were told that it is over, so they know of none."""


def _is_told(each: Standing) -> bool:
    return each.told_at_ms is not None and _AGAIN not in each.told


# -- what begins --------------------------------------------------------------------------------


def _begun(book: AlertBook, policy: AlertPolicy, now_ms: int, make_id: Callable[[], str]) -> AlertBook:
    due: dict[str, list[Standing]] = {}
    for each in book.standing.values():
        if _is_news(each, policy, now_ms) and book.silenced(each.kind, each.subject, now_ms) is None:
            due.setdefault(each.kind, []).append(each)
    for kind, several in due.items():
        if _may_tell(book, kind, Status.FIRING, policy.group_ms, now_ms):
            told = {each.key: replace(each, told=each.parts, told_at_ms=now_ms) for each in several}
            alerts = [each.alert(Status.FIRING, now_ms) for each in several]
            book = _noticed(book, kind, Status.FIRING, alerts, told, now_ms, make_id)
    return book


def _is_news(each: Standing, policy: AlertPolicy, now_ms: int) -> bool:
    if each.over or each.gone_at_ms is not None:
        return False
    if each.told_at_ms is None:
        return True
    ago_ms = now_ms - each.told_at_ms
    if ago_ms < policy.every_ms:
        return False
    lasting = policy.remind_ms is not None and ago_ms >= policy.remind_ms and bool(KINDS[each.kind].ends)
    return lasting or not _is_told(each) or not each.parts <= each.told


def _may_tell(book: AlertBook, kind: str, status: Status, every_ms: int, now_ms: int) -> bool:
    last_ms = book.last_told.get(f"{kind}.{status}")
    return last_ms is None or not 0 <= now_ms - last_ms < every_ms


# -- what is over -------------------------------------------------------------------------------


def _ended(
    book: AlertBook, now_ms: int, make_id: Callable[[], str], whys: Mapping[str, str] | None = None
) -> AlertBook:
    """What has been gone for long enough is over. whys: by key, where somebody knows why."""
    over = [each for each in book.standing.values() if _is_over(each, now_ms)]
    standing = {**book.standing, **{each.key: replace(each, over=True) for each in over}}
    book = replace(book, standing=standing)
    by_kind: dict[str, list[Alert]] = {}
    for each in over:
        if _is_told(each) and KINDS[each.kind].ends:
            why = (whys or {}).get(each.key, "")
            by_kind.setdefault(each.kind, []).append(each.alert(Status.RESOLVED, each.gone_at_ms or now_ms, why))
    for kind, alerts in by_kind.items():
        book = _noticed(book, kind, Status.RESOLVED, alerts, {}, now_ms, make_id)
    return book


def _is_over(each: Standing, now_ms: int) -> bool:
    if each.over or each.gone_at_ms is None:
        return False
    # A clock that was set back makes nothing last for ever.
    gone_ms = now_ms - each.gone_at_ms
    return gone_ms < 0 or gone_ms >= KINDS[each.kind].settle_ms


def _forgotten(book: AlertBook, policy: AlertPolicy, now_ms: int) -> AlertBook:
    """Without what has been over for so long that it may begin anew as if it had never been."""
    left = {
        key: each
        for key, each in book.standing.items()
        if not each.over or (each.told_at_ms is not None and 0 <= now_ms - each.told_at_ms < policy.every_ms)
    }
    return replace(book, standing=left)


def _noticed(
    book: AlertBook,
    kind: str,
    status: Status,
    alerts: list[Alert],
    told: Mapping[str, Standing],
    now_ms: int,
    make_id: Callable[[], str],
) -> AlertBook:
    """With notices of these alerts to be sent, the worst first."""
    worst_first = sorted(alerts, key=lambda each: -each.severity.rank)
    groups = [worst_first[at : at + ALERTS_PER_NOTICE] for at in range(0, len(worst_first), ALERTS_PER_NOTICE)]
    notices = tuple(Notice(make_id(), kind, status, tuple(each)) for each in groups)
    return replace(
        book,
        standing={**book.standing, **told},
        outbox=(*book.outbox, *notices),
        last_told={**book.last_told, f"{kind}.{status}": now_ms},
    )


def tested(channel: str, by: str, now_ms: int, make_id: Callable[[], str]) -> Notice:
    """What `longstop alerts test` sends to a channel."""
    why = f"{by} asked for it; if you read this, alerts arrive here"
    alert = Alert("test", None, why, now_ms, kind="test", subject=channel, severity=Severity.INFO)
    return Notice(make_id(), "test", Status.FIRING, (alert,))

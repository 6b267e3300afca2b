"""What is wrong, as it looks now: each of these makes conditions of what was observed. Pure; nobody is told here.

The alerts' own deliveries are left out of all of them: an alert about an alert that failed would never end.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from longstop.model.action import Pause
from longstop.model.alert import KINDS, Severity, is_own, listed, shortened
from longstop.model.alert_book import PARTS_MAX, AlertBook, Baseline, Standing
from longstop.model.breaker import Circuit
from longstop.model.job import Job, JobState
from longstop.model.listing import Counts, DeadGroup
from longstop.model.node import Node
from longstop.model.rejection import TEMPORARY, RejectionCount
from longstop.model.spool import SpoolFacts

QUARANTINE = "(quarantine)"
"""How the dead letters are called that have no destination: requests that could not be read."""
DISK_AGAIN = 1.2
"""A disk has room again at so many times the mark, so that it does not flap."""
DEAD_GROUPS_LOOKED_AT = 1_000
JOB_RECENT_MS = 600_000
"""A job that ended longer ago is no news. No process is away for so long between two looks, but at a stop."""

SPOOL_RECENT_MS = 60_000
"""A spool that was in use so lately is told of: longer than lies between two looks."""


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """From where on people are told, and how often. Times in milliseconds; None: never."""

    backlog_older_than_ms: int | None = 600_000
    refused_at_least: int = 5
    """So many refused requests of one source within the window."""
    refused_within_ms: int = 600_000
    disk_below_bytes: int | None = None
    """None: twice what `store.min_free` asks for."""
    every_ms: int = 300_000
    """About one thing people are told at most so often that it has begun."""
    group_ms: int = 60_000
    """And about all of one kind."""
    remind_ms: int | None = 12 * 3_600_000
    """After so long they are told again of what is still so."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now."""

    kind: str
    subject: str
    why: str
    since_ms: int | None = None
    """Since when, where that is known."""
    severity: Severity | None = None
    """None: the kind's own."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()
    """What it is made of, where a new part is news."""

    @property
    def key(self) -> str:
        """What it is known by from its beginning to its end."""
        return f"{self.kind}:{self.subject}"

    @property
    def weight(self) -> Severity:
        """How bad it is."""
        return self.severity or KINDS[self.kind].severity


# -- deliveries ---------------------------------------------------------------------------------


def dead_letters(groups: Iterable[DeadGroup]) -> list[Condition]:
    """One for each destination that has dead letters; its parts are the causes."""
    by_destination: dict[str, list[DeadGroup]] = {}
    for group in groups:
        if not is_own(group.destination):
            by_destination.setdefault(group.destination, []).append(group)
    return [_dead(name, causes) for name, causes in by_destination.items()]


def _dead(destination: str, causes: list[DeadGroup]) -> Condition:
    newest_first = sorted(causes, key=lambda each: each.first_at_ms, reverse=True)
    count = sum(each.count for each in causes)
    told = [_cause(each) for each in newest_first]
    of = f"{len(causes)} causes, the newest first" if len(causes) > 1 else "one cause"
    return Condition(
        "dead_letters",
        destination or QUARANTINE,
        shortened(f"{count} of {of}: {listed(told, 3)}"),
        min(each.first_at_ms for each in causes),
        facts={"count": count, "causes": told[:10], "sample": list(newest_first[0].sample[:3])},
        parts=frozenset([_mark(each) for each in newest_first][-PARTS_MAX:]),
    )


def _cause(group: DeadGroup) -> str:
    status = f" {group.status}" if group.status is not None and str(group.status) not in group.error else ""
    error = f" ({group.error})" if group.error else ""
    return shortened(f"{group.reason}{status}{error}", 160)


def _mark(group: DeadGroup) -> str:
    text = f"{group.reason}|{group.status}|{group.error}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def circuits(opened: Iterable[Circuit]) -> list[Condition]:
    """One for each circuit that is open."""
    return [
        Condition("circuit", each.destination, each.why, each.opened_at_ms)
        for each in opened
        if not is_own(each.destination)
    ]


def backlog(counts: Counts, pauses: Iterable[Pause], policy: AlertPolicy, now_ms: int) -> list[Condition]:
    """One for each destination for which something waits that is older than it may be."""
    if policy.backlog_older_than_ms is None:
        return []
    paused = {each.destination: each for each in pauses}
    return [
        _backlog(name, counts, paused.get(name), oldest_ms, now_ms)
        for name, oldest_ms in counts.oldest_waiting.items()
        if not is_own(name) and now_ms - oldest_ms > policy.backlog_older_than_ms
    ]


def _backlog(name: str, counts: Counts, pause: Pause | None, oldest_ms: int, now_ms: int) -> Condition:
    states = counts.deliveries.get(name, {})
    waiting = sum(n for state, n in states.items() if state.value in ("scheduled", "leased"))
    why = f"{waiting} wait, the oldest for {minutes(now_ms - oldest_ms)}"
    if pause is not None:
        why += f"; it is paused by {pause.by}" + (f": {pause.why}" if pause.why else "")
    facts = {"waiting": waiting, "oldest_at_ms": oldest_ms, "paused_by": pause.by if pause else None}
    return Condition("backlog", name, shortened(why), oldest_ms, facts=facts)


# -- sources ------------------------------------------------------------------------------------


def refused(
    book: AlertBook,
    rejections: Iterable[RejectionCount],
    counts: Counts,
    configured: Collection[str],
    policy: AlertPolicy,
    now_ms: int,
) -> tuple[list[Condition], Mapping[str, Baseline]]:
    """One for each configured source of which requests are refused again and again; and the counts to go on from.

    What is refused for a time only (a rate, a full store) is no sign of a secret that was changed on one side, and
    what is posted to names that no source has says nothing of any.
    """
    by_source: dict[str, list[RejectionCount]] = {name: [] for name in configured}
    for each in rejections:
        if each.source in by_source and each.reason not in TEMPORARY:
            by_source[each.source].append(each)
    conditions: list[Condition] = []
    baselines: dict[str, Baseline] = {}
    for name, reasons in by_source.items():
        now = Baseline(sum(each.count for each in reasons), now_ms, counts.sources.get(name, 0))
        base = _baseline(book, name, reasons, now)
        recent = now_ms - max((each.last_at_ms for each in reasons), default=0) < policy.refused_within_ms
        standing = book.standing.get(f"refused:{name}")
        goes_on = standing is not None and not standing.over
        if recent and (goes_on or now.count - base.count >= policy.refused_at_least):
            conditions.append(_refused(name, reasons, base, now))
        elif now_ms - base.at_ms >= policy.refused_within_ms:
            base = now
        baselines[name] = base
    return conditions, baselines


def _baseline(book: AlertBook, name: str, reasons: Sequence[RejectionCount], now: Baseline) -> Baseline:
    kept = book.refused.get(name)
    # Counts are forgotten one day, and a clock may be set back.
    if kept is not None and kept.count <= now.count and kept.at_ms <= now.at_ms:
        return kept
    # What was refused before anybody looked is old. What a later look finds at a source that is new is all of it new.
    began_at_ms = book.began_at_ms or now.at_ms
    old = kept is not None or any(each.first_at_ms < began_at_ms for each in reasons)
    return now if old else replace(now, count=0)


def _refused(name: str, reasons: Sequence[RejectionCount], base: Baseline, now: Baseline) -> Condition:
    news, accepted = now.count - base.count, max(0, now.events - base.events)
    most_first = sorted(reasons, key=lambda each: -each.count)
    said = ", ".join(f"{each.reason} {each.count}" for each in most_first)
    meanwhile = f"; {accepted} were accepted meanwhile"
    if not accepted:
        meanwhile = "; none was accepted meanwhile: was a secret changed on one side only?"
    severity = Severity.WARNING if accepted else Severity.ERROR
    return Condition(
        "refused",
        name,
        shortened(f"{news} since {time_of_day(base.at_ms)} (in all: {said}){meanwhile}"),
        base.at_ms,
        severity,
        {"refused": news, "accepted": accepted, "reasons": {str(each.reason): each.count for each in most_first}},
        # One that gets worse is news.
        parts=frozenset({str(severity)}),
    )


@dataclass(frozen=True, slots=True)
class SilentSource:
    """A source of which nothing has come for longer than ever."""

    source: str
    last_at_ms: int
    longest_ms: int
    """The longest that it usually is."""


def silent(sources: Iterable[SilentSource], now_ms: int) -> list[Condition]:
    """One for each source that has been silent for longer than it ever is."""
    return [
        Condition(
            "source_silent",
            each.source,
            f"for {minutes(now_ms - each.last_at_ms)}; it is never silent for longer than {minutes(each.longest_ms)}",
            each.last_at_ms,
            facts={"last_at_ms": each.last_at_ms, "longest_s": round(each.longest_ms / 1000)},
        )
        for each in sources
    ]


# -- jobs ---------------------------------------------------------------------------------------


def ended_jobs(jobs: Iterable[Job], now_ms: int) -> list[Condition]:
    """One for each job that was done lately, or could not go on. Who cancels one knows of it."""
    return [
        Condition("job_done", each.id, _job(each), each.state_at_ms, Severity.ERROR if _failed(each) else None)
        for each in jobs
        if each.state in (JobState.DONE, JobState.FAILED) and now_ms - each.state_at_ms < JOB_RECENT_MS
    ]


def _failed(job: Job) -> bool:
    return job.state is JobState.FAILED


def _job(job: Job) -> str:
    how = f"it could not go on: {job.state_why}" if _failed(job) else "it is done"
    return shortened(f"{job.action} for {job.by}; {how}; {job.done} done, {job.failed} failed, {job.skipped} skipped")


# -- machines -----------------------------------------------------------------------------------


def disk(free_bytes: int, node: str, standing: Standing | None, policy: AlertPolicy) -> list[Condition]:
    """One where there is less room than there should be; `standing`: the alert about it, if there is one."""
    below = policy.disk_below_bytes or 0
    if standing is not None and not standing.over:
        below = round(below * DISK_AGAIN)
    if free_bytes >= below:
        return []
    why = f"{free_bytes / 1e6:,.0f} MB are free; below what `store.min_free` asks for nothing more is accepted"
    return [Condition("disk_low", node, why, facts={"free_bytes": free_bytes})]


def spool(facts: SpoolFacts | None, node: str, now_ms: int) -> list[Condition]:
    """One where the spool is in use, or was a moment ago: while the store is away nobody can be told."""
    if facts is None or not (facts.in_use or facts.stuck or _just_now(facts.used_until_ms, now_ms)):
        return []
    since = f" since {time_of_day(facts.since_ms)}" if facts.since_ms is not None else ""
    why = f"{facts.events} events wait in it{since}; the store: {facts.why or 'it works'}"
    if not facts.in_use:
        why = f"it was in use until {time_of_day(facts.used_until_ms or now_ms)}: {facts.why or 'it works'}"
    if facts.stuck:
        why += f"; {facts.stuck} of them are refused by the store"
    known = {"events": facts.events, "bytes": facts.bytes, "stuck": facts.stuck, "oldest_at_ms": facts.oldest_at_ms}
    return [Condition("spool", node, shortened(why), facts.since_ms, facts=known)]


def _just_now(at_ms: int | None, now_ms: int) -> bool:
    return at_ms is not None and now_ms - at_ms < SPOOL_RECENT_MS


def lost_nodes(nodes: Sequence[Node], now_ms: int) -> list[Condition]:
    """One for each process that ended without a word, unless another has begun on its machine since."""
    running = [each for each in nodes if each.runs(now_ms)]
    return [
        Condition(
            "node_lost", each.name, f"it was heard of last {minutes(now_ms - each.seen_at_ms)} ago", each.seen_at_ms
        )
        for each in nodes
        if not each.runs(now_ms) and not any(_replaces(other, each) for other in running)
    ]


def _replaces(other: Node, lost: Node) -> bool:
    host = lost.name.rpartition(":")[0]
    return other.name.rpartition(":")[0] == host and other.started_at_ms >= lost.started_at_ms


# -- words --------------------------------------------------------------------------------------


def minutes(ms: int) -> str:
    """A duration as people say it: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0, ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7_200:
        return f"{seconds // 60} min"
    hours, rest = divmod(seconds, 3600)
    if hours < 48:
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def time_of_day(at_ms: int) -> str:
    """A time of day, UTC."""
    seconds = at_ms // 1000 % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d} UTC"

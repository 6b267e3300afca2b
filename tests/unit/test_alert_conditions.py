"""What is wrong, as it looks: of each kind what counts, what does not, and what is said."""

from dataclasses import replace
from typing import Any

import pytest

from longstop.model import alert_conditions as conditions
from longstop.model.action import Pause
from longstop.model.alert import Severity
from longstop.model.alert_book import AlertBook, Standing
from longstop.model.alert_conditions import AlertPolicy, Condition
from longstop.model.breaker import Circuit
from longstop.model.delivery import DeadReason, State
from longstop.model.job import Job, JobAction, JobState
from longstop.model.listing import Counts, DeadGroup, DeliveryFilter
from longstop.model.node import GONE_AFTER_MS, Node
from longstop.model.rejection import RejectionCount, RejectionReason
from longstop.model.spool import SpoolFacts
from longstop.testing.builders import AT_MS

MIN = 60_000
POLICY = AlertPolicy()
NO_COUNTS = Counts(0, 0, {}, None)


def group(destination: str = "crm", error: str = "HTTP 422", count: int = 3, first_at_ms: int = AT_MS) -> DeadGroup:
    return DeadGroup(destination, DeadReason.REJECTED, 422, error, count, 1, first_at_ms, AT_MS + 9, ("d-1", "d-2"))


# -- dead letters -------------------------------------------------------------------------------


def test_dead_letters_are_one_condition_a_destination_with_its_causes() -> None:
    found = conditions.dead_letters([group(), group(error="no such customer", first_at_ms=AT_MS + 5), group("lake")])
    assert [(each.key, len(each.parts), each.since_ms) for each in found] == [
        ("dead_letters:crm", 2, AT_MS),
        ("dead_letters:lake", 1, AT_MS),
    ]
    assert found[0].why == ("6 of 2 causes, the newest first: rejected 422 (no such customer), rejected (HTTP 422)")
    assert found[1].why == "3 of one cause: rejected (HTTP 422)"
    assert found[0].facts["count"] == 6


def test_a_cause_is_the_same_one_when_more_die_of_it() -> None:
    (one,), (more,) = conditions.dead_letters([group()]), conditions.dead_letters([group(count=900)])
    assert one.parts == more.parts


def test_what_could_not_be_read_has_a_name() -> None:
    (found,) = conditions.dead_letters([group("")])
    assert found.subject == "(quarantine)"


def test_the_alerts_own_deliveries_are_no_reason_for_an_alert() -> None:
    own = "alerts.team"
    counts = Counts(1, 0, {own: {State.SCHEDULED: 1}}, 0, oldest_waiting={own: 0})
    assert conditions.dead_letters([group(own)]) == []
    assert conditions.circuits([Circuit(own, AT_MS, AT_MS, 1, "why")]) == []
    assert conditions.backlog(counts, [], POLICY, AT_MS) == []


def test_a_text_of_others_is_cut() -> None:
    (found,) = conditions.dead_letters([group(error="x" * 10_000)])
    assert len(found.why) < 700


# -- what waits ---------------------------------------------------------------------------------


def waiting(ago_ms: int) -> Counts:
    states = {State.SCHEDULED: 4, State.LEASED: 1, State.DELIVERED: 99}
    return Counts(9, 0, {"crm": states}, None, oldest_waiting={"crm": AT_MS - ago_ms})


def test_a_backlog_is_old_from_ten_minutes_on() -> None:
    assert conditions.backlog(waiting(10 * MIN), [], POLICY, AT_MS) == []
    (found,) = conditions.backlog(waiting(10 * MIN + 1), [], POLICY, AT_MS)
    assert (found.key, found.why) == ("backlog:crm", "5 wait, the oldest for 10 min")


def test_one_that_is_paused_says_by_whom() -> None:
    (found,) = conditions.backlog(waiting(3_600_000), [Pause("crm", AT_MS, "ann", "migration")], POLICY, AT_MS)
    assert found.why == "5 wait, the oldest for 60 min; it is paused by ann: migration"


def test_no_backlog_where_nobody_wants_to_know() -> None:
    assert conditions.backlog(waiting(10**9), [], replace(POLICY, backlog_older_than_ms=None), AT_MS) == []


# -- refused requests ---------------------------------------------------------------------------


class Refusing:
    """A source whose requests are refused, looked at again and again."""

    def __init__(self, refused: int = 0) -> None:
        self.book = AlertBook(began_at_ms=AT_MS)
        self.total, self.accepted = refused, 0
        self.last_at_ms = self.first_at_ms = AT_MS - 1 if refused else 0
        self.reason = RejectionReason.WRONG_PROOF

    def look(self, at_ms: int, refused: int = 0, accepted: int = 0) -> list[Condition]:
        now_ms = AT_MS + at_ms
        if refused:
            self.first_at_ms = self.first_at_ms or now_ms
            self.last_at_ms = now_ms
        self.total, self.accepted = self.total + refused, self.accepted + accepted
        kept = (
            [RejectionCount("shop", self.reason, self.total, self.first_at_ms, self.last_at_ms)] if self.total else []
        )
        counts = replace(NO_COUNTS, sources={"shop": self.accepted})
        found, refused_now = conditions.refused(self.book, kept, counts, ["shop"], POLICY, now_ms)
        standing = {each.key: Standing("refused", "shop", now_ms, each.why, each.weight) for each in found}
        self.book = replace(self.book, refused=refused_now, standing=standing)
        return found


def test_five_refused_requests_of_a_source_are_a_sign() -> None:
    refusing = Refusing()
    assert refusing.look(0) == []
    assert refusing.look(15_000, refused=4) == []
    (found,) = refusing.look(30_000, refused=1)
    assert (found.key, found.severity) == ("refused:shop", Severity.ERROR)
    assert found.why == (
        "5 since 00:00 UTC (in all: wrong_proof 5); none was accepted meanwhile: was a secret changed on one side only?"
    )


def test_where_others_are_accepted_it_is_less_of_one() -> None:
    refusing = Refusing()
    refusing.look(0, accepted=1_000)
    (found,) = refusing.look(15_000, refused=6, accepted=40)
    assert (found.severity, found.facts["accepted"]) == (Severity.WARNING, 40)


def test_a_few_now_and_then_are_none() -> None:
    refusing = Refusing()
    assert [refusing.look(at * MIN, refused=at % 3 == 0) for at in range(300)] == [[]] * 300


def test_what_was_refused_before_anybody_looked_is_old() -> None:
    refusing = Refusing(refused=900)
    refusing.book = AlertBook()
    assert refusing.look(0) == []
    assert refusing.look(15_000, refused=4) == []
    assert len(refusing.look(30_000, refused=1)) == 1


def test_it_goes_on_while_any_is_refused_and_is_over_ten_minutes_after_the_last() -> None:
    refusing = Refusing()
    refusing.look(0)
    refusing.look(15_000, refused=5)
    for at in range(1, 10):
        assert len(refusing.look(at * 9 * MIN, refused=1)) == 1
    assert len(refusing.look(90 * MIN)) == 1
    assert refusing.look(91 * MIN) == []
    assert refusing.look(92 * MIN, refused=4) == [], "it begins anew"


def test_counts_that_were_forgotten_begin_anew() -> None:
    refusing = Refusing()
    refusing.look(0)
    refusing.look(15_000, refused=4)
    refusing.total, refusing.first_at_ms = 0, 0
    assert refusing.look(30_000, refused=3) == []


@pytest.mark.parametrize("reason", [RejectionReason.RATE, RejectionReason.UNAVAILABLE])
def test_what_is_refused_for_a_time_only_says_nothing_of_a_secret(reason: RejectionReason) -> None:
    refusing = Refusing()
    refusing.reason = reason
    assert (refusing.look(0), refusing.look(15_000, refused=500)) == ([], [])


def test_what_is_posted_to_unknown_names_says_nothing_of_any_source() -> None:
    kept = [RejectionCount("(unknown)", RejectionReason.UNKNOWN_SOURCE, 9_999, AT_MS, AT_MS)]
    book = AlertBook(began_at_ms=AT_MS - 1)
    assert conditions.refused(book, kept, NO_COUNTS, ["shop"], POLICY, AT_MS)[0] == []


# -- jobs ---------------------------------------------------------------------------------------


def job(state: JobState, ended_ago_ms: int = 0, **changes: Any) -> Job:
    made = Job("7f", JobAction.REPLAY, DeliveryFilter(), "ann", AT_MS, "d", state=state, **changes)
    return replace(made, state_at_ms=AT_MS - ended_ago_ms, done=3, failed=1)


def test_a_job_that_is_done_is_told_of_and_one_that_could_not_go_on_all_the_more() -> None:
    done, failed = job(JobState.DONE), job(JobState.FAILED, state_why="the store is full")
    found = conditions.ended_jobs([done, failed], AT_MS)
    assert [(each.key, each.weight) for each in found] == [
        ("job_done:7f", Severity.INFO),
        ("job_done:7f", Severity.ERROR),
    ]
    assert found[0].why == "replay for ann; it is done; 3 done, 1 failed, 0 skipped"
    assert "it could not go on: the store is full" in found[1].why


def test_a_job_that_goes_on_or_was_cancelled_or_ended_long_ago_is_no_news() -> None:
    jobs = [job(JobState.RUNNING), job(JobState.PAUSED), job(JobState.CANCELLED), job(JobState.DONE, 600_000)]
    assert conditions.ended_jobs(jobs, AT_MS) == []


# -- machines -----------------------------------------------------------------------------------


def test_a_disk_is_low_below_its_mark_and_has_room_again_well_above() -> None:
    policy = replace(POLICY, disk_below_bytes=1_000_000_000)
    assert conditions.disk(1_000_000_000, "host", None, policy) == []
    (low,) = conditions.disk(999_999_999, "host", None, policy)
    assert (low.key, low.weight) == ("disk_low:host", Severity.CRITICAL)
    assert low.why.startswith("1,000 MB are free")
    standing = Standing("disk_low", "host", AT_MS, "", Severity.CRITICAL)
    assert len(conditions.disk(1_199_999_999, "host", standing, policy)) == 1
    assert conditions.disk(1_200_000_000, "host", standing, policy) == []
    assert conditions.disk(1_100_000_000, "host", replace(standing, over=True), policy) == []


def test_a_spool_is_told_of_while_it_is_in_use_and_a_moment_longer() -> None:
    at_rest = SpoolFacts(False, 0, 0, None)
    assert conditions.spool(None, "host", AT_MS) == conditions.spool(at_rest, "host", AT_MS) == []
    in_use = SpoolFacts(True, 7, 700, AT_MS - 9_000, since_ms=AT_MS - 10_000, why="connection refused")
    (now,) = conditions.spool(in_use, "host", AT_MS)
    assert (now.key, now.weight, now.since_ms) == ("spool:host", Severity.CRITICAL, AT_MS - 10_000)
    assert now.why == "7 events wait in it since 23:59 UTC; the store: connection refused"
    used = replace(at_rest, used_until_ms=AT_MS - 59_999, why="connection refused")
    (then,) = conditions.spool(used, "host", AT_MS)
    assert then.why == "it was in use until 23:59 UTC: connection refused"
    assert conditions.spool(replace(used, used_until_ms=AT_MS - 60_000), "host", AT_MS) == []
    (stuck,) = conditions.spool(replace(at_rest, events=2, stuck=2), "host", AT_MS)
    assert stuck.why.endswith("2 of them are refused by the store")


def node(name: str, seen_ago_ms: int = 0, started_at_ms: int = AT_MS) -> Node:
    return Node(name, ("work",), "1", started_at_ms, AT_MS - seen_ago_ms)


def test_a_node_that_ended_without_a_word_is_lost() -> None:
    found = conditions.lost_nodes([node("a:1", GONE_AFTER_MS), node("b:1", GONE_AFTER_MS - 1)], AT_MS)
    assert [each.key for each in found] == ["node_lost:a:1"]


def test_one_that_was_started_again_on_its_machine_is_not() -> None:
    lost = node("a:1", GONE_AFTER_MS)
    assert conditions.lost_nodes([lost, node("a:2", started_at_ms=AT_MS + 1)], AT_MS) == []
    assert len(conditions.lost_nodes([lost, node("a:2", started_at_ms=AT_MS - 1)], AT_MS)) == 1, "that was beside it"
    assert len(conditions.lost_nodes([lost, node("b:2", started_at_ms=AT_MS + 1)], AT_MS)) == 1


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (-5, "0 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (7_199_999, "119 min"),
        (7_200_000, "2 h"),
        (12_000_000, "3 h 20 min"),
        (172_800_000, "2 d"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_durations_as_people_say_them(ms: int, said: str) -> None:
    assert conditions.minutes(ms) == said

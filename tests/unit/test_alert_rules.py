"""When people are told: what begins, what is news, what is too often, what is over, what is silenced."""

from dataclasses import replace
from itertools import count

import pytest

from longstop.model.alert import ALERTS_PER_NOTICE, KINDS, Notice, Severity, Status
from longstop.model.alert_book import ANY_KIND, STANDING_MAX, AlertBook, Silence
from longstop.model.alert_conditions import AlertPolicy, Condition
from longstop.model.alert_rules import after_circuit, watch
from longstop.model.breaker import CircuitChange
from longstop.testing.builders import AT_MS

S = 1_000
MIN = 60 * S
POLICY = AlertPolicy()
BACKLOG = Condition("backlog", "crm", "5 wait, the oldest for 11 min", AT_MS - 11 * MIN)
OPENED = Condition("circuit", "crm", "20 events in a row failed", AT_MS)


def dead(*causes: str, name: str = "crm") -> Condition:
    return Condition("dead_letters", name, f"{len(causes)}", AT_MS, parts=frozenset(causes))


class Watching:
    """Looks again and again, and empties the outbox as the queue does."""

    def __init__(self, policy: AlertPolicy = POLICY) -> None:
        self.book = AlertBook()
        self.policy = policy
        self._ids = count(1)

    def look(self, at_ms: int, *seen: Condition, kinds: tuple[str, ...] = tuple(KINDS)) -> list[str]:
        """What is told: `kind:subject` with + where it begins and - where it is over."""
        book = watch(self.book, seen, kinds, self.policy, AT_MS + at_ms, self._id)
        return self._told(book)

    def change(self, at_ms: int, change: str, why: str = "why") -> list[Notice]:
        told = CircuitChange("crm", "opened" if change == "opened" else "closed", why, AT_MS + at_ms)
        book = after_circuit(self.book, told, self.policy, AT_MS + at_ms, self._id)
        notices = list(book.outbox)
        self._told(book)
        return notices

    def _told(self, book: AlertBook) -> list[str]:
        # As it would be after a restart: only what the store keeps goes on.
        self.book = AlertBook.loaded(1, replace(book, outbox=()).dumped())
        return [
            f"{'-' if notice.status is Status.RESOLVED else '+'}{alert.key}"
            for notice in book.outbox
            for alert in notice.alerts
        ]

    def _id(self) -> str:
        return f"n-{next(self._ids)}"


def test_what_begins_is_told_once_however_often_it_is_looked_at() -> None:
    watching = Watching()
    assert watching.look(0, BACKLOG) == ["+backlog:crm"]
    assert [watching.look(at * 15 * S, BACKLOG) for at in range(1, 100)] == [[]] * 99


def test_nothing_wrong_tells_nothing() -> None:
    assert [Watching().look(at) for at in range(0, 10 * MIN, MIN)] == [[]] * 10


def test_what_is_gone_for_long_enough_is_over_and_that_is_told_once() -> None:
    watching = Watching()
    watching.look(0, BACKLOG)
    assert watching.look(15 * S) == []
    assert [each.active for each in watching.book.standing.values()] == [True], "not yet: it may come again"
    assert watching.look(75 * S) == ["-backlog:crm"]
    assert watching.look(90 * S) == []
    assert watching.book.active() == []


def test_what_comes_and_goes_is_one_alert() -> None:
    watching = Watching()
    assert watching.look(0, BACKLOG) == ["+backlog:crm"]
    for at in range(15, 600, 30):
        assert watching.look(at * S) == []
        assert watching.look((at + 15) * S, BACKLOG) == []


def test_what_begins_again_soon_after_its_end_is_told_when_it_may_be() -> None:
    watching = Watching()
    assert watching.look(0, OPENED) == ["+circuit:crm"]
    assert watching.look(10 * S) == ["-circuit:crm"]
    assert watching.look(20 * S, OPENED) == []
    assert watching.look(POLICY.every_ms - 1, OPENED) == []
    assert watching.look(POLICY.every_ms, OPENED) == ["+circuit:crm"]


def test_what_ends_before_it_was_told_is_not_told_of_at_all() -> None:
    watching = Watching()
    watching.look(0, OPENED)
    watching.look(10 * S)
    watching.look(20 * S, OPENED)
    assert watching.look(30 * S) == []
    assert watching.look(40 * S, OPENED) == []


@pytest.mark.parametrize("seed", range(20))
def test_flapping_tells_of_one_thing_at_most_twice_in_each_interval(seed: int) -> None:
    watching, told = Watching(), 0
    for at in range(0, 120 * 60, 5):
        on = (at * 2654435761 + seed * 40503) % 7 < 3
        told += len(watching.look(at * S, *([OPENED] if on else [])))
    assert 0 < told <= 2 * (120 * 60 * S // POLICY.every_ms + 1)


def test_another_cause_is_news_and_a_known_one_is_not() -> None:
    watching = Watching()
    assert watching.look(0, dead("a")) == ["+dead_letters:crm"]
    assert watching.look(6 * MIN, dead("a")) == []
    assert watching.look(7 * MIN, dead("a", "b")) == ["+dead_letters:crm"]
    assert watching.look(20 * MIN, dead("b")) == []
    assert watching.look(30 * MIN, dead("a", "b")) == ["+dead_letters:crm"], "it was mended, and is back"


def test_another_cause_right_after_the_first_waits_and_is_not_forgotten() -> None:
    watching = Watching()
    watching.look(0, dead("a"))
    assert watching.look(15 * S, dead("a", "b")) == []
    assert watching.look(30 * S, dead("a", "b", "c")) == []
    assert watching.look(POLICY.every_ms, dead("a", "b", "c")) == ["+dead_letters:crm"]
    assert watching.look(2 * POLICY.every_ms, dead("a", "b", "c")) == []


def test_what_begins_together_is_told_together_the_worst_first() -> None:
    watching = Watching()
    book = watch(
        watching.book,
        [replace(OPENED, subject="a", severity=Severity.WARNING), replace(OPENED, subject="b")],
        KINDS,
        POLICY,
        AT_MS,
        lambda: "n",
    )
    (notice,) = book.outbox
    assert [alert.subject for alert in notice.alerts] == ["b", "a"]
    assert (notice.severity, notice.title) == (Severity.ERROR, "The circuit of b opened, and 1 more")


def test_what_begins_one_after_the_other_is_told_of_one_kind_once_a_minute() -> None:
    watching, told = Watching(), []
    for n in range(40):
        seen = [replace(OPENED, subject=f"d{each}") for each in range(n + 1)]
        told.append(len(watching.look(n * 15 * S, *seen)))
    assert told[:6] == [1, 0, 0, 0, 4, 0]
    assert sum(told) == 37, "the rest within the next minute"
    assert sum(map(bool, told)) == 10


def test_no_notice_holds_more_than_a_message_can() -> None:
    seen = [replace(OPENED, subject=f"d{n}") for n in range(45)]
    book = watch(AlertBook(), seen, KINDS, POLICY, AT_MS, lambda: "n")
    assert [len(notice.alerts) for notice in book.outbox] == [ALERTS_PER_NOTICE, ALERTS_PER_NOTICE, 5]


def test_the_book_does_not_grow_without_end() -> None:
    seen = [replace(OPENED, subject=f"d{n}") for n in range(STANDING_MAX + 50)]
    book = watch(AlertBook(), seen, KINDS, POLICY, AT_MS, lambda: "n")
    assert len(book.standing) == STANDING_MAX


def test_what_lasts_is_told_again_after_half_a_day() -> None:
    watching = Watching()
    watching.look(0, BACKLOG)
    assert POLICY.remind_ms == 12 * 3600 * S
    assert watching.look(POLICY.remind_ms - 1, BACKLOG) == []
    assert watching.look(POLICY.remind_ms, BACKLOG) == ["+backlog:crm"]
    assert watching.look(POLICY.remind_ms + 15 * S, BACKLOG) == []


def test_never_again_where_no_reminder_is_wanted() -> None:
    watching = Watching(replace(POLICY, remind_ms=None))
    watching.look(0, BACKLOG)
    assert watching.look(100 * 24 * 3600 * S, BACKLOG) == []


def test_what_could_not_be_looked_at_is_not_over() -> None:
    watching = Watching()
    watching.look(0, BACKLOG, OPENED)
    assert watching.look(10 * MIN, kinds=("circuit",)) == ["-circuit:crm"]
    assert watching.look(20 * MIN, kinds=("circuit",)) == []
    assert [each.key for each in watching.book.active()] == ["backlog:crm"]


def test_what_has_ended_by_itself_is_told_once_and_has_no_end() -> None:
    watching, job = Watching(), Condition("job_done", "7f", "3 of 3 done")
    assert watching.look(0, job) == ["+job_done:7f"]
    assert watching.look(24 * 3600 * S, job) == [], "nor is anybody reminded of it"
    assert watching.look(25 * 3600 * S) == []


def test_one_that_gets_worse_keeps_its_worst_until_its_end() -> None:
    watching = Watching()
    watching.look(0, replace(BACKLOG, severity=Severity.CRITICAL))
    watching.look(15 * S, BACKLOG)
    assert [each.severity for each in watching.book.active()] == [Severity.CRITICAL]


# -- circuits -----------------------------------------------------------------------------------


def test_a_circuit_is_told_by_whoever_changed_it_and_a_look_adds_nothing() -> None:
    watching = Watching()
    (opened,) = watching.change(0, "opened", "it failed")
    assert [(alert.alert, alert.why, alert.status) for alert in opened.alerts] == [
        ("circuit_opened", "it failed", Status.FIRING)
    ]
    assert watching.look(5 * S, OPENED) == []
    (closed,) = watching.change(30 * S, "closed", "ann resumed it")
    assert [(alert.alert, alert.why, alert.open_s) for alert in closed.alerts] == [
        ("circuit_closed", "ann resumed it", 30.0)
    ]
    assert watching.look(45 * S) == []
    assert watching.change(50 * S, "closed") == []


def test_a_circuit_that_closed_while_nobody_was_there_is_found_closed() -> None:
    watching = Watching()
    watching.change(0, "opened")
    assert watching.look(600 * S) == ["-circuit:crm"]


# -- silences -----------------------------------------------------------------------------------


def silence(kind: str = "backlog", subject: str | None = None, until_ms: int = 10 * MIN) -> Silence:
    return Silence(kind, subject, AT_MS + until_ms, "ann", "a deployment", AT_MS)


@pytest.mark.parametrize("kind", ["backlog", ANY_KIND])
@pytest.mark.parametrize("subject", ["crm", None])
def test_what_is_silenced_is_told_when_the_silence_is_over(kind: str, subject: str | None) -> None:
    watching = Watching()
    watching.book = watching.book.with_silence(silence(kind, subject))
    assert watching.look(0, BACKLOG) == []
    assert watching.look(10 * MIN - 1, BACKLOG) == []
    assert watching.look(10 * MIN, BACKLOG) == ["+backlog:crm"]
    assert watching.book.silences == ()


@pytest.mark.parametrize(("kind", "subject"), [("circuit", None), ("backlog", "lake")])
def test_a_silence_is_for_what_it_names_only(kind: str, subject: str | None) -> None:
    watching = Watching()
    watching.book = watching.book.with_silence(silence(kind, subject))
    assert watching.look(0, BACKLOG) == ["+backlog:crm"]


def test_what_was_over_before_the_silence_was_is_not_told_of() -> None:
    watching = Watching()
    watching.book = watching.book.with_silence(silence())
    watching.look(0, BACKLOG)
    assert [watching.look(at) for at in range(MIN, 20 * MIN, MIN)] == [[]] * 19


def test_the_end_of_what_was_told_is_told_in_spite_of_a_silence() -> None:
    watching = Watching()
    watching.look(0, BACKLOG)
    watching.book = watching.book.with_silence(silence())
    watching.look(15 * S)
    assert watching.look(80 * S) == ["-backlog:crm"], "or an incident would stay open for ever"


def test_a_silence_takes_the_place_of_another_for_the_same() -> None:
    book = AlertBook().with_silence(silence()).with_silence(silence(until_ms=20 * MIN)).with_silence(silence("*"))
    assert [(each.kind, each.until_ms - AT_MS) for each in book.silences] == [("backlog", 20 * MIN), ("*", 10 * MIN)]
    assert [each.kind for each in book.without_silence("backlog", None).silences] == ["*"]
    longest = book.silenced("backlog", "crm", AT_MS)
    assert longest is not None
    assert longest.until_ms == AT_MS + 20 * MIN


# -- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_says_what_it_is_about_when_it_begins_and_when_it_is_over(kind: str) -> None:
    watching = Watching()
    book = watch(watching.book, [Condition(kind, "it", "because.")], KINDS, POLICY, AT_MS, lambda: "n")
    (alert,) = book.outbox[0].alerts
    assert "it" in alert.title
    assert alert.text.startswith(f"{alert.title}: because. {KINDS[kind].advice}".rstrip())
    document = alert.document()
    assert document[KINDS[kind].about] == "it"
    over = alert.row() | {"status": "resolved"}
    if KINDS[kind].ends:
        assert "it" in type(alert).from_row(over).title


def test_a_notice_comes_back_from_its_body() -> None:
    book = watch(AlertBook(), [BACKLOG, OPENED], KINDS, POLICY, AT_MS, lambda: "n")
    assert [Notice.from_body(notice.body()) for notice in book.outbox] == list(book.outbox)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"alerts": []}', b'{"alerts": [{"kind": "nonsense"}]}', b"\xff"])
def test_what_is_no_notice_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Notice.from_body(body)

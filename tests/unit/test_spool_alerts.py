"""The alert about the spool: told while the store is away, in its order, once, and over when it is over."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services import REJECTED, on_virtual_time
from structlog.testing import capture_logs

from longstop.model.alert import Alert, Notice, Severity, Wanted
from longstop.model.alert_book import Silence
from longstop.model.alert_channel import AlertsSettings, ChannelSettings
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.errors import StoreUnavailableError
from longstop.model.ids import IdFactory
from longstop.model.lease import Claim
from longstop.model.spool import SpoolFacts
from longstop.operating.spool_alerts import SpoolAlerts
from longstop.ports import AlertListener
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import ScriptedSender

AT_REST = SpoolFacts(False, 0, 0, None)
IN_USE = SpoolFacts(True, 9, 900, 1, since_ms=1, why="connection refused")
AWAY = Outcome(OutcomeKind.RETRY, status=503, error="the channel answered 503")
TEAM = ChannelSettings("team", "slack", "https://a.example")


class Away(MemoryStore):
    """A store that cannot be had."""

    async def alert_book(self) -> Any:
        raise StoreUnavailableError("connection refused")


class Told:
    """A channel, and what came by it."""

    def __init__(self, *script: Outcome) -> None:
        self.notices: list[str] = []
        self.sender = ScriptedSender(
            *[self._answering(each) for each in script], otherwise=Outcome(OutcomeKind.SUCCESS)
        )

    def _answering(self, outcome: Outcome) -> Callable[[Claim], Outcome]:
        def answer(claim: Claim) -> Outcome:
            notice = Notice.from_body(claim.event.body)
            self.notices.append(f"{notice.status} {notice.alerts[0].subject} {outcome.kind}")
            return outcome

        return answer


SUCCESS = Outcome(OutcomeKind.SUCCESS)


class Scene:
    """A spool, and who tells of it."""

    def __init__(self, *channels: Told, store: Any = None, settings: AlertsSettings | None = None, **more: Any) -> None:
        self.facts = AT_REST
        named = tuple(replace(TEAM, name=f"team{n}") for n in range(len(channels)))
        self.alerts = SpoolAlerts(
            lambda: self.facts,
            store or Away(),
            settings or AlertsSettings(named),
            [each.sender for each in channels],
            VirtualClock(),
            IdFactory(random.Random(1)),
            random.Random(1),
            "host",
            **more,
        )

    async def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.alerts.look()
            await VirtualClock().sleep(1)


@on_virtual_time
async def test_a_spool_in_use_is_told_of_at_once_and_once_while_the_store_is_away_and_so_is_its_end() -> None:
    team = Told(SUCCESS, SUCCESS)
    scene = Scene(team)
    await scene.pass_s(10)
    assert team.notices == []
    scene.facts = IN_USE
    await scene.pass_s(600)
    assert team.notices == ["firing host success"]
    scene.facts = replace(AT_REST, used_until_ms=VirtualClock().now_ms())
    await scene.pass_s(180)
    assert team.notices == ["firing host success", "resolved host success"]


@on_virtual_time
async def test_one_that_was_in_use_between_two_looks_is_told_of() -> None:
    team = Told(SUCCESS, SUCCESS)
    scene = Scene(team)
    scene.facts = replace(AT_REST, used_until_ms=VirtualClock().now_ms() - 500, why="it was slow")
    await scene.pass_s(1)
    assert team.notices == ["firing host success"]


@on_virtual_time
async def test_a_channel_that_is_away_is_tried_again_in_order_and_holds_up_no_other() -> None:
    team, pager = Told(AWAY, AWAY, AWAY, SUCCESS, SUCCESS), Told(SUCCESS, SUCCESS)
    scene = Scene(team, pager)
    scene.facts = IN_USE
    await scene.pass_s(1)
    assert (team.notices, pager.notices) == (["firing host retry"], ["firing host success"])
    scene.facts = AT_REST
    await scene.pass_s(300)
    assert pager.notices == ["firing host success", "resolved host success"]
    assert team.notices == [*["firing host retry"] * 3, "firing host success", "resolved host success"]


@on_virtual_time
async def test_what_a_channel_refuses_or_does_not_take_for_an_hour_is_given_up_and_said() -> None:
    refusing, away = Told(REJECTED), Told(*[AWAY] * 200)
    scene = Scene(refusing, away)
    scene.facts = IN_USE
    with capture_logs() as logs:
        await scene.pass_s(2)
        assert [(each["channel"], each["error"]) for each in logs if each["event"] == "alert_failed"] == [
            ("team0", REJECTED.error)
        ]
        await scene.pass_s(4_000)
    assert [each["channel"] for each in logs if each["event"] == "alert_failed"] == ["team0", "team1"]
    assert set(away.notices) == {"firing host retry"}
    assert len(refusing.notices) == 1


@on_virtual_time
async def test_a_silence_that_is_known_from_before_the_outage_holds() -> None:
    team, store, now_ms = Told(SUCCESS), MemoryStore(), VirtualClock().now_ms()
    scene = Scene(team, store=store)
    book = await store.alert_book()
    assert await store.keep_alert_book(
        book.with_silence(Silence("spool", None, now_ms + 30_000, "ada", "known", now_ms))
    )
    scene.facts = IN_USE
    await scene.pass_s(29)
    assert team.notices == []
    await scene.pass_s(5)
    assert team.notices == ["firing host success"], "what lasts is told when the silence is over"


@on_virtual_time
async def test_a_channel_gets_what_it_takes_and_a_function_hears_of_it_too() -> None:
    class Listener(AlertListener):
        heard: list[Alert] = []  # noqa: RUF012

        def tell(self, alert: Alert) -> None:
            self.heard.append(alert)

    disks = Told()
    wanted = replace(TEAM, wanted=Wanted(kinds=frozenset({"disk_low"})))
    scene = Scene(disks, settings=AlertsSettings((wanted,)), listeners=[Listener()])
    scene.facts = IN_USE
    await scene.pass_s(3)
    assert disks.sender.sent == []
    (alert,) = Listener.heard
    assert (alert.kind, alert.subject, alert.severity) == ("spool", "host", Severity.CRITICAL)
    assert "connection refused" in alert.why
    await scene.alerts.close()
    assert disks.sender.closed

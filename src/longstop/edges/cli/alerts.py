"""What people are told of: what is on now, whether a channel works, and silence for a time."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from longstop.config import values
from longstop.config.alerts import ALERT_KINDS, unknown_channel
from longstop.config.errors import Fault, listed, nearest
from longstop.edges.cli import output, tables, times
from longstop.edges.cli.errors import DONE, FAILED, CommandError, UsageError, say
from longstop.edges.cli.listing import first, json_lines
from longstop.edges.cli.listings import time_cell
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.person import caller, person
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.status import runs
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.alert import LONGSTOP, Notice
from longstop.model.alert_book import ANY_KIND
from longstop.model.alert_channel import ChannelSettings
from longstop.model.audit import AuditAction
from longstop.model.delivery import Delivery, State
from longstop.model.listing import EventFilter, Page

Kind = Annotated[str, Parameter(name="KIND", help=f'{listed(ALERT_KINDS)}, or "{ANY_KIND}" for every kind.')]
Subject = Annotated[str | None, Parameter(name="SUBJECT", help="Of this destination, source or gateway only.")]
COLUMNS = (
    Column("severity"),
    Column("since", right=True),
    Column("alert", least=20),
    Column("why", least=20),
    Column("told", wide_only=True),
)
LOOK_EVERY_S = 0.25
WAIT_MORE_S = 10.0
"""So much longer than a channel's timeout is waited for what becomes of a test."""
_ENDED = (State.DELIVERED, State.DEAD)


def list_alerts(*, limit: Limit = 50, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """List what is wrong now, the longest first, and what is silenced."""
    checked_limit(limit)

    async def work(desk: Desk) -> int:
        rows, now_ms = first(await desk.alerts(), limit), desk.clock.now_ms()
        if json:
            json_lines(rows)
            return DONE
        tables.write(COLUMNS, [_cells(row, now_ms) for row in rows])
        if not rows:
            say(["Nothing is wrong." if await desk.has_looked() else "No gateway has looked yet."])
        say([f"Silenced: {_said(silence)}" for silence in await desk.silences()])
        return DONE

    return at_desk(program, where, work)


def list_silences(*, limit: Limit = 50, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """List what is silenced, until when, by whom and why."""
    checked_limit(limit)

    async def work(desk: Desk) -> int:
        silences = first(await desk.silences(), limit)
        if json:
            json_lines(silences)
        elif silences:
            for silence in silences:
                output.line(_said(silence))
        else:
            say(["Nothing is silenced."])
        return DONE

    return at_desk(program, where, work)


def silence(
    kind: Kind,
    subject: Subject = None,
    /,
    *,
    for_: Annotated[str, Parameter(name="--for", help='For how long, as in "2h".')],
    why: Annotated[str | None, Parameter(help="The reason, kept with your name.")] = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Tell nobody of a kind of alert for a time. What is still wrong when it is over is told then."""
    _expect_kind(kind)
    for_ms = _duration(for_)

    async def work(desk: Desk) -> int:
        made = await desk.silence(kind, subject, for_ms, why)
        if json:
            output.json_line(made)
        else:
            output.line(_said(made))
        return DONE

    return at_desk(program, where, work)


def unsilence(
    kind: Kind,
    subject: Subject = None,
    /,
    *,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a silence: the one for exactly this kind and subject."""
    _expect_kind(kind)

    async def work(desk: Desk) -> int:
        ended = await desk.unsilence(kind, subject)
        what = _what(kind, subject)
        if json:
            output.json_line({"kind": kind, "subject": subject, "ended": ended})
        elif ended:
            output.line(f"{what} is told of again")
        else:
            output.line(f"{what} was not silenced; `longstop alerts silences` lists what is")
        return DONE

    return at_desk(program, where, work)


def try_channels(
    channel: Annotated[str | None, Parameter(name="CHANNEL", help="As the configuration names it; else all.")] = None,
    /,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Send a test through the queue to a channel, or to each of them, and say what became of it."""

    async def work(parts: Parts) -> int:
        channels = _chosen(parts.config.alerts.channels, channel)
        for each in channels:
            await parts.auditor(caller()).note(AuditAction.ALERT_TEST, "channel", each.name)
        notices = [await parts.alerts().test(each.name, person()) for each in channels]
        now_ms = parts.clock.now_ms()
        if not runs(await parts.store.nodes(), "work", now_ms):
            say(["longstop: no gateway delivers now; the test goes out when one does (`longstop serve`)"])
            return FAILED
        results = [await _result(parts, each, notice) for each, notice in zip(channels, notices, strict=True)]
        for row in results:
            if json:
                output.json_line(row)
            else:
                output.line(_result_line(row))
        return DONE if all(row["state"] == State.DELIVERED for row in results) else FAILED

    return on_store(program, config, work)


def _cells(row: Row, now_ms: int) -> tuple[str, ...]:
    told = "silenced" if row["silenced_by"] else time_cell(row["told_at"], now_ms)
    return (row["severity"], time_cell(row["since"], now_ms), row["title"], row["why"], told)


def _said(silence: Row) -> str:
    why = f": {silence['why']}" if silence["why"] else ""
    until = times.moment(ms_of(silence["until"]))
    return f"{_what(silence['kind'], silence['subject'])} until {until}, by {silence['by']}{why}"


def _what(kind: str, subject: str | None) -> str:
    what = "everything" if kind == ANY_KIND else kind
    return what if subject is None else f"{what} of {subject}"


def _expect_kind(kind: str) -> None:
    if kind != ANY_KIND and kind not in ALERT_KINDS:
        hint = nearest(kind, ALERT_KINDS)
        more = f"; {hint}" if hint else ""
        raise UsageError(f'found no kind of alert "{kind}"; expected {listed(ALERT_KINDS)} or "{ANY_KIND}"{more}')


def _duration(text: str) -> int:
    try:
        return values.positive_duration(text)
    except Fault as fault:
        raise UsageError(f'--for: {fault.found}; expected {fault.expected or "a duration"}, as in "2h"') from None


def _chosen(channels: Sequence[ChannelSettings], name: str | None) -> list[ChannelSettings]:
    chosen = [each for each in channels if name in (None, each.name)]
    if chosen:
        return chosen
    if name is not None:
        raise CommandError(unknown_channel(name, [each.name for each in channels]))
    raise CommandError("found no alert channel; expected one in the configuration: [alerts.channels.NAME]")


async def _result(parts: Parts, channel: ChannelSettings, notice: Notice) -> Row:
    """What became of a test, when something has, or when it is waited for no longer."""
    wait_s = channel.timeout_ms / 1000 + WAIT_MORE_S
    delivery: Delivery | None = None
    for _ in range(round(wait_s / LOOK_EVERY_S)):
        delivery = await _delivery(parts, notice)
        # A first failure says what there is to say; that it is tried again for an hour is another matter.
        if delivery is not None and (delivery.state in _ENDED or delivery.attempts):
            break
        await parts.clock.sleep(LOOK_EVERY_S)
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "event_id": delivery.event_id if delivery else None,
        "delivery_id": delivery.id if delivery else None,
        "state": delivery.state.value if delivery else None,
        "attempts": delivery.attempts if delivery else 0,
        "error": delivery.last_error if delivery else "no gateway has taken it up; does one run with this channel?",
    }


async def _delivery(parts: Parts, notice: Notice) -> Delivery | None:
    wanted = EventFilter(source=LONGSTOP, key=notice.alerts[0].key)
    for kept in (await parts.store.find_events(wanted, Page(5))).rows:
        if kept.event.dedup == notice.id.encode() and kept.deliveries:
            return kept.deliveries[0]
    return None


def _result_line(row: Row) -> str:
    name = f"{row['channel']} ({row['kind']})"
    if row["state"] == State.DELIVERED:
        return f"{name}  took it"
    later = "; it is tried again for an hour" if row["state"] in (State.SCHEDULED, State.LEASED) else ""
    return f"{name}  did not take it: {row['error'] or 'it waits'}{later}"

"""A notice as an event of the queue, with a delivery to each channel that takes it."""

from collections.abc import Sequence

from longstop.model.alert import LONGSTOP, TOLD_WHATEVER, Notice
from longstop.model.alert_channel import ChannelSettings
from longstop.model.delivery import Delivery, State, lane_of
from longstop.model.event import Event, Headers, Origin
from longstop.model.ids import IdFactory


def takes(channel: ChannelSettings, notice: Notice) -> bool:
    """Whether a notice is for this channel."""
    if notice.kind == TOLD_WHATEVER:
        return notice.alerts[0].subject == channel.name
    return channel.wanted.takes(notice)


def event_of(notice: Notice, ids: IdFactory, now_ms: int) -> Event:
    """The event that a notice is; it is known by the notice's id."""
    return Event(
        id=ids.make(now_ms),
        source=LONGSTOP,
        received_at_ms=now_ms,
        body=notice.body(),
        headers=Headers([("Content-Type", "application/json")]),
        type=f"{notice.kind}.{notice.status}",
        key=notice.alerts[0].key,
        dedup=notice.id.encode(),
        origin=Origin.ALERT,
    )


def deliveries_of(
    event: Event, notice: Notice, channels: Sequence[ChannelSettings], ids: IdFactory
) -> tuple[Delivery, ...]:
    """One for each channel, in the order of what is told of that kind."""
    return tuple(_delivery(event, notice.kind, each, ids) for each in channels)


def _delivery(event: Event, kind: str, channel: ChannelSettings, ids: IdFactory) -> Delivery:
    now_ms = event.received_at_ms
    return Delivery(
        id=ids.make(now_ms),
        event_id=event.id,
        source=event.source,
        type=event.type,
        key=event.key,
        received_at_ms=now_ms,
        destination=channel.destination,
        state=State.SCHEDULED,
        due_at_ms=now_ms,
        # So that the end of something is not told of before its beginning.
        lane=lane_of(LONGSTOP, kind),
        round_at_ms=now_ms,
    )

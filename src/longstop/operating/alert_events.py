"""A notice as an event of the queue, with a delivery to each channel that takes it."""

from collections.abc import Sequence

from longstop.model.alert import LONGSTOP, TOLD_WHATEVER, Notice
from longstop.model.alert_channel import ChannelSettings
from longstop.model.append import initial_deliveries
from longstop.model.delivery import Delivery, lane_of
from longstop.model.event import Event, Headers, Origin
from longstop.model.ids import IdFactory
from longstop.model.routing import Target


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
    """One for each channel; of one kind in their order, so that the end of something is not told before it began."""
    target = Target(lane=lane_of(LONGSTOP, notice.kind))
    return initial_deliveries(
        event, {each.destination: target for each in channels}, lambda: ids.make(event.received_at_ms)
    )

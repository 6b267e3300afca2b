"""What delivers: each configured destination, and each alert channel, with the sender that carries its deliveries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longstop.config import Config
from longstop.delivering.attempt import Destination
from longstop.model.alert import Alert
from longstop.model.alert_channel import ChannelSettings
from longstop.model.errors import ConfigurationError
from longstop.model.settings import DestinationSettings
from longstop.operating.alert_calls import AlertCalls
from longstop.ports import Clock, Sender
from longstop.senders.alert_function import FunctionAlerter
from longstop.senders.python import PythonSender, expect_takes, resolve_handler
from longstop.senders.transactional import TransactionalSender

Handlers = Mapping[str, Callable[..., Any]]
"""Destination name to the function that was registered for it in code."""

OnAlert = Callable[[Alert], Any]
"""A function that was registered for alerts in code."""


def build_alert_calls(config: Config, on_alert: Sequence[OnAlert]) -> list[AlertCalls]:
    """What calls each function, each with a queue of its own: one that hangs does not hold up the others."""
    timeout_ms = config.alerts.function_timeout_ms
    stop_within_s = min(timeout_ms, config.server.stop_timeout_ms) / 1000
    return [AlertCalls(FunctionAlerter(each, timeout_ms), stop_within_s) for each in on_alert]


def build_channels(config: Config, clock: Clock) -> list[Destination]:
    """The alert channels, as the destinations that they are to the queue. Raises ConfigurationError."""
    return [_of_settings(each.as_destination(), channel_sender(each, clock)) for each in config.alerts.channels]


def channel_sender(channel: ChannelSettings, clock: Clock) -> Sender:
    """What tells people by this channel. Raises ConfigurationError where nothing can be posted there."""
    if channel.email is not None:
        from longstop.senders.alerts.email import EmailSender

        return EmailSender(channel)
    from longstop.senders.alerts.post import PostSender

    return PostSender(channel, clock)


def build_destinations(config: Config, handlers: Handlers, clock: Clock) -> list[Destination]:
    return [_destination(each, config, handlers, clock) for each in config.destinations]


def _destination(settings: DestinationSettings, config: Config, handlers: Handlers, clock: Clock) -> Destination:
    transactional = _transactional(settings, config, handlers) if settings.transaction else None
    return _of_settings(settings, transactional or _sender(settings, handlers, clock), transactional)


def _of_settings(
    settings: DestinationSettings, sender: Sender, transactional: TransactionalSender | None = None
) -> Destination:
    return Destination(
        settings.name,
        sender,
        settings.retry,
        settings.concurrency,
        adaptive=settings.adaptive,
        rate_per_s=settings.rate_per_s,
        timeout_ms=settings.timeout_ms,
        breaker=settings.breaker,
        transactional=transactional,
    )


def _transactional(settings: DestinationSettings, config: Config, handlers: Handlers) -> TransactionalSender:
    if not config.store.has_transactions:
        problem = f'destinations.{settings.name}.transaction: found it with store.url = "{config.store.kind}://…"'
        raise ConfigurationError((f"{problem}; expected a store with transactions: sqlite:///FILE or postgresql://…",))
    return TransactionalSender(settings, handler_of(settings, handlers))


def handler_of(settings: DestinationSettings, handlers: Handlers) -> Callable[..., Any]:
    """The function that a destination calls. Raises ConfigurationError where there is none that can be called so."""
    arguments = ("event", "transaction") if settings.transaction else ("event",)
    if settings.handler is not None:
        return resolve_handler(settings.handler, *arguments)
    handler = handlers[settings.name]
    expect_takes(handler, getattr(handler, "__qualname__", repr(handler)), *arguments)
    return handler


def _sender(settings: DestinationSettings, handlers: Handlers, clock: Clock) -> Sender:
    if settings.url is not None:
        # Here and in `serve`, late: a command that only looks at the store has no use for these, and they are slow.
        from longstop.senders.http import HttpSender

        return HttpSender(settings, clock)
    # Imported in any case: a handler that is not there is to be found out now, and not at the first event.
    handler = handler_of(settings, handlers)
    if settings.isolation == "process":
        from longstop.senders.process import ProcessSender

        return ProcessSender(settings)
    return PythonSender(settings, handler)

"""What is wrong with a configuration that reads well: what shows only when its parts are built."""

import os
from collections.abc import Callable
from functools import partial

from longstop.clock import SystemClock
from longstop.config import Config
from longstop.model.errors import ConfigurationError
from longstop.model.settings import DestinationSettings
from longstop.wiring.archives import make_archive
from longstop.wiring.destinations import Handlers, channel_sender, handler_of
from longstop.wiring.parts import parts
from longstop.wiring.tracing import expect_extra


def unusable(config: Config, handlers: Handlers) -> tuple[str, ...]:
    """Problems that keep a gateway from starting, or every event of a destination from arriving. Nothing is opened."""
    checks: list[Callable[[], object]] = [
        partial(parts, config),
        partial(_store_folder, config),
        partial(make_archive, config.retention.archive),
    ]
    checks += [
        partial(_handler, each, handlers) for each in config.destinations if each.handler or each.name in handlers
    ]
    if any(each.url for each in config.destinations):
        from longstop.senders.http import HttpSender

        checks += [partial(HttpSender, each, SystemClock()) for each in config.destinations if each.url]
    checks.append(partial(expect_extra, config))
    checks += [partial(channel_sender, each, SystemClock()) for each in config.alerts.channels]
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            problems += error.problems
    return tuple(problems)


def _handler(destination: DestinationSettings, handlers: Handlers) -> None:
    try:
        handler_of(destination, handlers)
    except ConfigurationError as error:
        raise ConfigurationError(
            tuple(f"destinations.{destination.name}.handler: {each}" for each in error.problems)
        ) from None


def _store_folder(config: Config) -> None:
    """Raise ConfigurationError where the store's file, or its folder of bodies, cannot be made or written."""
    path = config.store.path or config.store.bodies_folder
    if path is None:
        return
    folder = os.path.dirname(path)
    if config.store.path is not None and os.path.isdir(path):
        _refuse(f"found a folder at {path}", "a file, or none yet", "add the name of a file to it")
    if not os.path.isdir(folder):
        _refuse(f"found no folder {folder}", "the folder of the database to be there", f"mkdir -p {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        _refuse(f"found that {path} cannot be written", "what this user may write", "mend its permissions")


def _refuse(found: str, expected: str, hint: str) -> None:
    raise ConfigurationError((f"store.url: {found}; expected {expected}; {hint}",))

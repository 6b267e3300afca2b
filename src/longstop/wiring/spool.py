"""The spool in front of a gateway's store. What it is made of is imported where the configuration asks for one."""

import os
import shutil
from typing import TYPE_CHECKING

from longstop.config import Config
from longstop.model.errors import StoreUnavailableError
from longstop.model.spool import SpoolFacts
from longstop.ports import Clock, Store

if TYPE_CHECKING:
    from longstop.stores.spool import SpooledStore


def with_spool(config: Config, store: Store, clock: Clock) -> "SpooledStore | None":
    """The store with a spool in front; None where none is configured."""
    settings = config.spool
    if settings is None:
        return None
    from longstop.stores.spool import SpoolFile, spooled

    folder = os.path.dirname(settings.path)
    return spooled(store, SpoolFile(settings, lambda: shutil.disk_usage(folder).free), settings, clock)


def facts_of(config: Config) -> SpoolFacts | None:
    """What the spool of a configuration holds, whoever has it; None where none is configured, or it cannot be read."""
    if config.spool is None:
        return None
    from longstop.stores.spool import look

    try:
        return look(config.spool.path) or SpoolFacts(False, 0, 0, None)
    except StoreUnavailableError:
        return None


def told(error: StoreUnavailableError, facts: SpoolFacts | None) -> StoreUnavailableError:
    """The same, with what the spool holds meanwhile."""
    if facts is None or not facts.events:
        return error
    return StoreUnavailableError(f"{error}; the spool keeps {facts.events} events ({facts.bytes} bytes) meanwhile")

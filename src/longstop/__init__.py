"""Longstop: a durable inbox for webhooks.

>>> from longstop import Longstop, Event, RetryLater, Reject
"""

from typing import TYPE_CHECKING, Any

from longstop.model.alert import Alert
from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.errors import ConfigurationError, LongstopError, MalformedError, StoreError
from longstop.model.event import Event, Headers, Origin, Receipt
from longstop.model.handler import Reject, RetryLater, Transaction
from longstop.model.listing import DeliveryFilter

if TYPE_CHECKING:
    from longstop.embed import Longstop

__version__ = "0.1.0"
__all__ = [
    "Alert",
    "ConfigurationError",
    "DeadReason",
    "Delivery",
    "DeliveryFilter",
    "Event",
    "Headers",
    "Longstop",
    "LongstopError",
    "MalformedError",
    "Origin",
    "Receipt",
    "Reject",
    "RetryLater",
    "State",
    "StoreError",
    "Transaction",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # The gateway pulls in the whole program; `longstop --help` and a handler's module need none of it.
    if name == "Longstop":
        from longstop.embed import Longstop

        return Longstop
    if name == "print_event":
        # The handler of the configuration that `longstop init` writes.
        from longstop.edges.cli.starter import print_event

        return print_event
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

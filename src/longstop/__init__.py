"""Longstop: a durable inbox for webhooks.

>>> from longstop import Longstop, Event, RetryLater, Reject
"""

from typing import TYPE_CHECKING, Any

from longstop.model.alert import Alert
from longstop.model.event import Event
from longstop.model.handler import Reject, RetryLater, Transaction

if TYPE_CHECKING:
    from longstop.embed import Longstop

__version__ = "0.1.0"
__all__ = ["Alert", "Event", "Longstop", "Reject", "RetryLater", "Transaction", "__version__"]


def __getattr__(name: str) -> Any:
    # The gateway pulls in the whole program; `longstop --help` and a handler's module need none of it.
    if name == "Longstop":
        from longstop.embed import Longstop

        return Longstop
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

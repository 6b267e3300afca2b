"""A store: both of its halves, and what some offer besides."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from longstop.model.errors import LeaseLostError
from longstop.model.handler import Transaction
from longstop.model.lease import LeaseRef, Settlement
from longstop.model.listing import (
    BackedUp,
)
from longstop.ports.inbox import Inbox
from longstop.ports.ledger import Ledger


class Store(Inbox, Ledger, Protocol):
    """Both ports over one backend, and its life.

    What is kept may turn out to be unreadable: a failing disk, or another program, has written there. One such thing
    is in nobody's way. Whoever asks for it gets UnreadableRowError, which is a StoreUnavailableError. A list leaves it
    out, and the store's log names it. A delivery that `lease`, `expired` or `act` comes upon, or whose event it is, is
    parked as dead, `malformed`, with what is wrong in `last_error`.
    """

    async def open(self) -> None:
        """Connect, create or migrate. Raises SchemaError, StoreUnavailableError."""

    async def close(self) -> None:
        """Finish what was begun and let go. Safe to call twice."""

    def ready(self) -> bool:
        """Whether it can be used, as far as is known; asks nobody."""


@runtime_checkable
class Backups(Protocol):
    """What a store offers besides, where it is one file."""

    async def backup(self, target: Path) -> BackedUp:
        """Copy the store into a new file while it is in use: of one moment, checked, and durable on return.

        Raises BackupError, StoreUnavailableError; then there is no such file.
        """


@runtime_checkable
class Transactions(Protocol):
    """What a store offers besides, where its transactions can hold a handler's writes: one database does."""

    async def settle_with(
        self,
        lease: LeaseRef,
        work: Callable[[Transaction], None],
        done: Callable[[], Settlement],
        timeout_s: float,
    ) -> LeaseLostError | None:
        """Call `work` and settle as `done` then says, in one transaction; or the error that says the lease is lost.

        A lost one calls nothing. Both functions run in a thread of the store's. Raises HandlerRaisedError where `work`
        raised or took longer than `timeout_s`, StoreUnavailableError where the store could not: nothing is kept then.
        """

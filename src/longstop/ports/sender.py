"""Destinations, as the services see them."""

from typing import Protocol

from longstop.model.delivery import Outcome
from longstop.model.event import Event
from longstop.model.handler import Transaction
from longstop.model.lease import Claim


class Sender(Protocol):
    """Carries one delivery to its destination, once."""

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        """Try it and classify the result. Never raises for anything the destination does."""

    async def close(self) -> None:
        """Let go of connections and threads."""


class TransactionalSender(Protocol):
    """A handler that wants to be called within the store's transaction."""

    timeout_s: float

    def call(self, event: Event, transaction: Transaction) -> None:
        """Have the handler do its work; what it raises undoes it."""

    def judge(self, error: BaseException) -> Outcome:
        """What it means that `call` raised this."""

"""A handler that is called inside the store's transaction."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event
from longstop.model.handler import Transaction
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings
from longstop.senders.python import outcome_of, timed_out

TransactionalHandler = Callable[[Event, Transaction], Any]


class TransactionalSender:
    """Calls a plain function with the event and the transaction. Raises ConfigurationError for an async one."""

    def __init__(self, settings: DestinationSettings, handler: TransactionalHandler) -> None:
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
            problem = f"destinations.{settings.name}.transaction: found an async handler; expected a plain function"
            raise ConfigurationError((f"{problem}, because it runs in the store's thread",))
        self._handler = handler
        self.timeout_s = settings.timeout_ms / 1000

    def call(self, event: Event, transaction: Transaction) -> None:
        """See ports.TransactionalSender."""
        result = self._handler(event, transaction)
        if inspect.isawaitable(result):
            if asyncio.iscoroutine(result):
                result.close()
            raise TypeError("the handler returned an awaitable; a transactional one is a plain function")

    def judge(self, error: BaseException) -> Outcome:
        """See ports.TransactionalSender."""
        return timed_out(self.timeout_s) if isinstance(error, TimeoutError) else outcome_of(error)

    async def send(self, claim: Claim, attempt: int) -> Outcome:  # noqa: ARG002
        """Nothing goes out outside of a transaction."""
        return Outcome(OutcomeKind.RETRY, error="the handler needs the store's transaction")

    async def close(self) -> None:
        """Nothing to let go."""

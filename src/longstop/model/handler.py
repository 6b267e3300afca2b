"""What a Python handler can say besides "done": later, or never.

A handler that returns has delivered the event. One that raises anything but these two is tried again
by the destination's retry policy.

A transactional handler gets a Transaction besides the event.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]


class RetryLater(Exception):
    """Raise it to have the delivery tried again, if you know it, no sooner than after `after` seconds.

    It spends an attempt, as every retry does; a longer wait than the policy's `retry_after_cap_ms` is cut to that.
    Raises ValueError where `after` is negative or not a finite number.
    """

    # On the class too: a subclass may forget to call `__init__`.
    after: float | None = None
    why: str | None = None

    def __init__(self, after: float | None = None, why: str | None = None) -> None:
        if after is not None and not 0 <= after < math.inf:
            raise ValueError(f"RetryLater: `after` is {after!r}; expected seconds, zero or more")
        super().__init__(why or "")
        self.after = after
        self.why = why


class Reject(Exception):
    """Raise it to have the delivery parked at once as dead, reason `rejected`: trying again is of no use."""

    why: str | None = None

    def __init__(self, why: str | None = None) -> None:
        super().__init__(why or "")
        self.why = why


class Transaction(Protocol):
    """The store's transaction, for a transactional handler (`transaction = true`), until it returns.

    What the handler writes here is committed together with the delivery's `delivered`, or neither is: where the
    handler raises, the commit fails or the process dies, nothing of it has happened, and the delivery is tried again.
    """

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Run one SQL statement with bound values; its rows, all of them.

        Raises PermissionError for what would end the transaction (COMMIT, PRAGMA, ATTACH …) or change a table of
        Longstop's own, TimeoutError once the destination's timeout is over, RuntimeError after the transaction is
        over, and the database's own errors.
        """

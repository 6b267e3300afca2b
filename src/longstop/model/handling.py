"""What a Python handler can say besides "done": later, or never.

A handler that returns has delivered the event. One that raises anything but these two is tried again
by the destination's retry policy.
"""

import math


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

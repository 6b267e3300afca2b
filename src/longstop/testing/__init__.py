"""For people who test a handler or an application, or write a store.

`Harness` runs a whole application on virtual time; `make_event` and its like build what a handler is called with;
`StandInTransaction` is what a transactional one writes to; `store_contract` is what every store has to pass.
Public and free of any test framework: nothing in here may import pytest.
"""

from longstop.testing.builders import make_append, make_delivery, make_event
from longstop.testing.clock import VirtualClock, run
from longstop.testing.harness import Harness, Posted
from longstop.testing.transaction import StandInTransaction

__all__ = [
    "Harness",
    "Posted",
    "StandInTransaction",
    "VirtualClock",
    "make_append",
    "make_delivery",
    "make_event",
    "run",
]

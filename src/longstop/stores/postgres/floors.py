"""From where on a claim looks: a floor below which the index of what is due holds nothing but what has ended.

Everything enters that index at its end and leaves it at its head. What left stays there until VACUUM has been: an entry
for each delivery since then, a minute's at least, and all of them while somebody's snapshot is open. A claim that
begins at the head goes through all that before it finds the first that is due.

So a store remembers what it claimed last, and the next claim begins MARGIN_MS before it. That is a hint, and no promise
rests on it: what comes to lie below is known where this process put it there (`lower`, `forget`), and where another
one did it is found by a look from the very head (leases.py). Looks get SHARE of the time, however long each takes.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from longstop.model.delivery import Delivery, State

MARGIN_MS = 500
"""By so much what another process appends may be due before what was claimed already: its clock, and its commit's time.
What comes later is found by the next look."""
SHARE = 0.1
"""Of the time, at most so much goes into looks from the head."""
SAVED_S = 0.1
"""So much time for looks is put by while none is needed."""
EVERY_S = 0.25
"""Where claims find as much as they have room for, the head is looked at so often."""
NONE = -(2**62)
"""Below everything."""

Half = tuple[str, bool]
"""A destination, and whether what is meant was tried before: each is a range of the index by itself."""


class Meanwhile:
    """What came to lie below while a claim was under way: it may not have seen that."""

    def __init__(self) -> None:
        self.lowest: dict[Half, int] = {}
        self.forgotten: set[str | None] = set()


class Floors:
    """The floors of one store, in milliseconds since the epoch."""

    def __init__(self) -> None:
        self._at_ms: dict[Half, int] = {}
        self._under_way: list[Meanwhile] = []
        self._looks = _Budget()

    def of(self, half: Half) -> int:
        """Where a claim begins."""
        return self._at_ms.get(half, NONE)

    def lower(self, deliveries: Iterable[Delivery]) -> None:
        """They stand so now; to be called when that is committed. One of a lane may have let go any other of it."""
        for each in deliveries:
            if each.lane is not None or each.skipped:
                self.forget(each.destination)
            elif each.state is State.SCHEDULED:
                self._lower((each.destination, each.attempts > 0), each.due_at_ms)

    def _lower(self, half: Half, due_at_ms: int) -> None:
        if due_at_ms < self.of(half):
            self._at_ms[half] = due_at_ms
        for each in self._under_way:
            each.lowest[half] = min(due_at_ms, each.lowest.get(half, due_at_ms))

    def forget(self, destination: str | None = None) -> None:
        """Whatever is there may be due now, of one destination or, None, of any."""
        self._at_ms = {half: at for half, at in self._at_ms.items() if destination not in (None, half[0])}
        for each in self._under_way:
            each.forgotten.add(destination)

    @contextmanager
    def claiming(self) -> Iterator[Meanwhile]:
        """A claim or a look is under way; what this yields is for `put`."""
        meanwhile = Meanwhile()
        self._under_way.append(meanwhile)
        try:
            yield meanwhile
        finally:
            self._under_way.remove(meanwhile)

    def put(self, half: Half, due_at_ms: int, meanwhile: Meanwhile) -> None:
        """Nothing is due before that, except for what was put there meanwhile."""
        if half[0] not in meanwhile.forgotten and None not in meanwhile.forgotten:
            self._at_ms[half] = min(due_at_ms - MARGIN_MS, meanwhile.lowest.get(half, due_at_ms))

    # -- looks from the head ----------------------------------------------------------------------

    def may_look(self, *, found_enough: bool) -> bool:
        """Whether it is time for one. found_enough: the claim had no room for more."""
        return self._looks.allows(EVERY_S if found_enough else 0.0)

    @contextmanager
    def looking(self) -> Iterator[Meanwhile]:
        """A look is under way."""
        began_s = asyncio.get_running_loop().time()
        try:
            with self.claiming() as meanwhile:
                yield meanwhile
        finally:
            self._looks.spend(began_s)


class _Budget:
    """Time to be spent: SHARE of what passes, up to SAVED_S put by."""

    def __init__(self) -> None:
        self._left_s = SAVED_S
        self._at_s = float("-inf")

    def allows(self, after_s: float) -> bool:
        """Whether there is any, and the last was spent so long ago."""
        passed_s = asyncio.get_running_loop().time() - self._at_s
        return passed_s >= after_s and self._left_s + passed_s * SHARE > 0

    def spend(self, began_s: float) -> None:
        """All that has passed since then."""
        now_s = asyncio.get_running_loop().time()
        saved_s = min(SAVED_S, self._left_s + (began_s - self._at_s) * SHARE)
        self._left_s, self._at_s = saved_s - (now_s - began_s), now_s

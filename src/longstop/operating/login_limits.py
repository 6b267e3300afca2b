"""How often anybody may try to sign in: some tries at once, then one now and then, for each account and each address.

Kept in the process and not in the store. A flood of logins must not write to the disk that events are accepted on; and
a restart, which would forget who tried, is nothing that a stranger can bring about. Who knows the right password at the
first try does not notice any of it.

Names and addresses are kept as one of SLOTS numbers, by a salted hash: the memory is bounded however many there are,
and who shares a number with somebody who tries a lot waits with him, which nobody can aim at.
"""

import hashlib
import math

from longstop.model.accounts import name_key
from longstop.model.addresses import sender_of
from longstop.ports import Clock

ACCOUNT_TRIES = 10
ACCOUNT_EVERY_MS = 30_000
ADDRESS_TRIES = 20
ADDRESS_EVERY_MS = 10_000
NOTED = 100
NOTED_EVERY_MS = 10_000
"""So many failed logins are noted in the audit log at once, then one in so long: the others are only in the log."""
SLOTS = 1 << 16


class _Tries:
    """A bucket of tries for each of SLOTS numbers: of each, when it will be full again."""

    def __init__(self, tries: int, every_ms: int) -> None:
        self._room_ms = (tries - 1) * every_ms
        self._every_ms = every_ms
        self._full_at_ms: dict[int, int] = {}

    def wait_ms(self, slot: int, now_ms: int) -> int:
        """How long until there is a try."""
        return max(0, self._full_at_ms.get(slot, now_ms) - now_ms - self._room_ms)

    def take(self, slot: int, now_ms: int) -> None:
        self._full_at_ms[slot] = max(self._full_at_ms.get(slot, now_ms), now_ms) + self._every_ms

    def give_back(self, slot: int) -> None:
        if slot in self._full_at_ms:
            self._full_at_ms[slot] -= self._every_ms

    def refill(self, slot: int) -> None:
        self._full_at_ms.pop(slot, None)


class LoginLimits:
    """The limits. salt: random bytes."""

    def __init__(self, clock: Clock, salt: bytes) -> None:
        self._clock = clock
        self._salt = salt
        self._accounts = _Tries(ACCOUNT_TRIES, ACCOUNT_EVERY_MS)
        self._addresses = _Tries(ADDRESS_TRIES, ADDRESS_EVERY_MS)
        self._noted = _Tries(NOTED, NOTED_EVERY_MS)

    def take(self, name: str, address: str | None) -> int:
        """Take a try for this account from this address: 0; or how many seconds to wait for one, and none is taken.

        Taken before the password is looked at, so that as many at once are no more than one after the other.
        """
        now_ms = self._clock.monotonic_ms()
        account, sender = self._slot(name_key(name)), self._slot(sender_of(address))
        wait_ms = max(self._accounts.wait_ms(account, now_ms), self._addresses.wait_ms(sender, now_ms))
        if wait_ms:
            return math.ceil(wait_ms / 1000)
        self._accounts.take(account, now_ms)
        self._addresses.take(sender, now_ms)
        return 0

    def take_of_address(self, address: str | None) -> int:
        """The same where no account is named: somebody comes from the identity provider, and it is to be asked."""
        now_ms, sender = self._clock.monotonic_ms(), self._slot(sender_of(address))
        wait_ms = self._addresses.wait_ms(sender, now_ms)
        if not wait_ms:
            self._addresses.take(sender, now_ms)
        return math.ceil(wait_ms / 1000)

    def passed(self, name: str, address: str | None) -> None:
        """It was the right password. Of the address only this try is forgiven: it may have an account of its own."""
        self._accounts.refill(self._slot(name_key(name)))
        self._addresses.give_back(self._slot(sender_of(address)))

    def not_tried(self, name: str, address: str | None) -> None:
        """The password was not looked at after all."""
        self._accounts.give_back(self._slot(name_key(name)))
        self._addresses.give_back(self._slot(sender_of(address)))

    def may_be_noted(self) -> bool:
        """Whether one more failed login goes into the audit log."""
        now_ms = self._clock.monotonic_ms()
        if self._noted.wait_ms(0, now_ms):
            return False
        self._noted.take(0, now_ms)
        return True

    def _slot(self, text: str) -> int:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=8).digest()
        return int.from_bytes(digest) % SLOTS

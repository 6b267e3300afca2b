"""Passwords: hashing them and comparing with the hash, beside the event loop and few at a time.

Argon2id (RFC 9106). A hash takes some 60 ms of a core and 32 MiB, so that whoever stole the hashes cannot try many; and
so that nobody can have the gateway do many at once, which has events to accept: what comes while AT_ONCE are under way
is told to come back. One lane and not four, as the library would have it: a login is not to take all cores.
"""

import threading
import unicodedata
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from longstop.model.accounts import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN
from longstop.model.errors import AccountError, LoginLimitError

if TYPE_CHECKING:
    import argon2

T = TypeVar("T")

AT_ONCE = 2
TIME_COST = 3
MEMORY_KIB = 32 * 1024
BUSY_RETRY_AFTER_S = 1


class Compared(NamedTuple):
    """What a comparison came to."""

    same: bool
    outdated: bool = False
    """The hash was made with other parameters than today's: make it anew while the password is at hand."""


class Passwords:
    """Hashes and compares. `hasher`: tests take one that costs less."""

    def __init__(self, hasher: "argon2.PasswordHasher | None" = None) -> None:
        import argon2

        self._hasher = hasher or argon2.PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_ONCE, "longstop-passwords")
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._nobodys: str | None = None
        """A hash of nobody's, for names that nobody has."""

    async def hash(self, password: str) -> str:
        """What is kept of a password. Raises AccountError where it is none to be had, LoginLimitError."""
        problem = unfit(password)
        if problem is not None:
            raise AccountError(problem)
        return await self.hash_again(password)

    async def hash_again(self, password: str) -> str:
        """The same of one that somebody has, with today's parameters. Raises LoginLimitError."""
        return await self._beside(lambda: self._hasher.hash(_plain(password)))

    async def compare(self, password: str, kept: str | None) -> Compared:
        """Whether it is the password of this hash; None: nobody's, which takes as long. Raises LoginLimitError."""
        if len(password) > PASSWORD_CHARS_MAX:
            # As long as for any other, and never for as long as somebody likes.
            password, kept = "", None
        return await self._beside(lambda: self._compare(_plain(password), kept))

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)

    def _compare(self, password: bytes, kept: str | None) -> Compared:
        from argon2.exceptions import InvalidHashError, VerificationError

        if self._nobodys is None:
            self._nobodys = self._hasher.hash("")
        try:
            self._hasher.verify(kept or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return Compared(False)
        if kept is None:
            return Compared(False)
        return Compared(True, self._hasher.check_needs_rehash(kept))

    async def _beside(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise LoginLimitError("too many are signing in at this moment", BUSY_RETRY_AFTER_S)
        try:
            future = self._threads.submit(work)
        except BaseException:
            self._room.release()
            raise
        # When the thread is done, and not when whoever asked has left: the work goes on without him.
        future.add_done_callback(self._done)
        return await wrap_future(future)

    def _done(self, _future: Future[T]) -> None:
        self._room.release()


def unfit(password: str) -> str | None:
    """Why this is no password to be had; None where it is one."""
    if len(password) < PASSWORD_CHARS_MIN:
        return (
            f"found a password of {len(password)} characters; expected {PASSWORD_CHARS_MIN} or more; "
            "several words will do"
        )
    if len(password) > PASSWORD_CHARS_MAX:
        return f"found a password of {len(password)} characters; expected at most {PASSWORD_CHARS_MAX}"
    return None


def _plain(password: str) -> bytes:
    """The same bytes for the same characters, however a keyboard composes them. Halves of a pair are bytes too."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")

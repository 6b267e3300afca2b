"""What the driver raises, as the ports have it: StoreUnavailableError for a server that is away, slow, full or refuses.

Nothing of a password is in what it says: the words of the server and of the driver are told, which hold none.
"""

import contextlib
from collections.abc import Iterator

import asyncpg

from longstop.model.errors import StoreUnavailableError


class AnswerLostError(StoreUnavailableError):
    """The connection broke while the server was at it: whether it was done can only be found by asking again."""


class LockedError(StoreUnavailableError):
    """Somebody else has a lock, and had it for as long as it was waited for."""


_TRY_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Nothing is wrong but that two came at once; the one that got this has done nothing."""
BROKEN = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # What asyncpg makes of a connection that broke between two of its steps.
    asyncpg.InternalClientError,
    OSError,
    EOFError,
    TimeoutError,
)
"""What a connection ends with that is of no use any more."""


def may_try_again(error: BaseException) -> bool:
    """Whether the same transaction may well succeed now."""
    return isinstance(error, _TRY_AGAIN)


@contextlib.contextmanager
def translated(broken: type[StoreUnavailableError] = AnswerLostError) -> Iterator[None]:
    """Raise what the driver raises as StoreUnavailableError; a broken connection as `broken`.

    A value that a constraint refuses (asyncpg.IntegrityConstraintViolationError) stays what it is: it says something of
    the data, and nothing of the server.
    """
    try:
        yield
    except asyncpg.CheckViolationError as error:
        # While a span's end is checked, nothing may come behind it (spans.add_check): that is over soon.
        raise StoreUnavailableError(said(error)) from error
    except (asyncpg.IntegrityConstraintViolationError, *_TRY_AGAIN):
        raise
    except BROKEN as error:
        raise broken(said(error)) from error
    except asyncpg.LockNotAvailableError as error:
        raise LockedError(said(error)) from error
    except asyncpg.PostgresError as error:
        raise StoreUnavailableError(said(error)) from error


def said(error: BaseException) -> str:
    """What an error of the driver says, for people."""
    text = str(error).strip().partition("\n")[0] or _unsaid(error)
    if type(error) is asyncpg.InternalClientError:
        # What it says speaks of its own steps.
        text = "the connection broke"
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        # Without its details, which are the row.
        text = error.message
    if "unsupported startup parameter" in text:
        text += "; behind a PgBouncer in transaction mode say ?pgbouncer=transaction in store.url"
    code = getattr(error, "sqlstate", None)
    return f"PostgreSQL: {text} ({code})" if code else f"PostgreSQL: {text}"


def _unsaid(error: BaseException) -> str:
    """What an error that says nothing stands for."""
    return "no answer in time" if isinstance(error, TimeoutError) else f"the connection broke ({type(error).__name__})"

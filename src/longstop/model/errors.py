"""Every error Longstop raises on purpose, by the stage it belongs to.

An error of the accepting side knows the HTTP status it is answered with (`status`) and a short,
stable `title` for problem+json (RFC 9457); its message is for people and never holds a secret or
a piece of a payload.
"""

from typing import ClassVar


class LongstopError(Exception):
    """The base of all of them."""


class ConfigurationError(LongstopError):
    """The configuration cannot be used. `problems` holds every one that was found, not just the first.

    warnings: what works besides and is hardly meant, as far as it can be told of such a one.
    """

    def __init__(self, problems: tuple[str, ...], warnings: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.warnings = warnings


# -- accepting ----------------------------------------------------------------------------------


class IngestError(LongstopError):
    """A request that is not accepted; `status` is the HTTP status it is answered with."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad request"


class VerificationError(IngestError):
    """The request is not proven to come from the sender: a signature, secret or token is missing or wrong."""

    status = 401
    title = "Not verified"


class AddressError(IngestError):
    """The request comes from an address that this source does not allow."""

    status = 403
    title = "Not allowed"


class RateError(IngestError):
    """The source is over its rate limit; the sender should come back after `retry_after_s` seconds."""

    status = 429
    title = "Too many requests"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MalformedError(IngestError):
    """An authentic request that cannot be read."""

    status = 400
    title = "Unreadable"


class QuarantinedError(MalformedError):
    """An authentic request that cannot be read and was kept in quarantine as `event_id`, so nothing is lost."""

    def __init__(self, message: str, event_id: str) -> None:
        super().__init__(message)
        self.event_id = event_id


class SlowBodyError(IngestError):
    """The body did not come in time."""

    status = 408
    title = "Body too slow"


class LengthRequiredError(IngestError):
    """An HTTP/1.1 POST with neither Content-Length nor chunked encoding."""

    status = 411
    title = "Length required"


class BodyTooLargeError(IngestError):
    """The body is over the source's limit."""

    status = 413
    title = "Body too large"


class HeadersTooLargeError(IngestError):
    """Too many headers, or too many bytes of them."""

    status = 431
    title = "Headers too large"


class UnavailableError(IngestError):
    """The event cannot be made durable now; the sender should come back after `retry_after_s` seconds."""

    status = 503
    title = "Not accepting now"

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


# -- keeping ------------------------------------------------------------------------------------


class StoreError(LongstopError):
    """The base of what a store raises."""


class StoreUnavailableError(StoreError):
    """The store could not do it now (disk full, I/O error, locked, connection lost). Nothing was acknowledged."""


class UnreadableRowError(StoreUnavailableError):
    """What the store keeps in one place is not what belongs there: `row` says which, `trouble` what is wrong with it.

    Whoever goes on where a store is unavailable goes on here too. The one place is named, so that somebody can look.
    """

    def __init__(self, row: str, trouble: str) -> None:
        super().__init__(f"{row} cannot be read: {trouble}")
        self.row = row
        self.trouble = trouble


class SchemaError(StoreError):
    """The database is not one that this version can open: it is newer, or belongs to another program."""


class HandlerRaisedError(LongstopError):
    """A transactional handler raised `error`; nothing of what it wrote is kept."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the handler raised {type(error).__name__}")
        self.error = error


class LeaseLostError(StoreError):
    """A settlement or an extension showed a token that is no longer the delivery's. Nothing was changed."""

    def __init__(self, delivery_id: str, token: int) -> None:
        super().__init__(f"delivery {delivery_id}: lease {token} is no longer held; the settlement is refused")
        self.delivery_id = delivery_id
        self.token = token


# -- states -------------------------------------------------------------------------------------


class TransitionError(LongstopError):
    """A change of state that the table of transitions does not have."""


class NotFoundError(LongstopError):
    """No event, delivery or job has this id."""


class JobRequestError(LongstopError):
    """A job cannot be made as it was asked for; the message says why."""


class JobRefusedError(LongstopError):
    """A job cannot be stopped or resumed as it stands; the message says how that is."""


class ArchiveError(LongstopError):
    """The archive cannot be written or read; what is not archived is not forgotten."""


class BackupError(LongstopError):
    """There is no copy; the message says why and what to do."""


# -- access -------------------------------------------------------------------------------------


class LoginError(LongstopError):
    """Nobody is signed in. What was wrong with the name or the password is not told."""


class LoginLimitError(LongstopError):
    """Too many have tried to sign in; come back after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AccountError(LongstopError):
    """A user, a token or a session cannot be what was asked for; the message says why and what to do."""


class AccountConflictError(AccountError):
    """It can be, and not as things stand: the name is taken, or somebody was quicker."""


class IdentityError(LongstopError):
    """The identity provider does not answer, or with what cannot be believed. Nobody is signed in."""


class HiddenError(LongstopError):
    """What was asked for would show what is masked for whoever lacks the scope `bodies`."""

"""What went wrong with a call to AWS, for people: which call, which code, what to do. Never a key, never a token."""

import re
from collections.abc import Mapping
from typing import Any

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from botocore.parsers import ResponseParserError

from longstop.model.printable import printable

CALL_ERRORS = (BotoCoreError, ClientError, ResponseParserError, aiohttp.ClientError, OSError)
"""All that a call to AWS fails with. TimeoutError is an OSError."""
_SAID_MAX = 300
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}")
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids"""
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
_TRUST = "the role to trust who asks for it"
_CREDENTIALS = "credentials in the environment, a profile, a web identity, or of the container or machine"

_REFUSED = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "Forbidden")
_THROTTLED = (
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
    "503",
)
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")
# What the service says of these is left out: it may quote what was signed.
_DISTRUSTED: Mapping[str, str] = {
    "ExpiredToken": "expected credentials that have not run out; renew them",
    "ExpiredTokenException": "expected credentials that have not run out; renew them",
    "InvalidAccessKeyId": f"expected {_CREDENTIALS} that AWS knows",
    "InvalidClientTokenId": f"expected {_CREDENTIALS} that AWS knows",
    "InvalidToken": f"expected {_CREDENTIALS} that AWS knows",
    "UnrecognizedClientException": f"expected {_CREDENTIALS} that AWS knows",
    "SignatureDoesNotMatch": "expected the secret that belongs to the access key",
    "InvalidSignatureException": "expected the secret that belongs to the access key, and the right time",
    "RequestTimeTooSkewed": "expected this machine's clock to be right to within 15 minutes; set it",
}
_SKEWED = ("Signature expired", "Signature not yet current")
"""So begins what services other than S3 say of a signature whose time is not theirs, under a code that says nothing of
it. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html"""
_TO_DO: Mapping[str, str] = {
    **dict.fromkeys(_THROTTLED, "it is throttled, and tried again"),
    **dict.fromkeys(_OTHER_REGION, "expected the region of the bucket; name it with region="),
    "InvalidObjectState": "the object has been moved to where it takes hours to read; restore it first",
    "NoSuchBucket": "expected the bucket to be there; make it, or mend its name",
    "ConditionalRequestConflict": "the same object is being written or deleted just now; it is tried again",
}


def what_is_wrong(error: BaseException, operation: str, permission: str) -> str:
    """What a call failed with. operation: as AWS names it; permission: what it takes to be allowed."""
    if isinstance(error, ClientError):
        # A role is asked for on the way to the call itself.
        asked_for_role = error.operation_name.startswith("AssumeRole")
        return _refused(
            error.response, error.operation_name, _TRUST if asked_for_role else f"{permission} to be allowed"
        )
    if isinstance(error, _NO_CREDENTIALS):
        # Of a program that hands out credentials the error says whatever that said.
        return f"{operation} had no credentials ({type(error).__name__}); expected {_CREDENTIALS}"
    said = _cut(str(error))
    return f"{operation} failed ({type(error).__name__}{f': {said}' if said else ''})"


def code_of(error: ClientError) -> str:
    """The service's own word for it, or the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer; 0 where there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refused(response: Mapping[str, Any], operation: str, expected: str) -> str:
    told = response.get("Error", {})
    code, said = str(told.get("Code", "Unknown")), _cut(str(told.get("Message", "")))
    if said.startswith(_SKEWED):
        return f"{operation} was refused ({code}); {_DISTRUSTED['RequestTimeTooSkewed']}"
    if code in _DISTRUSTED:
        return f"{operation} was refused ({code}); {_DISTRUSTED[code]}"
    found = f"{code}: {said}" if said else code
    if code in _REFUSED:
        return f"{operation} was refused ({found}); expected {expected}"
    to_do = _TO_DO.get(code)
    return f"{operation} failed ({found}); {to_do}" if to_do else f"{operation} failed ({found})"


def _cut(said: str) -> str:
    shown = _KEY_ID.sub("(an access key)", printable(said.strip()))
    return shown if len(shown) <= _SAID_MAX else f"{shown[:_SAID_MAX]}…"

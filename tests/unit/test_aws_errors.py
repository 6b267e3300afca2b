"""What is said of a call to AWS that failed: which call, which code, what to do, and no secret."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
)
from botocore.parsers import ResponseParserError

from longstop.aws_api.errors import CALL_ERRORS, what_is_wrong

ALLOWED = "s3:PutObject on arn:aws:s3:::bucket/*"
CREDENTIALS = "credentials in the environment, a profile, a web identity, or of the container or machine"


def answered(code: str, said: str = "", operation: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": said}}, operation)


TOLD = [
    (answered("AccessDenied", "no"), f"PutObject was refused (AccessDenied: no); expected {ALLOWED} to be allowed"),
    (answered("403", "Forbidden"), f"PutObject was refused (403: Forbidden); expected {ALLOWED} to be allowed"),
    (answered("SlowDown"), "PutObject failed (SlowDown); it is throttled, and tried again"),
    (answered("ThrottlingException", "Rate exceeded"), "PutObject failed (ThrottlingException: Rate exceeded); it is throttled, and tried again"),
    (answered("PermanentRedirect", "elsewhere"), "PutObject failed (PermanentRedirect: elsewhere); expected the region of the bucket; name it with region="),
    (answered("NoSuchBucket"), "PutObject failed (NoSuchBucket); expected the bucket to be there; make it, or mend its name"),
    (answered("InvalidObjectState"), "PutObject failed (InvalidObjectState); the object has been moved to where it takes hours to read; restore it first"),
    (answered("RequestTimeTooSkewed", "12:00"), "PutObject was refused (RequestTimeTooSkewed); expected this machine's clock to be right to within 15 minutes; set it"),
    (answered("SignatureDoesNotMatch", "the token FwoGZXIv"), "PutObject was refused (SignatureDoesNotMatch); expected the secret that belongs to the access key"),
    (answered("InvalidSignatureException", "Signature expired: 20261128T074514Z is now earlier than 20261128T080056Z"), "PutObject was refused (InvalidSignatureException); expected this machine's clock to be right to within 15 minutes; set it"),
    (answered("SignatureDoesNotMatch", "Signature not yet current: 20261128T074514Z"), "PutObject was refused (SignatureDoesNotMatch); expected this machine's clock to be right to within 15 minutes; set it"),
    (answered("InvalidSignatureException", "the token FwoGZXIv"), "PutObject was refused (InvalidSignatureException); expected the secret that belongs to the access key, and the right time"),
    (answered("InvalidAccessKeyId", "AKIAIOSFODNN7EXAMPLE"), f"PutObject was refused (InvalidAccessKeyId); expected {CREDENTIALS} that AWS knows"),
    (answered("Strange", "of ASIAIOSFODNN7EXAMPLE\x1b[2J\nforged"), "PutObject failed (Strange: of (an access key)\\x1b[2J\\nforged)"),
    (answered("Strange", "x" * 400), f"PutObject failed (Strange: {'x' * 300}…)"),
    (answered("AccessDenied", "no", "AssumeRoleWithWebIdentity"), "AssumeRoleWithWebIdentity was refused (AccessDenied: no); expected the role to trust who asks for it"),
    (ClientError({}, "PutObject"), "PutObject failed (Unknown)"),
    (NoCredentialsError(), f"PutObject had no credentials (NoCredentialsError); expected {CREDENTIALS}"),
    (ProfileNotFound(profile="p"), f"PutObject had no credentials (ProfileNotFound); expected {CREDENTIALS}"),
    (CredentialRetrievalError(provider="p", error_msg="the-secret"), f"PutObject had no credentials (CredentialRetrievalError); expected {CREDENTIALS}"),
    (EndpointConnectionError(endpoint_url="http://h/b"), 'PutObject failed (EndpointConnectionError: Could not connect to the endpoint URL: "http://h/b")'),
    (ResponseParserError("no XML"), "PutObject failed (ResponseParserError: no XML)"),
    (TimeoutError(), "PutObject failed (TimeoutError)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "told"), TOLD, ids=[f"{n}-{type(each).__name__}" for n, (each, _) in enumerate(TOLD)]
)
def test_each_is_told_with_what_to_do(error: Exception, told: str) -> None:
    assert isinstance(error, CALL_ERRORS)
    assert what_is_wrong(error, "PutObject", ALLOWED) == told

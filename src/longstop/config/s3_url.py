"""`s3://BUCKET/PREFIX`: a place in S3, for an archive or for large bodies."""

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from longstop.config.errors import Fault, listed, quoted
from longstop.config.url_options import options_of
from longstop.config.values import Surroundings, expand, http_url
from longstop.model.s3_place import S3Place

EXPECTED = "s3://BUCKET/PREFIX, with options behind a ?"
ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
PREFIX_CHARS_MAX = 500
"""Of the 1,024 bytes that a key has: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""
_OPTIONS = ("endpoint", "kms_key", "region", "sse")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=+@:-]+(/[A-Za-z0-9!_.*'()=+@:-]+)*")
_REGION = re.compile(r"[a-z]{2}[a-z0-9-]{3,30}")
_KMS_KEY = re.compile(r"[A-Za-z0-9:/_-]{1,2048}")
_ENDPOINT = "http:// or https:// and a host, without a path"


def s3(text: str, around: Surroundings) -> S3Place:
    """The place that a URL names; region and endpoint where it does not say so as AWS' own programs are told them."""
    filled = expand(text, around.environ, "it to hold a part of the place")
    try:
        parts = urlsplit(filled)
    except ValueError:
        raise Fault("found a place in S3 that cannot be read", EXPECTED) from None
    if "@" in parts.netloc:
        hint = "credentials are those that AWS' own programs find"
        raise Fault("found a user name or a password in it", EXPECTED, hint)
    if parts.scheme != "s3" or parts.fragment or not _BUCKET.fullmatch(parts.netloc):
        raise Fault(f"found {quoted(filled)}", EXPECTED, "a bucket's name is 3 to 63 of a-z, 0-9, - and .")
    options = options_of(parts.query, _OPTIONS)
    return S3Place(
        bucket=parts.netloc,
        prefix=_prefix(unquote(parts.path)),
        region=_region(options, around.environ),
        endpoint=_endpoint(options, around),
        encryption=_encryption(options),
        kms_key=_kms_key(options),
    )


def _prefix(path: str) -> str:
    prefix = path.strip("/")
    known = not prefix or (_PREFIX.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/")))
    if not known or len(prefix) > PREFIX_CHARS_MAX:
        raise Fault(
            f"found the prefix {quoted(prefix)}", "names with a / between them, of letters, digits and !_.*'()=+@:-"
        )
    return prefix


def _region(options: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    region = options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if region is not None and not _REGION.fullmatch(region):
        raise Fault(f"found the region {quoted(region)}", 'one such as "eu-central-1"')
    return region


def _endpoint(options: Mapping[str, str], around: Surroundings) -> str | None:
    """https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""
    environ = around.environ
    written = options.get("endpoint") or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if not written:
        return None
    try:
        url = http_url(written, around)
    except Fault as fault:
        raise Fault(f"of the endpoint {fault.found}", _ENDPOINT) from None
    if urlsplit(url).path.strip("/") or urlsplit(url).query:
        raise Fault("found an endpoint with a path", _ENDPOINT)
    return url.rstrip("/")


def _encryption(options: Mapping[str, str]) -> str | None:
    encryption = options.get("sse")
    if encryption is not None and encryption not in ENCRYPTIONS:
        raise Fault(f"found sse={quoted(encryption)}", listed(ENCRYPTIONS), "without it the bucket decides")
    return encryption


def _kms_key(options: Mapping[str, str]) -> str | None:
    key = options.get("kms_key")
    if key is None:
        return None
    if not options.get("sse", "").startswith("aws:kms"):
        raise Fault("found kms_key without sse=aws:kms", "both, or neither")
    if not _KMS_KEY.fullmatch(key):
        raise Fault(f"found kms_key={quoted(key)}", "the ARN of a key, its id or its alias")
    return key

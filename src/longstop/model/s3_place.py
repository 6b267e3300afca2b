"""A place in S3: where an archive or large bodies lie, and what is asked of the service there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, and what all names in it begin with."""

    bucket: str
    prefix: str
    """Without a slash at either end; empty: the whole bucket."""
    region: str | None = None
    """None: as the profile or the environment says."""
    endpoint: str | None = None
    """The URL of a service that speaks S3; None: Amazon's own."""
    encryption: str | None = None
    """How what is written is to be encrypted, "AES256" or "aws:kms" say; None: as the bucket has it."""
    kms_key: str | None = None
    """With which key of KMS; None: with the account's own for S3."""

    def key(self, name: str) -> str:
        """The object's key for a name below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

"""Events in DynamoDB, for servers and functions on AWS."""

from longstop.stores.aws.store import AwsStore

__all__ = ["AwsStore"]

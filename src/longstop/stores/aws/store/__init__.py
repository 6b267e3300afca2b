"""The store: a part for each subject of the ports, over one table."""

from longstop.stores.aws.store.decisions import AwsDecisions
from longstop.stores.aws.store.lookups import AwsLookups


class AwsStore(AwsLookups, AwsDecisions):
    """Inbox and Ledger on DynamoDB; see AwsDatabase for its arguments."""

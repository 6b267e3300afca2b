"""The store: a part for each subject of the ports, over one table."""

from longstop.stores.aws.store.clock_repair import AwsClockRepair
from longstop.stores.aws.store.lookups import AwsLookups
from longstop.stores.aws.store.transfer import AwsTransfer


class AwsStore(AwsLookups, AwsTransfer, AwsClockRepair):
    """Inbox and Ledger on DynamoDB; see AwsDatabase for its arguments."""

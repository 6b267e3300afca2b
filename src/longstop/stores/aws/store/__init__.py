"""The store: a part for each subject of the ports, over one table."""

from longstop.stores.aws.store.accounts import AwsAccounts
from longstop.stores.aws.store.alerts import AwsAlertBooks
from longstop.stores.aws.store.audit import AwsAudit
from longstop.stores.aws.store.clock_repair import AwsClockRepair
from longstop.stores.aws.store.crashed import AwsCrashed
from longstop.stores.aws.store.health import AwsHealth
from longstop.stores.aws.store.held_requests import AwsHeldRequests
from longstop.stores.aws.store.jobs import AwsJobs
from longstop.stores.aws.store.keyed_requests import AwsKeyedRequests
from longstop.stores.aws.store.lookups import AwsLookups
from longstop.stores.aws.store.nodes import AwsNodes
from longstop.stores.aws.store.rejections import AwsRejections
from longstop.stores.aws.store.statistics import AwsStatistics
from longstop.stores.aws.store.transfer import AwsTransfer


class AwsStore(
    AwsLookups,
    AwsJobs,
    AwsTransfer,
    AwsClockRepair,
    AwsCrashed,
    AwsNodes,
    AwsHealth,
    AwsRejections,
    AwsHeldRequests,
    AwsKeyedRequests,
    AwsStatistics,
    AwsAccounts,
    AwsAudit,
    AwsAlertBooks,
):
    """Inbox and Ledger on DynamoDB; see AwsDatabase for its arguments."""

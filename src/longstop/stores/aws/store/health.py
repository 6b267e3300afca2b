"""What there is to warn of: ports.Health over DynamoDB."""

from longstop.model.store_health import StoreHealth
from longstop.stores.aws.database import AwsDatabase


class AwsHealth(AwsDatabase):
    """See ports.Health."""

    async def health(self, now_ms: int) -> StoreHealth:  # noqa: ARG002
        """Nothing: the service keeps in three places what it confirms, and there is no setting that relaxes it."""
        return StoreHealth()

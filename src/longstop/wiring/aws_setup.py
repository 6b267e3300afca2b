"""Setting up an account for the store that the configuration names. What it needs besides is imported then."""

from typing import TYPE_CHECKING

from longstop.config import Config
from longstop.model.errors import ConfigurationError
from longstop.ports import Clock

if TYPE_CHECKING:
    from longstop.stores.aws.setup import Account


def aws_account(config: Config, variables: tuple[str, ...], clock: Clock) -> "Account":
    """Where the store of a configuration is. variables: those that it takes from the environment.

    Raises ConfigurationError where its store is another.
    """
    asked = config.store.aws
    if asked is None:
        found = f"found a store of the kind {config.store.kind}"
        raise ConfigurationError((f"store.url: {found}; expected aws://REGION?table=NAME&queue=NAME&bucket=NAME",))
    try:
        from longstop.stores.aws.setup import Account, Wanted
    except ImportError:
        problem = "store.url: found aws://…, without its driver; expected the extra; pip install 'longstop[aws]'"
        raise ConfigurationError((problem,)) from None
    wanted = Wanted(
        region=asked.region,
        table=asked.table,
        queue=asked.queue,
        bucket=asked.bucket,
        endpoint=asked.endpoint,
        longest_ms=max((each.timeout_ms for each in config.destinations), default=0),
        variables=variables,
        takes_events=any(each.kind == "genesys-eventbridge" for each in config.sources),
    )
    return Account(wanted, clock)

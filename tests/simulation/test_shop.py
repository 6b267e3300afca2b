"""The small world itself: a service of it that died is no service with nothing to do."""

import pytest
from shop import Shop, run_on

from longstop.ports import Store


@pytest.mark.parametrize("error", [ValueError("a bug"), pytest.fail.Exception("the test took too long")], ids=repr)
def test_a_dispatcher_that_dies_fails_the_test(error: BaseException, store: Store) -> None:
    """A test's time limit once hit the dispatcher: the test went on, and saw dispatching stop for no reason."""

    def breaks() -> None:
        raise error

    async def scenario() -> None:
        async with Shop(store, seed=1).open() as shop:
            await shop.clock.sleep(1)
            store.lease = lambda _: breaks()  # type: ignore[assignment,method-assign,return-value]
            await shop.post(1)
            await shop.clock.sleep(5)

    with pytest.raises(type(error), match=str(error)):
        run_on(store, scenario)

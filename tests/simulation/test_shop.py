"""The small world itself: a service of it that died is no service with nothing to do."""

from pathlib import Path

import pytest
from shop import Shop

from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.clock import run


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("error", [ValueError("a bug"), pytest.fail.Exception("the test took too long")], ids=repr)
def test_a_dispatcher_that_dies_fails_the_test(kind: str, error: BaseException, tmp_path: Path) -> None:
    """A test's time limit once hit the dispatcher: the test went on, and saw dispatching stop for no reason."""

    def breaks() -> None:
        raise error

    async def scenario() -> None:
        store: Store = MemoryStore()
        if kind == "sqlite":
            store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
        await store.open()
        async with Shop(store, seed=1).open() as shop:
            await shop.clock.sleep(1)
            store.lease = lambda _: breaks()  # type: ignore[assignment,method-assign,return-value]
            await shop.post(1)
            await shop.clock.sleep(5)
        await store.close()

    with pytest.raises(type(error), match=str(error)):
        run(scenario)

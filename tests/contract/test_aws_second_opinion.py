"""moto as a second opinion: what of the store contract takes no time there.

All of it: `EMULATOR=moto STORES=aws pytest tests/contract/test_stores.py`, in eight minutes.
"""

import pytest

import aws_server
from longstop.ports import Store
from longstop.testing import store_contract
from stores_at_hand import Place

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

CONCERNS = ("append", "dedup", "lease", "settle", "jobs")
SLOW = ("dedup.large_batch", "jobs.a_full_step_is_done_whole")
"""moto copies the table for each operation of a transaction, so what is large takes it minutes."""
CHECKS = [each for each in store_contract.CHECKS if each.concern in CONCERNS and str(each) not in SLOW]


@pytest.fixture(scope="module")
def aws_emulator(aws_second_opinion: aws_server.AwsServer) -> aws_server.AwsServer:
    """moto, in the place of the other one."""
    return aws_second_opinion


@pytest.mark.parametrize("place", ["aws"], indirect=True)
@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_the_contract_holds_there_too(check: store_contract.Check, place: Place) -> None:
    store: Store = place()
    await store.open()
    try:
        await check.run(store)
    finally:
        await store.close()


def test_what_is_left_out_for_its_time_is_there_to_be_left_out() -> None:
    assert set(SLOW) <= {str(each) for each in store_contract.CHECKS}

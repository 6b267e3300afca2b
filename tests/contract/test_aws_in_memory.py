"""The whole contract on the AWS store's own code, over a table in this process: in seconds, and without a service."""

import pytest

from longstop.testing import store_contract

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory


@pytest.mark.parametrize("check", store_contract.CHECKS, ids=str)
async def test_the_store_keeps_the_contract(check: store_contract.Check) -> None:
    await check.run(StoreInMemory())

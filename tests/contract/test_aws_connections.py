"""The AWS store as its URL names it, with table, queue and bucket: what it opens it closes."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

import aws_server
from longstop.config import load_for_store
from longstop.wiring.stores import make_store


async def test_a_store_that_is_closed_leaves_no_connection(
    aws_emulator: aws_server.AwsServer, aws_credentials: None, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []
    # What is thrown away open is said to the loop.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    config = tmp_path / "longstop.toml"
    config.write_text(f'[store]\nurl = "{aws_emulator.store()}"\n')
    store = make_store(load_for_store(config, environ={}).store)
    await store.open()
    store.on_arrival(lambda: None)
    await store.close()
    del store
    gc.collect()
    await asyncio.sleep(0)
    assert not told

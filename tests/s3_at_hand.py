"""An emulator of S3 for tests, each kind in turn, with a proxy in front of it, and buckets with nothing in them."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import aws_server
from acceptance.harness import free_port
from longstop.model.s3_place import S3Place
from s3_proxy import S3Proxy


@pytest.fixture(scope="session", params=aws_server.KINDS)
def s3_server(request: pytest.FixtureRequest) -> Iterator[aws_server.AwsServer]:
    """The session's emulator of each kind."""
    aws_server.needed()
    with tempfile.TemporaryDirectory(prefix="longstop-aws-") as folder:
        server = aws_server.AwsServer(request.param, Path(folder), free_port())
        server.start()
        yield server
        server.stop()


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the tests, and none of who runs them."""
    aws_server.have_credentials(monkeypatch, tmp_path / "no-such-file")
    # What is tried again is tried at once: where virtual time stands still, nobody waits.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr("longstop.stores.aws.units.Units._pause_s", lambda *_: 0)


@pytest.fixture
async def s3_proxy(s3_server: aws_server.AwsServer, aws_credentials: None) -> AsyncIterator[S3Proxy]:
    """What stands in front of it."""
    async with S3Proxy(s3_server.url).running() as proxy:
        yield proxy


@pytest.fixture
def new_s3_place(s3_server: aws_server.AwsServer, s3_proxy: S3Proxy) -> Callable[[], S3Place]:
    """Makes places with nothing in them, behind the proxy."""
    return lambda: S3Place(s3_server.bucket(), "some/where", endpoint=s3_proxy.url)


@pytest.fixture
def s3_place(new_s3_place: Callable[[], S3Place]) -> S3Place:
    """One of them."""
    return new_s3_place()

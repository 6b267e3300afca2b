"""Credentials come from where AWS' own programs look for them: what signs a call tells which were found."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from aws_server import AwsServer
from longstop.archives.s3 import S3Archive
from longstop.model.errors import ArchiveError
from longstop.model.s3_place import S3Place
from s3_proxy import S3Proxy

KEY, SECRET = "AKIAOFTHEPROFILE0001", "the-secret-of-the-profile"
OF_CONTAINER = "ASIAOFTHECONTAINER01"
ROLE = "arn:aws:iam::000000000000:role/longstop"


@pytest.fixture
async def container() -> AsyncIterator[str]:
    """The URL at which a container is told its credentials: those of ECS and EKS are handed out so."""

    async def told(_: web.Request) -> web.Response:
        end = "2099-01-01T00:00:00Z"
        return web.json_response({"AccessKeyId": OF_CONTAINER, "SecretAccessKey": "s", "Token": "t", "Expiration": end})

    app = web.Application()
    app.router.add_get("/credentials", told)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (address,) = runner.addresses
    yield f"http://127.0.0.1:{address[1]}/credentials"
    await runner.cleanup()


async def signed_with(place: S3Place, proxy: S3Proxy) -> str:
    """The access key by which a call was signed."""
    archive = S3Archive(place)
    await archive._bucket.put("x", b"x")
    await archive.close()
    (key,) = re.findall("Credential=([^/]+)/", proxy.headers["PutObject"]["Authorization"])
    return str(key)


@pytest.mark.parametrize("way", ["profile", "role", "web identity", "container"])
async def test_they_are_found(
    way: str,
    s3_place: S3Place,
    s3_proxy: S3Proxy,
    s3_server: AwsServer,
    container: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys, config, token = (tmp_path / name for name in ("credentials", "config", "token"))
    keys.write_text(f"[mine]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    config.write_text(f"[profile other]\nrole_arn = {ROLE}\nsource_profile = mine\nregion = eu-central-1\n")
    token.write_text("eyJ-a-token")
    ways = {
        "profile": {"AWS_PROFILE": "mine"},
        "role": {"AWS_PROFILE": "other"},
        "web identity": {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)},
        "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": container},
    }
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(keys), "AWS_CONFIG_FILE": str(config)}
    here = {"AWS_ENDPOINT_URL_STS": s3_server.url, "AWS_DEFAULT_REGION": "eu-central-1"}
    for name, value in {**files, **here, **ways[way]}.items():
        monkeypatch.setenv(name, value)
    found = await signed_with(s3_place, s3_proxy)
    if way == "profile":
        assert found == KEY
    elif way == "container":
        assert found == OF_CONTAINER
    else:
        assert found.startswith("ASIA"), "those of a role are for a time"


@pytest.mark.parametrize("s3_server", ["ministack"], indirect=True)
async def test_a_profile_that_is_not_there_is_told(s3_place: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody's")
    archive = S3Archive(s3_place)
    with pytest.raises(ArchiveError, match=r"PutObject had no credentials \(ProfileNotFound\)"):
        await archive._bucket.put("x", b"x")
    await archive.close()

"""`s3://BUCKET/PREFIX`, of an archive and of large bodies: what it asks for, and the words of each refusal."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

import subprocess
import sys
from pathlib import Path

import pytest
from config_messages import HELLO

from longstop import wiring
from longstop.config import Config, parse
from longstop.config.s3_url import EXPECTED
from longstop.model.errors import ConfigurationError
from longstop.model.s3_place import S3Place

REGION = "eu-central-1"
KEY = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd"


def read(archive: str, **environ: str) -> Config:
    text = f'{HELLO}[retention]\narchive = "{archive}"'
    return parse(text, where="here", environ=environ, base=Path("/tmp"))


def place(archive: str, **environ: str) -> S3Place:
    found = read(archive, **environ).retention.archive
    assert isinstance(found, S3Place)
    return found


def test_a_bucket_is_enough() -> None:
    assert place("s3://bucket") == place("s3://bucket/") == S3Place("bucket", "")
    assert str(place("s3://bucket/a/b/")) == "s3://bucket/a/b"
    assert (place("s3://bucket").key("x"), place("s3://bucket/a/b").key("x")) == ("x", "a/b/x")


def test_all_that_can_be_asked_for() -> None:
    url = f"s3://${{BUCKET}}/a?region={REGION}&endpoint=http://127.0.0.1:9000/&sse=aws:kms&kms_key={KEY}"
    assert place(url, BUCKET="of.mine") == S3Place("of.mine", "a", REGION, "http://127.0.0.1:9000", "aws:kms", KEY)


def test_region_and_endpoint_are_those_of_the_environment_where_nothing_else_is_said() -> None:
    aws = {"AWS_DEFAULT_REGION": "us-west-2", "AWS_ENDPOINT_URL": "http://a"}
    assert place("s3://bucket", **aws) == S3Place("bucket", "", "us-west-2", "http://a")
    nearer = {**aws, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": "http://b"}
    assert place("s3://bucket", **nearer) == S3Place("bucket", "", REGION, "http://b")
    asked = place("s3://bucket?region=eu-west-1&endpoint=http://c", **nearer)
    assert asked == S3Place("bucket", "", "eu-west-1", "http://c")


def test_large_bodies_of_redis_may_lie_there() -> None:
    url = f"redis://h?bodies=s3://bucket/bodies?region={REGION}%26sse=AES256&bodies_over=4KiB"
    config = parse(f'{HELLO}[store]\nurl = "{url}"', where="here", environ={}, base=Path("/tmp"))
    asked = config.store.redis
    assert asked is not None
    assert asked.bodies == S3Place("bucket", "bodies", REGION, None, "AES256")
    assert (asked.bodies_over, config.store.disk, config.store.bodies_folder) == (4096, None, None)


BUCKETS = "a bucket's name is 3 to 63 of a-z, 0-9, - and ."
PREFIXES = "names with a / between them, of letters, digits and !_.*'()=+@:-"
ENDPOINTS = "http:// or https:// and a host, without a path"
REFUSED = {
    "s3:bucket": f'found "s3:bucket"; expected {EXPECTED}; {BUCKETS}',
    "s3://": f'found "s3://"; expected {EXPECTED}; {BUCKETS}',
    "s3://Bucket/x": f'found "s3://Bucket/x"; expected {EXPECTED}; {BUCKETS}',
    "s3://key:secret@bucket/x": f"found a user name or a password in it; expected {EXPECTED}; credentials are those that AWS' own programs find",
    "s3://bucket/a//b": f'found the prefix "a//b"; expected {PREFIXES}',
    "s3://bucket/../b": f'found the prefix "../b"; expected {PREFIXES}',
    "s3://bucket/a b": f'found the prefix "a b"; expected {PREFIXES}',
    "s3://bucket?regoin=x": 'found the option "regoin"; expected endpoint, kms_key, region, sse; did you mean "region"?',
    "s3://bucket?sse=AES256&sse=AES256": "found an option twice; expected each once",
    "s3://bucket?region=Frankfurt": 'found the region "Frankfurt"; expected one such as "eu-central-1"',
    "s3://bucket?sse=rot13": 'found sse="rot13"; expected AES256, aws:kms, aws:kms:dsse; without it the bucket decides',
    "s3://bucket?kms_key=a": "found kms_key without sse=aws:kms; expected both, or neither",
    "s3://bucket?sse=aws:kms&kms_key=a b": 'found kms_key="a b"; expected the ARN of a key, its id or its alias',
    "s3://bucket?endpoint=ftp://h": f"of the endpoint found no http:// or https:// at its start; expected {ENDPOINTS}",
    "s3://bucket?endpoint=http://h/path": f"found an endpoint with a path; expected {ENDPOINTS}",
    "s3://bucket?endpoint=http://a:b@h": f"of the endpoint found a user name or a password in it; expected {ENDPOINTS}",
    "s3://${NO}/x": "the environment variable NO is not set; expected it to hold a part of the place; set it before the start",
}  # fmt: skip


@pytest.mark.parametrize("archive", REFUSED)
def test_what_cannot_be_meant_is_refused(archive: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(archive)
    (problem,) = caught.value.problems
    assert problem == f"retention.archive: {REFUSED[archive]}"
    assert "secret" not in problem


@pytest.mark.parametrize("name", ["aiobotocore", "botocore"])
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("retention.archive: found s3://…", '[retention]\narchive = "s3://bucket/x"'),
        ("store.url: found bodies=s3://…", '[store]\nurl = "redis://h?bodies=s3://bucket/x"'),
    ],
)
def test_without_the_extra_it_is_refused_before_anything_starts(
    name: str, path: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in [each for each in sys.modules if each.startswith("longstop.aws_api") or each.endswith(".s3")]:
        monkeypatch.delitem(sys.modules, each)
    monkeypatch.setitem(sys.modules, f"{name}.config", None)
    monkeypatch.setitem(sys.modules, f"{name}.exceptions", None)
    config = parse(HELLO + text, where="here", environ={}, base=Path("/tmp"))
    from longstop.wiring.unusable import unusable

    said = f"{path}, without aiobotocore; expected the extra; pip install 'longstop[aws]'"
    assert said in unusable(config, {})
    with pytest.raises(ConfigurationError, match="without aiobotocore"):
        wiring.Gateway(config)


@pytest.mark.parametrize(("archive", "is_loaded"), [("file:archive/", False), ("s3://bucket/x", True)])
def test_what_aws_needs_is_loaded_only_where_it_is_asked_for(archive: str, is_loaded: bool) -> None:
    text = f'{HELLO}[retention]\narchive = "{archive}"'
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from longstop import wiring\n"
        "from longstop.config import parse\n"
        f"wiring.Gateway(parse({text!r}, where='here', environ={{}}, base=Path('/tmp')))\n"
        "print('botocore' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert ran.stdout.decode().strip() == str(is_loaded), ran.stderr.decode()

"""`store.url = "redis://…"`: what a URL asks for, and the words of each refusal."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

from pathlib import Path

import pytest
from config_messages import HELLO

from longstop.config import Config, describe, parse
from longstop.config.redis_url import BODY_BYTES_MAX, EXPECTED
from longstop.model.errors import ConfigurationError

PASSWORD = "s3cret/of:the@store"


def read(url: str) -> Config:
    text = f'{HELLO}[store]\nurl = "{url}"'
    return parse(text, where="here", environ={"REDIS_PASSWORD": PASSWORD}, base=Path("/tmp"))


def test_a_host_is_enough() -> None:
    asked = read("redis://store.example").store.redis
    assert asked is not None
    assert (asked.url, asked.prefix, asked.relaxed, asked.replicas) == (
        "redis://store.example:6379",
        "longstop",
        False,
        0,
    )


def test_all_that_can_be_asked_for() -> None:
    url = "valkeys://me:${REDIS_PASSWORD}@[::1]:7000/3?durability=relaxed&prefix=crm&replicas=2&body_max=256KiB"
    asked = read(url).store.redis
    assert asked is not None
    assert asked.url == "rediss://me:s3cret%2Fof%3Athe%40store@[::1]:7000/3"
    assert (asked.prefix, asked.relaxed, asked.replicas, asked.body_bytes_max) == ("crm", True, 2, 256 * 1024)


def test_several_servers_share_what_is_said_of_one() -> None:
    asked = read("redis://me:${REDIS_PASSWORD}@a.example,b.example:7000,[::1]/0").store.redis
    assert asked is not None
    begin = "redis://me:s3cret%2Fof%3Athe%40store@"
    assert (asked.url, asked.others) == (
        f"{begin}a.example:6379/0",
        (f"{begin}b.example:7000/0", f"{begin}[::1]:6379/0"),
    )
    assert asked.place == "redis://a.example:6379,b.example:7000,[::1]:6379/0, keys {longstop}:…"


def test_the_password_is_not_shown() -> None:
    config = read("redis://:${REDIS_PASSWORD}@store.example")
    for text in (describe(config), repr(config.store), config.store.place):
        assert "s3cret" not in text
    assert "redis://store.example:6379, keys {longstop}:…" in describe(config)


def test_no_source_takes_larger_bodies_than_the_store() -> None:
    assert read("redis://store.example").sources[0].body_bytes_max == BODY_BYTES_MAX
    assert read("redis://store.example?body_max=4KiB").sources[0].body_bytes_max == 4096


def test_large_bodies_may_lie_in_a_folder_and_then_the_sources_decide() -> None:
    config = read("redis://store.example?bodies=file:///srv/bodies&bodies_over=4KiB")
    asked = config.store.redis
    assert asked is not None
    assert (asked.bodies, asked.bodies_over, config.store.disk) == ("/srv/bodies", 4096, "/srv/bodies")
    assert config.sources[0].body_bytes_max > BODY_BYTES_MAX or config.sources[0].max_body_bytes is None
    assert (
        read("redis://store.example?bodies=file:///srv/bodies&body_max=20MiB").sources[0].body_bytes_max <= 20 * 2**20
    )


REFUSED = {
    "redis://h?bodies=gs://bucket": 'found bodies="gs://bucket"; expected file:///ABSOLUTE/FOLDER, which every machine of '
    "this store sees, or s3://BUCKET/PREFIX",
    "redis://h?bodies=file://host/x": 'found bodies="file://host/x"; expected file:///ABSOLUTE/FOLDER, which every machine '
    "of this store sees, or s3://BUCKET/PREFIX",
    "redis://h?bodies_over=1KiB": "found bodies_over without bodies; expected bodies=file:///FOLDER or "
    "s3://BUCKET/PREFIX, where the larger ones go",
    "redis://": f"found a URL of Redis without a host, or with more than a number behind it; expected {EXPECTED}",
    "redis://h/a": f"found a URL of Redis without a host, or with more than a number behind it; expected {EXPECTED}",
    "redis://h:port": f"found a URL of Redis that cannot be read; expected {EXPECTED}",
    "redis://h?replica=1": 'found the option "replica"; expected bodies, bodies_over, body_max, durability, prefix, replicas; '
    'did you mean "replicas"?',
    "redis://h?replicas=1&replicas=2": "found an option twice; expected each once",
    "redis://h?replicas=-1": 'found replicas="-1"; expected a whole number from 0 to 16',
    "redis://h?durability=lax": 'found durability="lax"; expected strict or relaxed',
    "redis://h?prefix=A:B": 'found "A:B" as the prefix; expected 1 to 63 of a-z, 0-9, _ and -, the first a letter or a digit',
    "redis://h?body_max=1GB": 'found "1GB"; expected from 1B to 16MiB',
    "redis://:${NO}@h": "the environment variable NO is not set; expected it to hold a part of store.url; set it before the start",
}  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(url)
    (problem,) = caught.value.problems
    assert problem == f"store.url: {REFUSED[url]}"

"""The command that a person who has just started is shown."""

import pytest

from longstop.edges.rows.first_event import first_event, webhook_url
from longstop.model.settings import SourceSettings, VerifySettings

URL = "http://0.0.0.0:8080"


def source(scheme: str = "none", **more: str) -> SourceSettings:
    return SourceSettings(name="hello", kind="generic", verify=VerifySettings(scheme=scheme), **more)


def test_where_nothing_is_verified_curl_posts_it() -> None:
    command = first_event(source(), URL)
    assert command.startswith("curl -i http://127.0.0.1:8080/webhooks/hello -H ")


def test_where_it_is_verified_it_has_to_be_signed() -> None:
    assert first_event(source("basic"), URL) == "longstop send hello FILE"


@pytest.mark.parametrize(
    ("public_url", "shown"),
    [(None, "http://127.0.0.1:8080/webhooks/hello"), ("https://hooks.example/a", "https://hooks.example/a")],
)
def test_senders_post_to_the_public_url_where_there_is_one(public_url: str | None, shown: str) -> None:
    assert webhook_url(source(public_url=public_url), URL) == shown

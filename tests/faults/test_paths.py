"""Names and filters as weapons: paths that climb, SQL in what people look for. Nothing is found, nothing is changed."""

from collections.abc import Iterator

import pytest

from acceptance.harness import Site

CLIMBING = [
    "/webhooks/../longstop.toml",
    "/webhooks/..%2flongstop.toml",
    "/webhooks/%2e%2e/%2e%2e/etc/passwd",
    "/webhooks/shop/../../etc/passwd",
    "/webhooks//etc/passwd",
    "/webhooks/shop%00",
    "/webhooks/shop%2f..",
    "/webhooks/SHOP",
    "/webhooks/shop;x=1",
    "/webhooks/%73hop%20",
    "/../../etc/passwd",
    "/longstop.toml",
    "/longstop.db",
]
INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE events; --",
    '" OR ""="',
    "shop' UNION SELECT body FROM events --",
    "%",
    "_",
    "shop\\' OR 1=1",
    "0) OR (1=1",
    "é' OR 'é'='é",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("paths"))
    made.start("ingest").ready()
    made.accept("shop", b'{"id": "1", "type": "order", "customer": "c"}')
    assert made.post("shop", b"{").status == 400
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("path", CLIMBING)
def test_a_path_leads_to_a_source_or_nowhere(site: Site, path: str) -> None:
    for method in ("POST", "GET"):
        answer = site.request(method, path, b"{}", {})
        assert answer.status in (401, 404, 405), answer
        assert b"root:" not in answer.body
        assert b"secrets" not in answer.body


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("option", ["--source", "--type", "--key", "--contains"])
def test_a_filter_s_text_is_only_ever_compared(site: Site, option: str, text: str) -> None:
    for listing in ("events", "dead"):
        if option == "--source":
            # A name that nothing has is a slip of the finger.
            refused = site.cli(listing, "list", option, text, "--json")
            assert (refused.exit, refused.out, "found no source" in refused.err) == (1, b"", True)
        else:
            assert site.ask(listing, "list", option, text).rows == []
    assert len(site.ask("events", "list").rows) == 2
    assert len(site.ask("dead", "list").rows) == 1


@pytest.mark.parametrize("text", INJECTIONS)
def test_an_id_that_is_none_finds_and_changes_nothing(site: Site, text: str) -> None:
    for words in (("events", "show", text), ("replay", text), ("discard", text, "--why", "x"), ("pause", text)):
        assert site.cli(*words).exit in (1, 2)
    assert len(site.ask("dead", "list").rows) == 1

"""A store that may lose what it acknowledges, as its URL allows: said wherever somebody looks whether all is well."""

import json
import urllib.request
from pathlib import Path

from acceptance.harness import LIMIT_S, Site, wait_until
from redis_server import RedisServer

SAID = "may be lost in a crash, for Redis has appendonly no, appendfsync everysec"


def test_it_is_said_in_readiness_in_status_and_in_the_log(tmp_path: Path, redis_server: RedisServer) -> None:
    site = Site(tmp_path, f"redis://127.0.0.1:{redis_server.port}?durability=relaxed&prefix=relaxed")
    try:
        gateway = site.serve()
        wait_until(lambda: warnings(site) != [], "the store to be looked at")
        (warning,) = warnings(site)
        assert warning["kind"] == "durability_relaxed"
        assert SAID in warning["text"]
        assert SAID in site.cli("status").out.decode()
        wait_until(lambda: "store_durability_relaxed" in gateway.err, "the log to say so")
    finally:
        site.close()


def warnings(site: Site) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/readyz", timeout=LIMIT_S) as answer:
        found: list[dict[str, str]] = json.load(answer).get("warnings", [])
        return found

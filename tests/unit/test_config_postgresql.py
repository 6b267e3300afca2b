"""`store.url = "postgresql://…"`: what goes to the driver, what is ours, and what nobody is shown."""

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import pytest

from longstop.config import store_urls, values
from longstop.config.errors import Fault
from longstop.config.postgresql_url import PostgresqlSettings
from longstop.config.values import Surroundings

AROUND = Surroundings({"PASSWORD": "p@ss/w:rd?#%", "HOST": "db.example"}, Path("/etc/longstop"))


def read(text: str) -> PostgresqlSettings:
    found = store_urls.store(text, AROUND)
    assert found.kind == "postgresql"
    assert found.is_shared
    assert found.postgresql is not None
    assert found.place == found.postgresql.place
    return found.postgresql


def test_a_password_from_a_variable_may_hold_any_character() -> None:
    found = read("postgresql://me:${PASSWORD}@${HOST}:6432/inbox")
    parts = urlsplit(found.address)
    assert (parts.username, unquote(parts.password or ""), parts.hostname, parts.port) == (
        *("me", AROUND.environ["PASSWORD"], "db.example", 6432),
    )
    assert parts.path == "/inbox"


def test_what_is_ours_is_not_the_drivers() -> None:
    text = "postgres:///inbox?host=/run/postgresql&durability=relaxed&schema=night&pgbouncer=transaction&connections=4"
    found = read(text)
    assert found.address == "postgresql:///inbox?host=/run/postgresql"
    assert (found.relaxed, found.schema, found.pooled, found.connections) == (True, "night", True, 4)
    assert found.place == "inbox on /run/postgresql, schema night"


def test_several_hosts_may_be_named() -> None:
    found = read("postgresql://me:${PASSWORD}@${HOST}:6432,[::1]:5433,other/inbox")
    assert found.address.endswith("@db.example:6432,[::1]:5433,other/inbox")
    assert found.place == "inbox on db.example:6432,[::1]:5433,other, schema longstop"


def test_files_are_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    for name in ("pgpass", "ca.pem"):
        (tmp_path / name).touch()
    text = f"postgresql://me@db/inbox?passfile=pgpass&sslrootcert={tmp_path}/ca.pem"
    found = store_urls.store(text, Surroundings({}, tmp_path)).postgresql
    assert found is not None
    assert found.address == f"postgresql://me@db/inbox?passfile={tmp_path}/pgpass&sslrootcert={tmp_path}/ca.pem"


def test_no_secret_is_shown() -> None:
    found = read("postgresql://me:hunter2@db/inbox")
    assert "hunter2" not in repr(found) + found.place


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://me@db", "found a URL without a database"),
        ("postgresql:inbox", "found a URL without a database"),
        ("postgresql://me@db/inbox#x", "found a URL without a database, or with #"),
        ("postgresql://me@db:port/inbox", "found a URL that cannot be read"),
        ("postgresql://me@db,other:port/inbox", "found a URL that cannot be read"),
        ("postgresql://me@[::1/inbox", "found a URL that cannot be read"),
        ("postgresql://me@db/inbox?sslmod=require", 'found the option "sslmod"'),
        ("postgresql://me@db/inbox?durability=maybe", 'found durability="maybe"'),
        ("postgresql://me@db/inbox?schema=Night;", 'found schema="Night;"'),
        ("postgresql://me@db/inbox?passfile=nowhere", 'found passfile="nowhere", and no such file'),
        ("postgresql://me@db/inbox?sslrootcert=${HOST}", 'found sslrootcert="${HOST}", and no such file'),
        ("postgresql://me@db/inbox?connections=1", 'found connections="1"'),
        ("postgresql://me:${NOWHERE}@db/inbox", "the environment variable NOWHERE is not set"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(Fault) as raised:
        store_urls.store(text, AROUND)
    assert raised.value.found.startswith(said)
    assert raised.value.expected


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
def test_several_hosts_are_read_by_any_python(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer versions take no IPv6 address behind another host (CVE-2025-0938)."""

    def newer(url: str) -> SplitResult:
        if "[" in urlsplit(url).netloc.rpartition("@")[2][1:]:
            raise ValueError("Invalid IPv6 URL")
        return urlsplit(url)

    monkeypatch.setattr(values, "urlsplit", newer)
    found = store_urls.store(f"{scheme}://me@a:1,[::1]:2/1", AROUND)
    urls = (
        (found.postgresql.address,)
        if found.postgresql
        else (found.redis.url, *found.redis.others)
        if found.redis
        else ()
    )
    assert [host for host in ("a:1", "[::1]:2") if host in " ".join(urls)] == ["a:1", "[::1]:2"]

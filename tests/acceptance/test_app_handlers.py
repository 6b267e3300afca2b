"""Handlers that an application registers in its code, known to the command line by `--app`."""

import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.harness import Ran, Site, environment, wait_until

CONFIG = """
[server]
port = {port}
admin_port = {admin_port}

[store]
url = "{store_url}"

[sources.shop]
kind = "generic"
verify = {{ scheme = "none" }}
dedup = "id"

[[routes]]
from = "shop"
to = ["crm"]
"""
APPLICATION = """
from longstop import Event, Longstop

gateway = Longstop("longstop.toml")
other = "no gateway"

@gateway.handler("crm")
def update_crm({parameters}):
    with open("seen", "ab") as file:
        file.write(event.body + b"\\n")
"""


@pytest.fixture
def app(site: Site) -> Site:
    site.config.write_text(CONFIG.format(port=site.port, admin_port=site.admin_port, store_url=site.store_url))
    (site.folder / "myapp.py").write_text(APPLICATION.format(parameters="event: Event"))
    return site


def run(site: Site, *words: str) -> Ran:
    ran = subprocess.run(
        [sys.executable, "-m", "longstop", *words],
        cwd=site.folder,
        env=environment(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())


@pytest.mark.any_store
def test_check_knows_them_and_says_what_cannot_be_called(app: Site) -> None:
    unknown = run(app, "check")
    assert (unknown.exit, "crm" in unknown.err) == (1, True)
    assert run(app, "check", "--app", "myapp:gateway").exit == 0
    (app.folder / "myapp.py").write_text(APPLICATION.format(parameters=""))
    wrong = run(app, "check", "--app", "myapp:gateway")
    assert wrong.exit == 1
    assert "update_crm" in wrong.err
    assert "called with one argument" in wrong.err


@pytest.mark.any_store
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("myapp", 'as "myapp.main:gateway"'),
        ("nowhere:gateway", "importing nowhere failed"),
        ("myapp:nothing", "myapp has no nothing"),
        ("myapp:other", "other is str, and no Longstop"),
    ],
)
def test_what_is_no_gateway_is_said(app: Site, given: str, said: str) -> None:
    ran = run(app, "check", "--app", given)
    assert ran.exit == 1
    assert "--app: found" in ran.err
    assert said in ran.err


def test_serve_calls_them_and_status_takes_their_destination_for_configured(app: Site) -> None:
    app.start("serve", "--app", "myapp:gateway").ready()
    assert app.request("POST", "/webhooks/shop", b'{"id": 1}', {"Content-Type": "application/json"}).status == 200
    seen = Path(app.folder / "seen")
    wait_until(lambda: seen.exists() and seen.read_bytes() == b'{"id": 1}\n', "the handler to be called")
    status = run(app, "status")
    assert status.exit == 0
    assert "onger configured" not in status.err
    assert b"crm" in status.out

"""The examples of docs/api.md, run as they stand against the real program."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from acceptance.harness import LIMIT_S, Reply, Site, wait_until

pytestmark = pytest.mark.any_store

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
PYTHON = re.findall(r"```python client\n(.*?)```", PAGE, re.DOTALL)
CURLS = re.findall(r"^\$ (curl .*)$", PAGE, re.MULTILINE)
ADDRESS = "127.0.0.1:8081"
AN_ID = "019ab0c2-7d1e-7000-8000-0123456789ab"


@pytest.fixture
def dead(site: Site) -> str:
    """The id of an event whose delivery is dead, of a gateway that runs."""
    site.serve()
    site.destination.script = lambda _arrival: Reply(status=422)
    id_ = site.accept("shop", b'{"id": "order-1", "customer": "c-1"}')
    wait_until(lambda: site.delivery(id_)["state"] == "dead", "the delivery to be dead")
    site.destination.script = lambda _arrival: Reply(status=200)
    return id_


def test_the_page_has_its_examples() -> None:
    assert (len(PYTHON), len(CURLS)) == (3, 4)


@pytest.mark.parametrize("code", PYTHON, ids=["sync", "async", "access"])
def test_python(code: str, site: Site, dead: str) -> None:
    code = code.replace(ADDRESS, f"127.0.0.1:{site.admin_port}")
    env = {name: value for name, value in os.environ.items() if name != "LONGSTOP_TOKEN"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=LIMIT_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    if "would go to" in code:
        assert f"{dead} would go to ['crm']" in ran.stdout
    elif "silence" in code:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/api/v1/alerts/silences") as answer:
            assert b"the CRM is being moved" in answer.read()
    else:
        assert "rejected" in ran.stdout
        wait_until(lambda: site.delivery(dead)["state"] == "delivered", "the delivery to arrive")


@pytest.mark.parametrize("line", CURLS)
def test_curl(line: str, site: Site, dead: str) -> None:
    delivery = site.delivery(dead)["id"]
    words = shlex.split(line.replace(ADDRESS, f"127.0.0.1:{site.admin_port}").replace(AN_ID, delivery))
    ran = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    said = json.loads(ran.stdout)
    assert "title" not in said, said
    assert said

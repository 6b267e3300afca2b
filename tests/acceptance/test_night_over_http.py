"""A night by the API alone: with curl and jq, and with `longstop.client`, as docs/operate.md has them.

The lines and the programs of the page are run as they stand there; `pytest -s` shows what they tell.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.harness import LIMIT_S, wait_until
from acceptance.needs import needs
from acceptance.night import FULL_ID, Night, Page, night

PORT = "127.0.0.1:8081"


@pytest.fixture
def here(tmp_path: Path, new_store: Callable[[], str]) -> Iterator[Night]:
    needs("curl", "jq")
    with night(tmp_path, store_url=new_store()) as made:
        yield made


class Terminal:
    """One shell, in which the page's lines are typed."""

    def __init__(self, here: Night) -> None:
        self._here = here
        self.page = Page("Over HTTP")
        edited, given_up, _job = self.page.ids()
        self.page.known = {
            edited: here.dead_of("conversation-000")["id"][-8:],
            given_up: here.dead_of("conversation-002")["id"][-8:],
        }
        self.ids = (edited, given_up, _job)

    def __call__(self, beginning: str) -> str:
        """Type the next line, which begins like this; what it writes. Fails where any of its programs does."""
        line = self.page.next(beginning)
        print(f"$ {line}")
        api = f"api={self._here.url}/api/v1"
        ran = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {api}; {line}"],
            cwd=self._here.site.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        print(ran.stdout, end="")
        assert (ran.returncode, ran.stderr) == (0, ""), (line, ran)
        return ran.stdout

    def rows(self, beginning: str) -> list[Any]:
        """The same, where each line is JSON."""
        return [json.loads(text) for text in self(beginning).splitlines()]

    def lines(self, beginning: str) -> list[list[str]]:
        """The same, where each line has tabs between its cells."""
        return [text.split("\t") for text in self(beginning).splitlines()]


def test_a_night_is_got_through_with_curl(here: Night) -> None:
    type_ = Terminal(here)
    assert type_.page.next("api=") == f"api=http://{PORT}/api/v1"
    see_what_fails(type_)
    original = here.dead_of("conversation-000")["event_id"]
    edited = mend_one(type_)
    given_up = type_.rows("curl")[0]
    assert given_up["state"] == "discarded"
    here.mend()
    send_the_rest_again(type_, here)
    see_it_drained(type_, here)
    here.account(original, edited, given_up["event_id"])
    here.trail(original, edited, "local")
    done = type_.lines("curl -s $api/audit")
    assert ["job.create", "local", "32", "INC-7: mended"] in done
    assert type_.page.is_through()


def see_what_fails(type_: Terminal) -> None:
    assert type_.rows("curl -s $api/status") == [["crm", 90, 180, 30], ["screen", 0, 56, 4]]
    groups = type_.lines("curl -s $api/dead-letters/groups")
    assert [each[:3] for each in groups] == [
        ["10", "10", "crm"],
        ["8", "8", "crm"],
        ["6", "6", "crm"],
        ["6", "6", "crm"],
        ["4", "4", "screen"],
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\dT", each[5]) for each in groups), "since when"
    assert set(type_("curl").split()) == {f"conversation-{number:03}" for number in range(16, 36, 2)}
    refused = type_.lines("curl")
    assert len(refused) == 3
    assert all(FULL_ID.fullmatch(id_) and key.startswith("conversation-") for id_, key, _ in refused)
    turns = type_.lines("curl -s $api/keys/conversation-000")
    assert [each[1] for each in turns] == ["delivered", "dead", "scheduled", "scheduled", "scheduled"]
    assert type_("curl").strip() == "90"
    assert type_.rows("curl") == [[422, '{"error": "the number has no country code"}']]


def mend_one(type_: Terminal) -> str:
    """Send the first refused event with a number that has a country code; the new event's id."""
    assert type_.rows("curl")[0]["held"] == 90
    type_("curl")
    plan = type_("jq").splitlines()
    assert '-  "number": "0301234567",' in plan
    assert '+  "number": "+49301234567",' in plan
    assert plan[-1] == "crm"
    (done,) = type_.rows("jq")
    assert done["state"] == "scheduled"
    return str(done["event_id"])


def send_the_rest_again(type_: Terminal, here: Night) -> None:
    assert type_.rows("curl")[0]["paused_why"] == "INC-7: the CRM is being mended"
    ((count, destinations, keys, _),) = type_.rows("curl")
    assert (count, destinations, keys) == (32, {"crm": 28, "screen": 4}, 32)
    ((job, state, total),) = type_.rows("curl")
    assert (state, total) == ("running", 32)
    type_.page.known[type_.ids[2]] = job[-8:]
    wait_until(lambda: here.site.ask("jobs", "show", job).row["state"] == "done", "the job to be done")
    assert type_.rows("curl") == [["done", 32, 32, None]]


def see_it_drained(type_: Terminal, here: Night) -> None:
    almost = {"delivered": 296, "dead": 1, "discarded": 1, "scheduled": 3}
    wait_until(lambda: here.states("crm") == almost, "the rest")
    assert [each[1] for each in type_.lines("curl")] == ["conversation-000"]
    assert type_.rows("curl")[0]["state"] == "discarded"
    wait_until(lambda: here.states("crm") == {"delivered": 299, "discarded": 2}, "its conversation")
    wait_until(lambda: here.states("screen") == {"delivered": 60}, "the screens")
    assert type_.rows("curl") == [[0, None], ["crm", 299, 0, 2], ["screen", 60, 0, 0]]


def test_a_night_is_got_through_from_python(here: Night) -> None:
    programs = re.findall(r"```python night\n(.*?)```", Page("Over HTTP").text, re.DOTALL)
    assert len(programs) == 2
    original, given_up = (here.dead_of(f"conversation-{number}")["event_id"] for number in ("000", "002"))
    told = run(here, programs[0])
    assert "4 screen crashed" in told
    assert "the number has no country code" in told
    assert '+  "number": "+49301234567"' in told
    here.mend()
    told = run(here, programs[1])
    assert "32 would be replayed" in told
    assert told.splitlines()[-2:] == ["32 of 32", "drained"]
    (edit,) = here.site.event(original)["edits"]
    here.account(original, edit["event_id"], given_up)
    here.trail(original, edit["event_id"], "local")


def run(here: Night, code: str) -> str:
    """What a program of the page writes."""
    code = code.replace(f"http://{PORT}", here.url)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=2 * LIMIT_S, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout

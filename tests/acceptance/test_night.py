"""A night as the engineer on call has it, in a shell that has none of the secrets.

What was asked and answered is the walk-through of docs/operate.md, whose lines are typed here; `pytest -s` shows it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import longstop
from acceptance.harness import LIMIT_S, wait_until
from acceptance.night import FULL_ID, Night, Page, night

SHELL = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(Path(longstop.__file__).parents[1]),
    "LONGSTOP_USER": "ann",
}
"""What is in the environment of the engineer's shell: no secret of a sender."""


class Shell:
    """A terminal of the engineer on call, in the gateway's folder; what is typed and told is printed."""

    def __init__(self, here: Night) -> None:
        self._folder = here.site.folder
        self.page = Page("On the command line")
        edited, given_up = self.page.ids()
        self.page.known = {
            edited: here.dead_of("conversation-000")["id"][-8:],
            given_up: here.dead_of("conversation-002")["id"][-8:],
        }

    def next(self, beginning: str) -> str:
        """Type the page's next line, which begins like this; what it writes."""
        return self(self.page.next(beginning))

    def next_lines(self, beginning: str) -> list[list[str]]:
        """The same, where it is a listing: the cells of each line."""
        return [text.split("\t") for text in self.next(beginning).splitlines()]

    def __call__(self, line: str, status: int = 0) -> str:
        """What a command line writes, piped; fails where its exit status is another."""
        print(f"$ {line}")
        ran = subprocess.run(
            line.replace("longstop ", f"{shlex.quote(sys.executable)} -m longstop "),
            shell=True,
            cwd=self._folder,
            env=SHELL | {name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        print(ran.stdout, end="")
        assert ran.returncode == status, (line, ran)
        assert status != 0 or "HMAC_SECRET is not set" in ran.stderr, "it works without, and says so"
        return ran.stdout

    def rows(self, line: str) -> list[Any]:
        """The objects that a command writes with `--json`."""
        return [json.loads(text) for text in self(f"{line} --json").splitlines()]

    def lines(self, line: str) -> list[list[str]]:
        """The cells of each line of a piped listing."""
        return [text.split("\t") for text in self(line).splitlines()]


@pytest.fixture
def here(tmp_path: Path, new_store: Callable[[], str]) -> Iterator[Night]:
    with night(tmp_path, store_url=new_store()) as made:
        yield made


def test_a_night_is_got_through_from_a_shell_without_secrets(here: Night) -> None:
    shell = Shell(here)
    see_what_fails(shell)
    see_whose_and_since_when(shell)
    shell.next("longstop pause crm")
    original, edited = mend_one(shell)
    given_up = give_one_up(shell)
    here.mend()
    let_it_go(shell)
    send_the_rest_again(shell, original)
    see_it_drained(shell, here)
    here.account(original, edited, given_up)
    here.trail(original, edited, "ann")
    assert edited in shell.next("longstop events show")
    assert original in shell(f"longstop events show {edited}")
    assert shell.page.is_through()


def see_what_fails(shell: Shell) -> None:
    assert "accepts and delivers" in shell.next("longstop status")
    (status,) = shell.rows("longstop status")
    assert (status["accepting"], status["delivering"], status["events"]) == (True, True, 300)
    assert [cells[:3] for cells in shell.next_lines("longstop dead summary")][-1] == ["4", "4", "screen"]
    groups = shell.rows("longstop dead summary")
    told = {(each["destination"], each["reason"], each["status"], each["error"]): each["keys"] for each in groups}
    assert told == {
        ("crm", "exhausted", 500, "HTTP #"): 10,
        ("crm", "rejected", 422, "HTTP #"): 8,
        ("crm", "exhausted", None, "timed out after # s while waiting for the answer (#)"): 6,
        ("crm", "exhausted", None, "# closed the connection without an answer"): 6,
        ("screen", "crashed", None, "crashed: the handler's process ended with exit status #"): 4,
    }
    assert all(each["first_at"] <= each["last_at"] for each in groups)


def see_whose_and_since_when(shell: Shell) -> None:
    locked = {f"conversation-{number:03}" for number in range(16, 36, 2)}
    assert set(shell.next("longstop dead list --status 500 | cut").split()) == locked
    assert len(shell.next_lines("longstop dead list --destination crm --reason rejected --limit 3")) == 3
    refused = shell.lines("longstop dead list --destination crm --reason rejected")
    assert refused == shell.lines("longstop dead list --status 422")
    assert all(FULL_ID.fullmatch(cells[0]) for cells in refused)
    conversations = {f"conversation-{number:03}" for number in range(0, 16, 2)}
    assert {cell for cells in refused for cell in cells if cell.startswith("conversation-")} == conversations
    assert len(shell.lines("longstop dead list --error 'timed out after # s'")) == 6
    first, second, *behind = reversed(shell.next_lines("longstop events list --key conversation-000"))
    assert (first[-1], second[-1]) == ("crm: delivered", "crm: dead (rejected)")
    assert all("crm: scheduled (held by " in cells[-1] for cells in behind)
    assert shell.next("longstop events list --state held").strip() == "90"
    held = shell.lines("longstop events list --state held --destination crm --limit 1000")
    assert all(re.search(rf"held by {FULL_ID.pattern}", cells[-1]) for cells in held), "whole ids in a pipe"
    dead = {each["id"] for each in shell.rows("longstop dead list --destination crm --limit 100")}
    waiting = shell.rows("longstop events list --state held --limit 1000")
    assert {each["deliveries"][0]["held_by"] for each in waiting} == dead
    assert {each["deliveries"][0]["waits_for"] for each in waiting} == {"held"}
    told = shell.next("longstop events show")
    assert "the number has no country code" in told
    assert told.count("HTTP 422") == 1, "said once"


def mend_one(shell: Shell) -> tuple[str, str]:
    """Send the first refused event with a number that has a country code; its id, and the new one's."""
    (dead,) = shell.rows("longstop dead list --key conversation-000")
    original: str = dead["event_id"]
    shell.next("longstop events show")
    told = shell.next("longstop replay")
    assert '-  "number": "0301234567"' in told
    assert '+  "number": "+49301234567"' in told
    assert "crm" in told
    (status,) = shell.rows("longstop status")
    assert status["events"] == 300, "a dry run changes nothing"
    said = shell.next("longstop replay")
    edited = next(id_ for id_ in FULL_ID.findall(said) if id_ != original)
    return original, edited


def give_one_up(shell: Shell) -> str:
    """Discard one that was a test; its event's id."""
    (dead,) = shell.rows("longstop dead list --key conversation-002")
    shell(f"longstop discard {dead['id'][-8:]}", status=2)
    assert shell.next("longstop discard") == "1 discarded\n"
    given_up: str = dead["event_id"]
    return given_up


def let_it_go(shell: Shell) -> None:
    waiting = shell.rows("longstop events list --state scheduled --destination crm --limit 1000")
    assert Counter(each["deliveries"][0]["waits_for"] for each in waiting)["held"] > 20
    assert "INC-7: the CRM is being mended" in shell("longstop status | grep paused")
    assert "by ann: INC-7: the CRM is being mended" in shell.next("longstop resume crm")


def send_the_rest_again(shell: Shell, original: str) -> None:
    assert shell.next("longstop replay --all --dry-run").startswith("32 would be replayed; nothing was changed.")
    assert shell.next("longstop replay --all --rate 20/s") == "32 replayed\n"
    shell.next("longstop jobs list")
    (job,) = shell.rows("longstop jobs list")
    assert (job["state"], job["done"], job["by"], job["why"]) == ("done", 32, "ann", "INC-7: mended")
    (left,) = shell.rows("longstop dead list")
    assert left["event_id"] == original, "what was replaced by an edit is left out"


def see_it_drained(shell: Shell, here: Night) -> None:
    # The conversation of the one that was mended waits for what becomes of the kept one.
    almost = {"delivered": 296, "dead": 1, "discarded": 1, "scheduled": 3}
    wait_until(lambda: here.states("crm") == almost, "the rest")
    assert len(shell.next_lines("longstop dead list")) == 1
    assert shell.next("longstop discard") == "1 discarded\n"
    wait_until(lambda: here.states("crm") == {"delivered": 299, "discarded": 2}, "its conversation")
    wait_until(lambda: here.states("screen") == {"delivered": 60}, "the screens")
    assert shell("longstop dead list") == ""
    assert "nothing waits" in shell.next("longstop status")

"""A night as the engineer on call has it, in a shell that has none of the secrets.

300 events for two destinations, and five ways to fail: a number that the CRM refuses (422), a table that is locked
(500), answers that come too late, connections that end within an answer, and a call that kills its handler's process.
What was asked and answered is the walk-through of docs/operate.md; `pytest -s` shows all of it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import longstop
from acceptance.destination import OK, Arrival, Reply
from acceptance.harness import LIMIT_S, Site, hex_signature, wait_until

CONVERSATIONS, TURNS = 60, 5
TROUBLE = ["number"] * 8 + ["locked"] * 10 + ["slow"] * 6 + ["cut"] * 6
"""What goes wrong in the second turn of every other conversation; all that comes after it waits for it."""
POISON = range(1, 9, 2)
"""Conversations whose third turn kills the handler; nothing is wrong with them at the CRM."""
ANSWERS = {
    "number": Reply(422, b'{"error": "the number has no country code"}'),
    "locked": Reply(500, b'{"error": "the table is locked"}'),
    "slow": Reply(503, after_s=4.0),
    "cut": Reply(cut=True),
}
CONFIGURATION = """\
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "sqlite:///longstop.db"
[sources.calls]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }}
secrets = ["${{HMAC_SECRET}}"]
dedup = "id"
type = "type"
key = "conversationId"
[destinations.crm]
url = "http://127.0.0.1:{destination_port}/calls"
allow_private = true
timeout = "2s"
ordered = true
retry = {{ attempts = 3, first = "50ms", cap = "100ms" }}
[destinations.screen]
handler = "screen:show"
isolation = "process"
concurrency = 2
retry = {{ first = "50ms", cap = "100ms", crashes = 2 }}
[[routes]]
from = "calls"
to = ["crm"]
[[routes]]
from = "calls"
when = "type == 'call.ringing'"
to = ["screen"]
"""
SCREEN = """\
import os

def show(event):
    if b"poison" in event.body and not os.path.exists("mended"):
        os._exit(139)
"""
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
SHELL = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(Path(longstop.__file__).parents[1]),
    "LONGSTOP_USER": "ann",
}
"""What is in the environment of the engineer's shell: no secret."""


class Shell:
    """A terminal of the engineer on call, in the gateway's folder; what is typed and told is printed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.typed: set[str] = set()

    def __call__(self, line: str, status: int = 0) -> str:
        """What a command line writes, piped; fails where its exit status is another."""
        print(f"$ {line}")
        self.typed.add(form(line))
        ran = subprocess.run(
            line.replace("longstop ", f"{shlex.quote(sys.executable)} -m longstop "),
            shell=True,
            cwd=self._folder,
            env=SHELL,
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

    def states(self, destination: str) -> Counter[str]:
        """How many deliveries of a destination are in each state."""
        (status,) = self.rows("longstop status")
        (row,) = [each for each in status["destinations"] if each["destination"] == destination]
        return +Counter({name: row[name] for name in ("scheduled", "leased", "delivered", "dead", "discarded")})


def form(line: str) -> str:
    """A command line without what differs from night to night: ids, how many rows, for whom."""
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8}\b", "ID", line)
    return re.sub(r" --limit \d+| --json", "", text)


def body(conversation: int, turn: int) -> bytes:
    """An event as the telephony sends it."""
    number = conversation + turn * CONVERSATIONS
    event = {
        "id": f"e-{number:03}",
        "type": "call.ringing" if turn == 2 else "call.moved",
        "conversationId": f"conversation-{conversation:03}",
        "number": "+49301234567",
    }
    if turn == 1 and conversation % 2 == 0:
        event["trouble"] = TROUBLE[conversation // 2]
        event["number"] = "0301234567"
    if turn == 2 and conversation in POISON:
        event["trouble"] = "poison"
    return json.dumps(event).encode()


def troubled(arrival: Arrival) -> Reply:
    """The CRM as it was when the telephone rang."""
    return ANSWERS.get(json.loads(arrival.body).get("trouble"), OK)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    text = CONFIGURATION.format(port=made.port, admin_port=made.admin_port, destination_port=made.destination.port)
    made.config.write_text(text)
    (tmp_path / "screen.py").write_text(SCREEN)
    made.destination.script = troubled
    yield made
    made.close()


def test_a_night_is_got_through_from_a_shell_without_secrets(site: Site) -> None:
    shell = Shell(site.folder)
    gateway = site.serve()
    accepted = post_everything(site)
    wait_until(lambda: settled(shell), "everything to be delivered, dead, or held by what is dead")
    see_what_fails(shell)
    see_whose_and_since_when(shell)
    see_what_waits(shell)
    shell('longstop pause crm --why "INC-7: the CRM is being mended"')
    original, edited = mend_one(shell)
    given_up = give_one_up(shell)
    site.destination.script = lambda _arrival: OK
    (site.folder / "mended").touch()
    let_it_go(shell)
    send_the_rest_again(shell, original)
    see_it_drained(shell, original)
    account(shell, site, accepted, original, edited, given_up)
    assert described() <= shell.typed
    gateway.stop()


def post_everything(site: Site) -> list[str]:
    """Post the 300 in order; their ids."""
    bodies = [body(conversation, turn) for turn in range(TURNS) for conversation in range(CONVERSATIONS)]
    answers = [site.post("calls", each, hex_signature(each)) for each in bodies]
    assert {(each.status, each.json["status"]) for each in answers} == {(200, "accepted")}
    return [each.json["id"] for each in answers]


def settled(shell: Shell) -> bool:
    return shell.states("crm") == {"delivered": 180, "dead": 30, "scheduled": 90} and shell.states("screen") == {
        "delivered": 56,
        "dead": 4,
    }


def see_what_fails(shell: Shell) -> None:
    (status,) = shell.rows("longstop status")
    assert (status["accepting"], status["delivering"], status["events"]) == (True, True, 300)
    assert "accepts and delivers" in shell("longstop status | grep gateway")
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
    assert [cells[:3] for cells in shell.lines("longstop dead summary")][-1] == ["4", "4", "screen"]


def see_whose_and_since_when(shell: Shell) -> None:
    refused = shell.lines("longstop dead list --destination crm --reason rejected")
    assert refused == shell.lines("longstop dead list --status 422")
    assert len(refused) == 8
    assert all(ID.fullmatch(cells[0]) for cells in refused)
    conversations = {f"conversation-{number:03}" for number in range(0, 16, 2)}
    assert {cell for cells in refused for cell in cells if cell.startswith("conversation-")} == conversations
    assert len(shell.lines("longstop dead list --error 'timed out after # s'")) == 6
    locked = {f"conversation-{number:03}" for number in range(16, 36, 2)}
    assert set(shell("longstop dead list --status 500 | cut -f6").split()) == locked
    (found,) = shell.lines("longstop dead list --key conversation-016")
    assert "500" in found
    (found,) = shell.lines("longstop dead list --limit 100 | grep conversation-000")
    assert ID.fullmatch(found[0])
    told = shell(f"longstop events show {found[0]}")
    assert "the number has no country code" in told
    assert told.count("HTTP 422") == 1, "said once"


def see_what_waits(shell: Shell) -> None:
    held = shell.lines("longstop events list --state held --destination crm --limit 1000")
    assert len(held) == 90
    assert all(re.search(rf"held by {ID.pattern}", cells[-1]) for cells in held), "whole ids in a pipe"
    assert shell("longstop events list --state held --limit 1000 | wc -l").strip() == "90"
    first, second, *behind = reversed(shell.lines("longstop events list --key conversation-000"))
    assert (first[-1], second[-1]) == ("crm: delivered", "crm: dead (rejected)")
    assert all("crm: scheduled (held by " in cells[-1] for cells in behind)
    dead = {each["id"] for each in shell.rows("longstop dead list --destination crm --limit 100")}
    waiting = shell.rows("longstop events list --state held --limit 1000")
    assert {each["deliveries"][0]["held_by"] for each in waiting} == dead
    assert {each["deliveries"][0]["waits_for"] for each in waiting} == {"held"}


def mend_one(shell: Shell) -> tuple[str, str]:
    """Send the first refused event with a number that has a country code; its id, and the new one's."""
    (dead,) = shell.rows("longstop dead list --key conversation-000")
    original: str = dead["event_id"]
    shell(f"longstop events show {original} --raw | sed s/0301234567/+49301234567/ > mended.json")
    told = shell(f"longstop replay {original} --edit mended.json --dry-run")
    assert '-  "number": "0301234567"' in told
    assert '+  "number": "+49301234567"' in told
    assert "crm" in told
    (status,) = shell.rows("longstop status")
    assert status["events"] == 300, "a dry run changes nothing"
    (result,) = shell.rows(f'longstop replay {original} --edit mended.json --why "INC-7: country code"')
    return original, result["event_id"]


def give_one_up(shell: Shell) -> str:
    """Discard one that was a test; its event's id."""
    (dead,) = shell.rows("longstop dead list --key conversation-002")
    shell(f"longstop discard {dead['id'][-8:]}", status=2)
    assert shell(f'longstop discard {dead["id"][-8:]} --why "INC-7: a test call"') == "1 discarded\n"
    given_up: str = dead["event_id"]
    return given_up


def let_it_go(shell: Shell) -> None:
    waiting = shell.rows("longstop events list --state scheduled --destination crm --limit 1000")
    assert Counter(each["deliveries"][0]["waits_for"] for each in waiting)["held"] > 20
    assert "INC-7: the CRM is being mended" in shell("longstop status | grep paused")
    assert "by ann: INC-7: the CRM is being mended" in shell("longstop resume crm")


def send_the_rest_again(shell: Shell, original: str) -> None:
    assert shell("longstop replay --all --dry-run").startswith("32 would be replayed; nothing was changed.")
    assert shell('longstop replay --all --rate 20/s --why "INC-7: mended"') == "32 replayed\n"
    (job,) = shell.rows("longstop jobs list")
    assert (job["state"], job["done"], job["by"], job["why"]) == ("done", 32, "ann", "INC-7: mended")
    (left,) = shell.rows("longstop dead list")
    assert left["event_id"] == original, "what was replaced by an edit is left out"


def see_it_drained(shell: Shell, original: str) -> None:
    # The conversation of the one that was mended waits for what becomes of the kept one.
    wait_until(lambda: shell.states("crm") == {"delivered": 296, "dead": 1, "discarded": 1, "scheduled": 3}, "the rest")
    assert shell(f'longstop discard {original} --why "INC-7: replaced"') == "1 discarded\n"
    wait_until(lambda: shell.states("crm") == {"delivered": 299, "discarded": 2}, "its conversation")
    wait_until(lambda: shell.states("screen") == {"delivered": 60}, "the screens")
    assert shell("longstop dead list") == ""
    assert "nothing waits" in shell("longstop status")


def account(shell: Shell, site: Site, accepted: list[str], original: str, edited: str, given_up: str) -> None:
    kept = {each["id"]: each for each in shell.rows("longstop events list --limit 1000")}
    assert set(kept) == {*accepted, edited}
    ended = {(id_, each["destination"]): each["state"] for id_, event in kept.items() for each in event["deliveries"]}
    assert len(ended) == 300 + 60 + 1
    assert {key for key, state in ended.items() if state != "delivered"} == {(original, "crm"), (given_up, "crm")}
    assert {ended[original, "crm"], ended[given_up, "crm"]} == {"discarded"}
    # What was taken, as the CRM has it: every event, and each conversation in its order.
    taken = {each.webhook_id: json.loads(each.body) for each in site.destination.taken}
    assert set(taken) == {
        id_ for (id_, destination), state in ended.items() if (destination, state) == ("crm", "delivered")
    }
    for conversation in range(CONVERSATIONS):
        name = f"conversation-{conversation:03}"
        ids = [sent["id"] for sent in taken.values() if sent["conversationId"] == name]
        assert ids == sorted(ids), name
    trail_of_the_edit(shell, original, edited)


def described() -> set[str]:
    """The command lines of the walk-through in docs/operate.md."""
    _, _, section = (Path(__file__).parents[2] / "docs/operate.md").read_text().partition("\n## A night\n")
    lines = re.findall(r"^\$ (.+)$", section.partition("\n## ")[0], re.MULTILINE)
    assert len(lines) > 15
    return {form(line) for line in lines}


def trail_of_the_edit(shell: Shell, original: str, edited: str) -> None:
    (first,), (second,) = (shell.rows(f"longstop events show {id_}") for id_ in (original, edited))
    (edit,) = first["edits"]
    assert second["made_by"] == edit
    assert (edit["event_id"], edit["parent"], edit["by"], edit["why"]) == (
        edited,
        original,
        "ann",
        "INC-7: country code",
    )
    (discarded,) = [each for each in first["history"][0]["actions"] if each["action"] == "discard"]
    assert (discarded["by"], discarded["why"]) == ("ann", "INC-7: replaced")
    assert edited in shell(f"longstop events show {original}")
    assert original in shell(f"longstop events show {edited}")

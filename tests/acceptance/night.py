"""A night on call, for the tests that get through it: by the command line, over HTTP, in the console.

300 events for two destinations, and five ways to fail: a number that the CRM refuses (422), a table that is locked
(500), answers that come too late, connections that end within an answer, and a call that kills its handler's process.
How each way through is gone stands in docs/operate.md, and the tests do what stands there.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acceptance.destination import OK, Arrival, Reply
from acceptance.harness import LIMIT_S, SQLITE, Site, hex_signature, wait_until

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
url = "{store_url}"
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
ROOT = Path(__file__).parents[2]
SHORT_ID = re.compile(r"\b[0-9a-f]{8}\b")
FULL_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


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


class Night:
    """The gateway, and what it has been sent."""

    def __init__(self, site: Site, more: str = "") -> None:
        self.site, folder = site, site.folder
        ports = {"port": self.site.port, "admin_port": self.site.admin_port}
        text = CONFIGURATION.format(**ports, store_url=self.site.store_url, destination_port=self.site.destination.port)
        self.site.config.write_text(text + more)
        (folder / "screen.py").write_text(SCREEN)
        self.site.destination.script = troubled
        self.gateway = self.site.serve()
        self.accepted = self._post_everything()
        # Whoever answers too late is waited for three times, and each look is two programs: no moment on any machine.
        failed = "everything to be delivered, dead, or held by what is dead"
        wait_until(self._has_failed, failed, limit_s=2 * LIMIT_S)

    @property
    def url(self) -> str:
        """Of the operators' port."""
        return f"http://127.0.0.1:{self.site.admin_port}"

    def mend(self) -> None:
        """The CRM takes everything, and the handler lives."""
        self.site.destination.script = lambda _arrival: OK
        (self.site.folder / "mended").touch()

    def ask(self, *words: str) -> list[Any]:
        """What a command line shows; in a process of its own, for where a browser is, a loop runs in this one."""
        ran = self.site.cli(*words, "--json")
        assert ran.exit == 0, ran.err
        return ran.rows

    def dead_of(self, conversation: str) -> Any:
        """The only dead delivery of a conversation."""
        (found,) = self.ask("dead", "list", "--key", conversation)
        return found

    def states(self, destination: str) -> Counter[str]:
        """How many deliveries of a destination are in each state."""
        (told,) = self.ask("status")
        (row,) = [each for each in told["destinations"] if each["destination"] == destination]
        return +Counter({name: row[name] for name in ("scheduled", "leased", "delivered", "dead", "discarded")})

    def account(self, original: str, edited: str, given_up: str) -> None:
        """Every event ended as it should: the CRM has each one, and each conversation in its order.

        original: the event in whose place `edited` went. given_up: the one that was a test call.
        """
        assert self.states("crm") == {"delivered": 299, "discarded": 2}
        assert self.states("screen") == {"delivered": 60}
        kept = {each["id"]: each for each in self.ask("events", "list", "--limit", "1000")}
        assert set(kept) == {*self.accepted, edited}
        ends = {
            (id_, each["destination"]): each["state"] for id_, event in kept.items() for each in event["deliveries"]
        }
        assert len(ends) == 300 + 60 + 1
        assert {key for key, state in ends.items() if state != "delivered"} == {(original, "crm"), (given_up, "crm")}
        assert {ends[original, "crm"], ends[given_up, "crm"]} == {"discarded"}
        taken = {each.webhook_id: json.loads(each.body) for each in self.site.destination.taken}
        arrived = {id_ for (id_, destination), state in ends.items() if (destination, state) == ("crm", "delivered")}
        assert set(taken) == arrived
        for conversation in range(CONVERSATIONS):
            name = f"conversation-{conversation:03}"
            ids = [sent["id"] for sent in taken.values() if sent["conversationId"] == name]
            assert ids == sorted(ids), name

    def trail(self, original: str, edited: str, by: str) -> None:
        """Both events of an edit say who did what, and why."""
        (first,), (second,) = (self.ask("events", "show", id_) for id_ in (original, edited))
        (edit,) = first["edits"]
        assert second["made_by"] == edit
        assert (edit["event_id"], edit["parent"], edit["by"], edit["why"]) == (
            *(edited, original, by, "INC-7: country code"),
        )
        (discarded,) = [each for each in first["history"][0]["actions"] if each["action"] == "discard"]
        assert (discarded["by"], discarded["why"]) == (by, "INC-7: replaced")

    def _post_everything(self) -> list[str]:
        """Post the 300 in order; their ids."""
        bodies = [body(conversation, turn) for turn in range(TURNS) for conversation in range(CONVERSATIONS)]
        answers = [self.site.post("calls", each, hex_signature(each)) for each in bodies]
        assert {(each.status, each.json["status"]) for each in answers} == {(200, "accepted")}
        return [each.json["id"] for each in answers]

    def _has_failed(self) -> bool:
        return self.states("crm") == {"delivered": 180, "dead": 30, "scheduled": 90} and self.states("screen") == {
            "delivered": 56,
            "dead": 4,
        }


@contextmanager
def night(folder: Path, more: str = "", store_url: str = SQLITE) -> Iterator[Night]:
    """A night in which it has all gone wrong, and whose gateway stops well at the end. more: of its configuration."""
    site = Site(folder, store_url)
    try:
        made = Night(site, more)
        yield made
        made.gateway.stop()
    finally:
        site.close()


def section(heading: str) -> str:
    """One way through the night, as docs/operate.md has it."""
    night_of = (ROOT / "docs" / "operate.md").read_text().partition("\n## A night\n")[2].partition("\n## ")[0]
    return night_of.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]


class Page:
    """The lines of one way through the night, to be typed one after the other.

    The ids that are on the page stand for others on each night: `known` says for which.
    """

    def __init__(self, heading: str) -> None:
        self.text = section(heading)
        self.known: dict[str, str] = {}
        self._left = re.findall(r"^\$ (.+)$", self.text, re.MULTILINE)
        assert len(self._left) > 12, heading

    def next(self, beginning: str) -> str:
        """The next line, with the ids of this night; fails where another was expected."""
        assert self._left, f"the page ends before {beginning}"
        line = self._left.pop(0)
        assert line.startswith(beginning), f"the page goes on with: {line}"
        return SHORT_ID.sub(lambda found: self.known[found[0]], line)

    def is_through(self) -> bool:
        """Whether every line was typed."""
        return not self._left

    def ids(self) -> list[str]:
        """The short ids of its lines, in the order in which they come."""
        return list(dict.fromkeys(SHORT_ID.findall("\n".join(self._left))))

"""A real gateway with real failures, as the console's tests find it: 3 destinations, events that fail in 5 ways.

`crm` keeps the order of a conversation and has one whose first event it never takes; `billing` takes most; `archive` is
paused. Bodies, headers, types, keys and error texts hold markup that must stay text.
"""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acceptance.destination import Arrival, Destination, Reply
from acceptance.harness import BEARER_TOKEN, LIMIT_S, Site, free_port, hex_signature, wait_until

CANARY = "<img src=x onerror=alert(1)><script>alert(2)</script>"
"""Where it is anything but text, the page's policy is violated, or a dialog opens: both fail a test."""

HELD_KEY = "conversation-4711"
MENDABLE = "order.mend"

CONFIGURATION = """\
[server]
port = {port}
admin_port = {admin_port}

[store]
url = "sqlite:///longstop.db"

[console]
name = "night shift"
colour = "violet"

[sources.shop]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }}
secrets = ["${{HMAC_SECRET}}"]
dedup = "id"
type = "type"
key = "customer"

[sources.phone]
kind = "generic"
verify = {{ scheme = "bearer" }}
secrets = ["${{BEARER_TOKEN}}"]
dedup = "id"
type = "type"
key = "customer"

[destinations.crm]
url = "http://127.0.0.1:{crm}/events"
allow_private = true
ordered = true
timeout = "5s"
retry = {{ attempts = 3, first = "50ms", cap = "100ms" }}
breaker = {{ enabled = false }}

[destinations.billing]
url = "http://127.0.0.1:{billing}/hooks?tenant=7"
allow_private = true
timeout = "5s"
retry = {{ attempts = 2, first = "50ms", cap = "100ms" }}
breaker = {{ enabled = false }}

[destinations.archive]
url = "http://127.0.0.1:{billing}/archive"
allow_private = true

[[routes]]
from = "shop"
when = "type != 'order.unrouted'"
to = ["crm", "billing"]

[[routes]]
from = "phone"
to = ["crm", "archive"]
"""


class Scene:
    """The gateway, its destinations, and what they answer."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.site = Site(folder)
        self.billing = Destination(free_port())
        self.crm = self.site.destination
        self.mended = False
        self.crm.script = self._crm
        self.billing.script = self._billing
        ports = {"port": self.site.port, "admin_port": self.site.admin_port}
        text = CONFIGURATION.format(**ports, crm=self.crm.port, billing=self.billing.port)
        self.site.config.write_text(text + more)
        self._gateway = self.site.serve()
        self._number = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.site.admin_port}"

    def close(self) -> None:
        self.site.close()
        self.billing.close()

    def stop(self) -> None:
        """Stop the gateway."""
        self._gateway.stop()

    def start(self) -> None:
        """Start it again, on the same store and ports."""
        self._gateway = self.site.serve()

    # -- what happens ----------------------------------------------------------------------------

    def post(self, source: str, type_: str, customer: str, **more: Any) -> str:
        """One event; its id."""
        self._number += 1
        body = json.dumps({"id": f"{type_}-{self._number}", "type": type_, "customer": customer, **more}).encode()
        proof = hex_signature(body) if source == "shop" else {"Authorization": f"Bearer {BEARER_TOKEN}"}
        answer = self.site.post(source, body, {"Content-Type": "application/json", "X-Canary": CANARY, **proof})
        assert answer.status == 200, answer
        return str(answer.json["id"])

    def fail_in_many_ways(self) -> None:
        """A night's worth: what the pages show."""
        self.site.cli("pause", "archive", "--why", "moving to the new bucket")
        for number in range(12):
            self.post("shop", "order.paid", f"customer-{number % 5}", amount=12345678901234567890 + number)
        for number in range(9):
            self.post("shop", "order.refused", f"customer-{number}", text=f"card {number} is lost")
        for number in range(7):
            self.post("shop", "order.broken", f"order-{number % 3}", lines=list(range(40)))
        self.post("shop", MENDABLE, "customer-mend", amount="twelve", items=[{"sku": "A-1", "count": 1}])
        for number in range(4):
            self.post("phone", "call.ended", HELD_KEY if number % 2 else f"call-{number}", seconds=31 * number)
        self.post("shop", "order.stuck", HELD_KEY, text="the first of its key, and never taken")
        for _ in range(3):
            self.post("shop", "order.paid", HELD_KEY, amount=1)
        self.post("shop", "order.unrouted", "customer-1")
        self.post("shop", CANARY, CANARY, text=CANARY, **{CANARY: [CANARY]})

    def settled(self) -> None:
        """Until everything that can end has ended."""
        wait_until(lambda: self.count("dead") >= 18 and not self._moving(), "the failures to have happened")

    def count(self, state: str, **query: str) -> int:
        return len(self.deliveries(state, **query))

    def deliveries(self, state: str, **query: str) -> list[Any]:
        asked = "&".join(f"{name}={value}" for name, value in {"state": state, "limit": "500", **query}.items())
        return list(self.get(f"deliveries?{asked}")["items"])

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    def _moving(self) -> bool:
        waiting = [
            each
            for each in self.deliveries("scheduled")
            if each["waits_for"] not in ("held", "pause", "retry_after", "circuit")
        ]
        return bool(waiting or self.deliveries("leased"))

    # -- what the destinations answer ------------------------------------------------------------

    def _crm(self, arrival: Arrival) -> Reply:
        type_ = _type(arrival)
        if self.mended or type_ in ("order.paid", "call.ended", "order.broken"):
            return Reply()
        if type_ == "order.stuck":
            return Reply(503, b"try later", {"retry-after": "3600"})
        if type_ == MENDABLE:
            taken = b'"amount": 12' in arrival.body
            return Reply() if taken else Reply(422, b'{"error": "amount: expected a number, found \\"twelve\\""}')
        if type_ == CANARY:
            return Reply(400, CANARY.encode(), {"content-type": "text/html"})
        return Reply(500, f"no customer {arrival.webhook_id}".encode())

    def _billing(self, arrival: Arrival) -> Reply:
        if self.mended or _type(arrival) != "order.broken":
            return Reply()
        return Reply(502, b"<html>bad gateway</html>", {"content-type": "text/html"})


def _type(arrival: Arrival) -> str:
    try:
        return str(json.loads(arrival.body)["type"])
    except (ValueError, KeyError):
        return ""


def night(folder: Path) -> Iterator[Scene]:
    """A scene in which it has happened, for a fixture."""
    made = Scene(folder)
    try:
        made.fail_in_many_ways()
        made.settled()
        yield made
    finally:
        made.close()

"""A gateway in an outage, for the pages that say what is wrong: beside the night's failures a circuit is open.

`erp` answers 503 to everything until it is mended, `door` is a source that anybody may post to, and some requests to
`shop` and `phone` were refused.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from acceptance.destination import Arrival, Destination, Reply
from acceptance.harness import LIMIT_S, free_port, wait_until
from console.scene import Scene

TOKEN = "of-another-gateway-5f0c9a0e"
"""What a refused request showed as its credential. It may be good elsewhere, so no page shows it."""

MORE = """
[sources.door]
kind = "generic"
verify = {{ scheme = "none" }}
dedup = "id"
type = "type"

[destinations.erp]
url = "http://127.0.0.1:{port}/erp"
allow_private = true
retry = {{ first = "1h", cap = "1h", jitter = "none" }}
breaker = {{ failures = 3, probe = "1h", probe_cap = "1h" }}

[[routes]]
from = "door"
to = ["erp"]
"""


class Outage(Scene):
    """The night's scene, with an outage in it."""

    def __init__(self, folder: Path) -> None:
        self.erp = Destination(free_port())
        self.erp.script = self._erp
        super().__init__(folder, MORE.format(port=self.erp.port))

    def close(self) -> None:
        super().close()
        self.erp.close()

    def happen(self) -> None:
        """All of it, until the pages show it: statistics are written every 10 s."""
        self.fail_in_many_ways()
        for number in range(5):
            self.knock(number)
        for _ in range(3):
            self.site.post("shop", b'{"id": "x"}', {"X-Signature": "sha256=00"})
        self.site.post("phone", b"{}", {"Authorization": f"Bearer {TOKEN}"})
        self.site.post("nobody", b"{}", {})
        wait_until(lambda: self.destination("erp")["state"] == "open", "the circuit of erp to open")
        self.settled()
        wait_until(self._is_written, "the statistics to be written")

    def knock(self, number: int) -> None:
        """An event at the door."""
        body = json.dumps({"id": f"knock-{number}", "type": "knock"}).encode()
        answer = self.site.post("door", body, {"Content-Type": "application/json"})
        assert answer.status == 200, answer

    def destination(self, name: str) -> Any:
        return self.get(f"destinations/{name}")

    def total(self, series: str) -> int:
        """How much of it there was in the last hour."""
        (line,) = self.get(f"statistics?series={series}")["series"]
        return int(sum(line["points"]))

    def _is_written(self) -> bool:
        """Whether all that has happened is in the statistics: they may be written in the middle of it."""
        happened = {"accepted": len(self.get("events?limit=500")["items"])}
        happened |= {state: self.count(state) for state in ("delivered", "dead")}
        return {series: self.total(series) for series in happened} == happened

    def decide(self, path: str, **asked: Any) -> Any:
        """POST to the API, as a script does."""
        headers = {"content-type": "application/json"}
        request = Request(f"{self.url}/api/v1/{path}", json.dumps(asked).encode(), headers, method="POST")
        with urlopen(request, timeout=LIMIT_S) as answer:
            return json.load(answer)

    def _erp(self, _arrival: Arrival) -> Reply:
        return Reply() if self.mended else Reply(503, b"the ERP is being upgraded")


def outage(folder: Path) -> Iterator[Outage]:
    """One that has happened, for a fixture."""
    made = Outage(folder)
    try:
        made.happen()
        yield made
    finally:
        made.close()

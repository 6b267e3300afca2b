"""A destination in few lines: takes every event once, though it may come twice, and refuses what it cannot use.

    python destination.py [--port 9000] [--take-receipts]

Without `--take-receipts` it answers a receipt with 422, "never": Longstop parks the delivery at once. Start it
again with the option, replay, and the receipt arrives.
"""

import argparse
import contextlib
import json
import queue
from http.server import BaseHTTPRequestHandler, HTTPServer


class Destination(HTTPServer):
    """The server, and what it has taken. One request at a time, so that nothing comes between look and note."""

    def __init__(self, port: int, take_receipts: bool = False) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.take_receipts = take_receipts
        self.seen: set[str] = set()
        """Ids of events that were taken. A real one keeps them where it keeps what the events did."""
        self.taken: queue.Queue[str] = queue.Queue()


class Handler(BaseHTTPRequestHandler):
    """One delivery."""

    server: Destination

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        event_id = self.headers["webhook-id"]
        if event["type"] == "Receipt" and not self.server.take_receipts:
            self._answer(422, {"error": "receipts are not understood here"})
            return
        # Delivery is at least once: the id is the same in every attempt and every replay.
        if event_id not in self.server.seen:
            self.server.seen.add(event_id)
            self.server.taken.put(event_id)
            print(f"{event['type']}: event {event_id}, attempt {self.headers['Longstop-Attempt']}", flush=True)
        self._answer(200, {"taken": True})

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: `do_POST` does."""

    def _answer(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--take-receipts", action="store_true")
    options = parser.parse_args()
    with Destination(options.port, options.take_receipts) as destination, contextlib.suppress(KeyboardInterrupt):
        destination.serve_forever()


if __name__ == "__main__":
    main()

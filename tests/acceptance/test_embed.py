"""The gateway inside a FastAPI application: the example of the documentation, served by uvicorn, posted to."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from acceptance.harness import BEARER_TOKEN, SQLITE, Answer, Process, Site, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def start(site: Site, lease: str = "15s") -> Process:
    """The example as a person runs it, in a folder of its own."""
    for name in ("fastapi_app.py", "fastapi_app.toml"):
        shutil.copy(EXAMPLES / name, site.folder)
    config = site.folder / "fastapi_app.toml"
    config.write_text(config.read_text().replace(SQLITE, site.store_url) + f'\n[worker]\nlease = "{lease}"\n')
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", str(site.port)]
    return site.run_in_background(command, "uvicorn", ORDERS_TOKEN=BEARER_TOKEN).ready(says="Uvicorn running")


def post(site: Site, order: dict[str, Any], token: str = BEARER_TOKEN) -> Answer:
    """Post an order as its sender would."""
    return site.request("POST", "/webhooks/orders", json.dumps(order).encode(), {"Authorization": f"Bearer {token}"})


def test_the_handler_is_called_with_what_was_posted(site: Site) -> None:
    app = start(site)
    order = {"id": "1", "type": "order.paid", "conversationId": "c-1"}
    answer = post(site, order)
    assert (answer.status, answer.json["status"]) == (200, "accepted")
    id_ = answer.json["id"]
    wait_until(lambda: f"orders: event {id_}, type order.paid, key c-1" in app.out, "the handler to be called")
    assert post(site, order).json == {"status": "duplicate", "id": id_}
    assert post(site, order, token="wrong").status == 401
    assert site.request("GET", "/", b"", {}).json == {"hello": "world"}
    later = post(site, {"id": "2", "conversationId": "c-1", "crm": "closed"}).json["id"]
    wait_until(lambda: f"event {later}," in app.out, "the handler to be called a second time")
    assert app.out.count(f"orders: event {id_},") == 1
    app.terminate()
    app.wait()
    assert "Application shutdown complete" in app.err
    assert "Traceback" not in app.err


def test_what_was_accepted_before_a_kill_is_handled_after_it(site: Site) -> None:
    # What a killed application held comes back after a second, not after fifteen.
    app = start(site, lease="1s")
    ids = [post(site, {"id": str(number), "conversationId": "c-1"}).json["id"] for number in range(20)]
    app.kill()
    seen = app.out
    again = start(site, lease="1s")
    wait_until(lambda: all(f"event {id_}," in seen + again.out for id_ in ids), "every event to be handled")

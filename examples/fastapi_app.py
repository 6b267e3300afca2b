"""A FastAPI application with Longstop inside: what is posted to it is on disk before the 200, and then handled.

Start it, post to it, post it again (the second time the answer is "duplicate", and the handler is not called):

    export ORDERS_TOKEN=choose-a-long-one
    uvicorn fastapi_app:app --app-dir examples --port 8000
    curl -i http://127.0.0.1:8000/webhooks/orders -H "Authorization: Bearer $ORDERS_TOKEN" \\
        -d '{"id": "1", "type": "order.paid", "conversationId": "c-1"}'

Kill it with `kill -9` while an event is being handled, start it again, and the event is handled again: delivery is
at least once, so keep `event.id` with what the handler does, and do nothing for an id that is known.
"""

from pathlib import Path

from fastapi import FastAPI

from longstop import Event, Longstop, Reject, RetryLater

gateway = Longstop(Path(__file__).with_name("fastapi_app.toml"))
failed: set[str] = set()


@gateway.handler("crm")
async def update_crm(event: Event) -> None:
    """Returning means delivered. RetryLater says when to come back, Reject says never; any other error is a retry."""
    order = event.json()
    if "conversationId" not in order:
        raise Reject("no conversation to put it in")
    if order.get("crm") == "closed" and event.id not in failed:
        failed.add(event.id)
        raise RetryLater(after=1, why="the CRM is closed; the next attempt finds it open")
    print(f"{event.source}: event {event.id}, type {event.type}, key {event.key}", flush=True)


app = FastAPI(lifespan=gateway.lifespan)
app.mount("/webhooks", gateway.ingest)


@app.get("/")
def hello() -> dict[str, str]:
    """The rest of the application, beside the webhooks."""
    return {"hello": "world"}

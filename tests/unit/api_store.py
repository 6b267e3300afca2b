"""A store with something of everything, for tests of what the API shows."""

from dataclasses import replace

from cli_program import NOW_MS

from longstop.model.action import Action, Edit, Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, DeadReason, Outcome, OutcomeKind, Transition, Trigger
from longstop.model.event import Headers, Origin
from longstop.model.exchange import Request
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.node import Node
from longstop.model.rejection import HeldRequest, HoldSettings, Rejection, RejectionCount, RejectionReason
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append, make_quarantined

TEXT = """\
[sources.shop]
kind = "generic"
verify = { scheme = "header", header = "X-Shop-Key" }
secrets = ["hunter2-hunter2"]
dedup = "id"
type = "type"
key = "key"

[destinations.crm]
url = "http://127.0.0.1:9/hook?token=hunter2"
headers = { Authorization = "Bearer hunter2" }
allow_private = true

[destinations.billing]
url = "http://127.0.0.1:9/billing"
allow_private = true
ordered = true

[destinations.code]
handler = "builtins:print"

[[routes]]
from = "shop"
when = "wanted"
to = ["crm", "billing"]
"""

SCHEDULED, DEAD, RETRIED, QUARANTINED, UNROUTED, HOLDER, HELD = range(1, 8)
"""The numbers of its events."""


async def fill(store: Store) -> None:
    lane = {"lane": "shop:talk/1"}
    holder = make_append(HOLDER, ("billing",), key="talk/1")
    held = make_append(HELD, ("billing",), key="talk/1", body=b"\xff\x00 no text")
    await store.append(
        [
            make_append(SCHEDULED, due_at_ms=NOW_MS + 60_000, headers=Headers([("Authorization", "Basic hunter2")])),
            make_append(DEAD),
            make_append(RETRIED, ("code",)),
            make_quarantined(QUARANTINED),
            make_append(UNROUTED, ()),
            *(replace(each, deliveries=(replace(each.deliveries[0], **lane),)) for each in (holder, held)),
        ]
    )
    await _die(store)
    (claim,) = (await store.lease(LeaseRequest("w", {"code": 1}, AT_MS, AT_MS + 1))).claims
    attempt = Attempt(1, 1, AT_MS, 7, OutcomeKind.RETRY, 503, "it is down", b"sorry \xff", "a.py:1 in f\nb.py:2 in g")
    retry = Transition(Trigger.RETRY, AT_MS, due_at_ms=AT_MS)
    await store.settle([Settlement(claim.delivery.after(retry), attempt)])
    await store.act([Action(claim.delivery.id, Transition(Trigger.EXPEDITE, AT_MS, due_at_ms=AT_MS), "ann", "now")])
    edited = make_append(20, parent=event_id(DEAD), origin=Origin.REPLAY)
    await store.replace(edited, Edit(edited.event.id, event_id(DEAD), AT_MS, "ann", "typo"), [dead_id()])
    await store.beat(Node("host:1", ("ingest", "work"), "0.1.0", AT_MS, NOW_MS))
    await store.pause(Pause("code", AT_MS, "ann", "moving"))
    assert await store.change_circuit("crm", 0, Circuit("crm", AT_MS, NOW_MS + 5_000, 1_000, "40 in a row failed"))
    request = Request(Headers([("Host", "x")]), b"secret?", method="POST", path="/", client="192.0.2.1")
    refused = Rejection(event_id(30), "shop", AT_MS, RejectionReason.NO_PROOF, 401, ("no X-Shop-Key",), request, 7)
    counts = [RejectionCount("shop", RejectionReason.NO_PROOF, 3, AT_MS, AT_MS + 5)]
    await store.record_rejections(counts, [refused])
    await store.hold([HeldRequest(event_id(31), "shop", AT_MS, request)], {"shop": HoldSettings()})


async def _die(store: Store) -> None:
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 1))).claims
    outcome = Outcome(OutcomeKind.REJECT, 422, "HTTP 422", answer=b"no")
    attempt = Attempt(1, 1, AT_MS, 7, outcome.kind, outcome.status, outcome.error, outcome.answer)
    park = Transition(Trigger.PARK, AT_MS + 60_000, reason=DeadReason.REJECTED)
    await store.settle([Settlement(claim.delivery.tried(outcome).after(park), attempt)])


def dead_id() -> str:
    return delivery_id(event_id(DEAD), 0)

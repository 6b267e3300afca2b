"""Two senders of one gateway: what one of them sends must not hold up what comes from the other."""

from acceptance.destination import Arrival, Reply
from acceptance.harness import Site

LEDGER = """
[sources.forum]
kind = "generic"
verify = {{ scheme = "none" }}
key = "customer"

[destinations.ledger]
url = "http://127.0.0.1:{port}/"
allow_private = true
ordered = true
"""
ROUTES = """
[[routes]]
from = ["shop", "forum"]
to = ["ledger"]
{order}
"""


def poison_of_the_forum(arrival: Arrival) -> Reply:
    return Reply(422) if arrival.headers["longstop-source"] == "forum" else Reply()


def post_both(site: Site, order: str = "") -> tuple[str, str]:
    """A dead event of one source, then one of another with the same key; their ids."""
    site.destination.script = poison_of_the_forum
    more = LEDGER.format(port=site.destination.port)
    site.configure(more=more, routes=ROUTES.format(order=order))
    site.serve()
    answer = site.post("forum", b'{"customer": "victim-42"}', {"Content-Type": "application/json"})
    poison = str(answer.json["id"])
    assert site.wait_for_state(poison, "dead")["reason"] == "rejected"
    return poison, site.accept("shop", b'{"id": "order-1", "customer": "victim-42"}')


def test_a_dead_event_of_one_source_holds_nothing_of_another_with_the_same_key(site: Site) -> None:
    _, id_ = post_both(site)
    site.wait_for_state(id_, "delivered")


def test_where_the_routes_say_so_they_share_one_order(site: Site) -> None:
    poison, id_ = post_both(site, order='order_with = "customer"')
    other = site.accept("shop", b'{"id": "order-2", "customer": "another"}')
    site.wait_for_state(other, "delivered")
    assert site.delivery(id_)["state"] == "scheduled", "held by the dead one of its key"
    assert site.cli("discard", poison, "--why", "not ours").exit == 0
    site.wait_for_state(id_, "delivered")

"""What a store on AWS cannot take: an event for more destinations than one transaction writes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from longstop.config.errors import Problem

ITEMS_MAX = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-dynamodb-transactions"""
OF_EVENT = 4
"""The event, its dedup key, the counter of its source, and the marks."""
OF_DELIVERY, OF_ORDERED = 2, 4
"""It and a counter; and its row in its lane, and that one's head."""

Raw = Mapping[str, Any]


def errors(document: Raw) -> Iterator[Problem]:
    """Routes that send every event of a source to too many. A condition may let each event to a few of many."""
    url = _table(document, "store").get("url")
    if not isinstance(url, str) or not url.startswith("aws://"):
        return
    items: Counter[str] = Counter()
    for place, route in enumerate(_list(document, "routes")):
        if not isinstance(route, Mapping) or "when" in route:
            continue
        more = sum(_items(document, name) for name in _list(route, "to"))
        for source in _sources(document, route):
            items[source] += more
            if items[source] > ITEMS_MAX - OF_EVENT >= items[source] - more:
                found = f"found more destinations for every event of {source} than a store on AWS keeps together"
                yield Problem(("routes", place, "to"), found, "at most 48, or 24 that are ordered")


def _items(document: Raw, destination: Any) -> int:
    settings = _table(document, "destinations").get(destination) if isinstance(destination, str) else None
    return OF_ORDERED if isinstance(settings, Mapping) and settings.get("ordered") is True else OF_DELIVERY


def _sources(document: Raw, route: Raw) -> list[str]:
    given = route.get("from")
    named = given if isinstance(given, list) else [given]
    return list(_table(document, "sources")) if "*" in named else [each for each in named if isinstance(each, str)]


def _table(node: Raw, key: str) -> Raw:
    found = node.get(key)
    return found if isinstance(found, Mapping) else {}


def _list(node: Raw, key: str) -> list[Any]:
    found = node.get(key)
    return found if isinstance(found, list) else []

"""What a configuration may not ask of a store on AWS."""

from pathlib import Path

import pytest

from longstop import config
from longstop.model.errors import ConfigurationError

AWS = "aws://eu-central-1?table=longstop"
REFUSED = (
    "routes[{place}].to: found more destinations for every event of shop than a store on AWS keeps together; "
    "expected at most 48, or 24 that are ordered"
)


def text(plain: int, ordered: int = 0, url: str = AWS, routes: int = 1, when: str = "", source: str = "shop") -> str:
    """So many destinations in so many routes of one source."""
    names = [f"d{number}" for number in range(plain + ordered)]
    made = [f'[store]\nurl = "{url}"\n[sources.shop]\nkind = "generic"\nverify = {{ scheme = "none" }}']
    for number, name in enumerate(names):
        order = "true" if number < ordered else "false"
        made.append(f'[destinations.{name}]\nurl = "http://127.0.0.1:9/"\nallow_private = true\nordered = {order}')
    for part in range(routes):
        to = ", ".join(f'"{name}"' for name in names[part::routes])
        made.append(f'[[routes]]\nfrom = "{source}"\nto = [{to}]\n{when}')
    return "\n".join(made)


def errors(document: str) -> tuple[str, ...]:
    try:
        config.parse(document, where="longstop.toml", environ={}, base=Path("/nowhere"))
    except ConfigurationError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (text(49), 0),
        (text(0, 25), 0),
        (text(2, 24), 0),
        (text(60, routes=2), 1),
        (text(49, source="*"), 0),
    ],
)
def test_more_destinations_than_a_transaction_writes_are_refused(document: str, place: int) -> None:
    assert errors(document) == (REFUSED.format(place=place),)


@pytest.mark.parametrize(
    "document",
    [
        text(48),
        text(0, 24),
        text(60, url="sqlite:///longstop.db"),
        text(60, routes=20, when="when = \"type == 'a'\""),
    ],
)
def test_others_are_taken(document: str) -> None:
    assert errors(document) == ()

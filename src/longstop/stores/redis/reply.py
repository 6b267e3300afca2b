"""What Redis answers, in the form that the two versions of its protocol have in common."""

from collections.abc import Iterable, Mapping
from typing import Any


def pairs(found: Any) -> list[tuple[bytes, Any]]:
    """Pairs of a hash or of a sorted set with its scores, in whichever form they came."""
    if isinstance(found, Mapping):
        return list(found.items())
    found = list(found)
    if found and isinstance(found[0], list | tuple):
        return [(each[0], each[1]) for each in found]
    return list(zip(found[::2], found[1::2], strict=True))


def texts(found: Iterable[bytes]) -> list[str]:
    """Ids and names as text."""
    return [each.decode("utf-8", "surrogatepass") for each in found]

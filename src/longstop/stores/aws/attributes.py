"""Between plain values and what DynamoDB calls an attribute: text, whole numbers, bytes."""

from collections.abc import Mapping
from typing import Any

Value = str | int | bytes
Item = dict[str, Value]
"""An item: `pk` and `sk`, its key, `v`, the stamp of the transaction that wrote it, and what it says."""
Key = tuple[str, str]
"""An item's `pk` and `sk`."""
Wire = dict[str, dict[str, Any]]


def to_wire(item: Mapping[str, Value]) -> Wire:
    """An item, or a part of one, as the service takes it."""
    return {name: attribute(value) for name, value in item.items()}


def attribute(value: Value) -> dict[str, Any]:
    """One value as the service takes it."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    return {"B": value}


def from_wire(wire: Mapping[str, Mapping[str, Any]]) -> Item:
    """An item as the service answered with it."""
    return {name: _value(typed) for name, typed in wire.items()}


def _value(typed: Mapping[str, Any]) -> Value:
    kind: str
    value: Value
    ((kind, value),) = typed.items()
    if kind != "N":
        return value
    try:
        return int(value)
    except ValueError:
        # No number that this store writes: whoever needs it says what is wrong with its row.
        return value


def key_of(item: Mapping[str, Value]) -> Key:
    """An item's key."""
    return str(item["pk"]), str(item["sk"])


def wire_key(key: Key) -> Wire:
    """A key as the service takes it."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def size_of(item: Mapping[str, Value]) -> int:
    """About how many bytes an item is to the service: names and values.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name) + (len(value) if isinstance(value, bytes | str) else 20) for name, value in item.items())

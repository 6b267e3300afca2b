"""A template as YAML that people read: mappings and lists in blocks, text in quotes only where it needs them."""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./() -]*[A-Za-z0-9_/)]|[A-Za-z]")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What a reader of YAML 1.1 or 1.2 takes for something else."""


def to_yaml(value: dict[str, Any]) -> str:
    """It as YAML."""
    return "\n".join(_block(value)) + "\n"


def _block(value: Any) -> Iterator[str]:
    pairs = [(f"{_scalar(name)}:", each) for name, each in value.items()] if isinstance(value, dict) else []
    items = [("-", each) for each in value] if isinstance(value, list) else []
    for head, each in pairs or items:
        if not each or not isinstance(each, dict | list):
            yield f"{head} {_scalar(each)}"
            continue
        lines = list(_block(each))
        if head == "-":
            yield f"- {lines[0]}"
            lines = lines[1:]
        else:
            yield head
        yield from (f"  {line}" for line in lines)


def _scalar(value: Any) -> str:
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)

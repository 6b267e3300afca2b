"""Where a path of JMESPath leads, and changing what stands there.

JMESPath itself answers with values, and not with where they were. Here the tree that it parses an expression to is
gone through over a document. Only expressions that are paths can be: fields, places, `[*]`, `[]`, `.*`, filters and
slices. Where an expression of any kind reads from can be told, too (`read_from`), at least roughly.
"""

from collections.abc import Callable
from typing import Any

Node = dict[str, Any]
"""A part of a parsed expression: its type, its children, its value."""

Change = Callable[[Any], Any]
"""What becomes of a value."""


def is_path(node: Node) -> bool:
    """Whether a parsed expression says where something stands, and does not compute."""
    kind = node["type"]
    # Where a list is cut, and by what it is filtered, is no part of the way.
    children = [] if kind == "slice" else node["children"][: 2 if kind == "filter_projection" else None]
    return kind in _WAYS and all(is_path(each) for each in children)


def change(node: Node, value: Any, how: Change) -> Any:
    """The value, with `how` applied to all that a parsed path selects in it."""
    if isinstance(value, str):
        # It may be a document of its own: what the path selects in there is not to be seen either.
        return how(value)
    return _WAYS[node["type"]](node, value, how)


def _field(node: Node, value: Any, how: Change) -> Any:
    name = node["value"]
    return {**value, name: how(value[name])} if isinstance(value, dict) and name in value else value


def _index(node: Node, value: Any, how: Change) -> Any:
    place = node["value"]
    if not isinstance(value, list) or not -len(value) <= place < len(value):
        return value
    return [how(each) if at == place % len(value) else each for at, each in enumerate(value)]


def _here(_node: Node, value: Any, how: Change) -> Any:
    return how(value)


def _one_in_another(node: Node, value: Any, how: Change) -> Any:
    first, *rest = node["children"]
    if not rest:
        return change(first, value, how)
    behind = {**node, "children": rest}
    return change(first, value, lambda found: change(behind, found, how))


def _each(node: Node, value: Any, how: Change) -> Any:
    """`[*].x`, `[?…].x`, `[].x`, `[1:3].x`: every element, whatever is left out of them."""
    left, right = node["children"][:2]

    def each(found: Any) -> Any:
        if isinstance(found, list):
            return [_below(right, element, how) for element in found]
        return how(found) if isinstance(found, str) else found

    return change(left, value, each)


def _each_value(node: Node, value: Any, how: Change) -> Any:
    left, right = node["children"][:2]

    def each(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: change(right, element, how) for name, element in found.items()}
        return how(found) if isinstance(found, str) else found

    return change(left, value, each)


def _below(node: Node, element: Any, how: Change) -> Any:
    """An element of a list; of a list within a list, which `[]` flattens, its elements."""
    if isinstance(element, list) and node["type"] != "identity":
        return [_below(node, each, how) for each in element]
    return change(node, element, how)


def _flattened(node: Node, value: Any, how: Change) -> Any:
    return change(node["children"][0], value, how)


def _whole_list(_node: Node, value: Any, how: Change) -> Any:
    return how(value)


_WAYS: dict[str, Callable[[Node, Any, Change], Any]] = {
    "field": _field,
    "index": _index,
    "slice": _whole_list,
    "identity": _here,
    "current": _here,
    "subexpression": _one_in_another,
    "index_expression": _one_in_another,
    "projection": _each,
    "filter_projection": _each,
    "value_projection": _each_value,
    "flatten": _flattened,
}
"""What a path is made of (https://jmespath.org/specification.html), and how each part leads on."""


# -- where an expression reads from ---------------------------------------------------------------------

Path = tuple[str, ...]
"""Names on the way to a value; places in lists are left out."""
ANY = "*"
BELOW = "**"
"""Anything from here on."""
_IN_TURN = frozenset({"subexpression", "index_expression", "pipe"})
_HERE = frozenset({"index", "slice", "identity", "current"})
_NOTHING = frozenset({"literal", "expref"})
"""What a function does with each element is of the list that it is given."""
_AS_IT_IS = frozenset({"or_expression", "and_expression", "flatten"})


def read_from(node: Node, at: frozenset[Path] = frozenset({()})) -> frozenset[Path]:
    """Where what a parsed expression comes to may have stood in the document, and all that is below."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return frozenset((*path, node["value"]) for path in at)
    if kind in _HERE or kind in _NOTHING:
        return at if kind in _HERE else frozenset()
    if kind in _IN_TURN:
        for child in children:
            at = read_from(child, at)
        return at
    if kind in ("projection", "filter_projection", "value_projection"):
        found = read_from(children[0], at)
        each = frozenset((*path, ANY) for path in found) if kind == "value_projection" else found
        return read_from(children[1], each)
    found = frozenset[Path]().union(*(read_from(child, at) for child in children))
    # What is made of several, or computed, has other names within.
    return found if kind in _AS_IT_IS else frozenset((*path, BELOW) for path in found)


def overlap(one: Path, other: Path) -> bool:
    """Whether what stands at one of two paths may hold what stands at the other."""
    for left, right in zip(one, other, strict=False):
        if BELOW in (left, right):
            return True
        if left != right and ANY not in (left, right):
            return False
    return True

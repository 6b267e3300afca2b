"""What stands behind the `?` of a URL in the configuration."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from longstop.config.errors import Fault, listed, nearest, quoted


def options_of(query: str, known: Sequence[str]) -> dict[str, str]:
    """Name to value, each of these names once at most. Raises Fault."""
    pairs = parse_qsl(query, keep_blank_values=True)
    found = dict(pairs)
    for name in found:
        if name not in known:
            raise Fault(f"found the option {quoted(name)}", listed(known), nearest(name, known))
    if len(found) < len(pairs):
        raise Fault("found an option twice", "each once")
    return found

"""What works and is hardly meant: settings that do nothing, secrets that cannot be right, words without their braces.

It looks at the document as written, as `rules` does, and takes whatever stands there, so that a person hears of these
together with the errors.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from longstop.config import values
from longstop.config.errors import Fault, Loc, Problem, quoted
from longstop.config.shape import SOURCE_KINDS
from longstop.config.values import Surroundings

Raw = Mapping[str, Any]

_BRACELESS = re.compile(
    r"\$([A-Za-z_][A-Za-z0-9_]*)|%([A-Za-z_][A-Za-z0-9_]*)%|(?:env:|\$env:)([A-Za-z_][A-Za-z0-9_]*)"
)
"""A whole text that other programs would read as a variable's name."""
_BRACELESS_WITHIN = re.compile(r"\$([A-Z][A-Z0-9_]+)\b")
"""The same inside of a URL or a header, where a dollar may also be meant (`$filter`)."""


def warnings(document: Raw, around: Surroundings) -> Iterator[Problem]:
    """What a person would want to know before events are lost to it."""
    for where, text in _texts((), document):
        yield from _variable_without_braces(where, text)
    for where, source in _tables(document, "sources"):
        for place, text in enumerate(_list(source, "secrets")):
            yield from _odd_secret((*where, "secrets", place), text, around)
    for where, destination in _tables(document, "destinations"):
        yield from _of_destination(where, destination, document, around)
    alerts = _table(document, "alerts")
    yield from _secret_in_the_open(("alerts",), alerts, around)
    for where, channel in _tables(alerts, "channels"):
        yield from _secret_in_the_open(("alerts", *where), channel, around)
    yield from _useless_routes(document)


# -- looking at what was written ----------------------------------------------------------------


def _table(node: Raw, key: str) -> Raw:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _tables(node: Raw, key: str) -> list[tuple[Loc, Raw]]:
    return [((key, name), value) for name, value in _table(node, key).items() if isinstance(value, Mapping)]


def _list(node: Any, key: str) -> list[Any]:
    value = node.get(key) if isinstance(node, Mapping) else None
    return value if isinstance(value, list) else []


def _texts(where: Loc, node: Any) -> Iterator[tuple[Loc, str]]:
    """Every text of the document with its place."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _texts((*where, key), value)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _texts((*where, place), value)
    elif isinstance(node, str):
        yield where, node


# -- variables and secrets ----------------------------------------------------------------------

_SECRETS = {"secrets", "password", "token", "client_secret", "client_id", "routing_key", "api_key", "secret"}
_WITH_VARIABLES = {"url", "token_url", "headers", "ca", "cert", "key"}


def _variable_without_braces(where: Loc, text: str) -> Iterator[Problem]:
    named = None
    if not _SECRETS.isdisjoint(where):
        named = _BRACELESS.fullmatch(text.strip())
    elif where[0] in ("store", "destinations", "alerts") and not _WITH_VARIABLES.isdisjoint(where):
        named = _BRACELESS_WITHIN.search(text)
    if named is not None:
        name = next(filter(None, named.groups()))
        found = f"found the name {name} without braces, which is taken as it stands"
        yield Problem(where, found, f"${{{name}}}", "only with braces is it a variable")


def _odd_secret(where: Loc, text: Any, around: Surroundings) -> Iterator[Problem]:
    """A secret that was copied with something around it: no signature will ever fit."""
    if not isinstance(text, str):
        return
    try:
        secret, marked = values.secret_and_mark(text, around)
    except Fault:
        return
    if marked:
        found = "found a byte order mark at the start of its file, which is dropped"
        yield Problem(where, found, "the secret alone", "save the file as UTF-8 without one")
    if secret != secret.strip():
        found = "found a space or a line break at an end of the secret, which is taken as a part of it"
        yield Problem(where, found, "the secret alone", "remove it, unless the sender has it too")


# -- destinations -------------------------------------------------------------------------------


def _of_destination(where: Loc, destination: Raw, document: Raw, around: Surroundings) -> Iterator[Problem]:
    senders = _senders_to(where[-1], document)
    if not senders:
        found = "found no route that leads to it, so it gets no event"
        yield Problem(where, found, "its name in the `to` of a route", "add one, or remove the table")
    if destination.get("ordered") is True and senders and not any(_has_key(each) for each in senders):
        found = "found it, and no source of its events has a key, so nothing is put in order"
        hint = 'as in key = "conversationId"'
        yield Problem((*where, "ordered"), found, "key at a source that leads here", hint)
    statuses = _list(_table(destination, "retry"), "statuses")
    always = [status for status in statuses if isinstance(status, int) and 500 <= status < 600]
    if always:
        found = f"found {', '.join(map(str, always))}, which is tried again in any case, as every 5xx"
        yield Problem((*where, "retry", "statuses"), found, "statuses from 400 to 499", "remove what is over that")
    yield from _secret_in_the_open(where, destination, around)


def _senders_to(name: Any, document: Raw) -> list[Raw]:
    """The sources whose routes name a destination."""
    sources = _table(document, "sources")
    from_ = [_from(each, sources) for each in _list(document, "routes") if name in _list(each, "to")]
    return [sources[source] for names in from_ for source in names if isinstance(sources.get(source), Mapping)]


def _from(route: Any, sources: Raw) -> list[str]:
    """The names of the sources that a route takes events of: one, a list of them, or "*"."""
    named = route.get("from") if isinstance(route, Mapping) else None
    names = named if isinstance(named, list) else [named]
    return list(sources) if "*" in names else [name for name in names if isinstance(name, str)]


def _has_key(source: Raw) -> bool:
    kind = SOURCE_KINDS.get(str(source.get("kind")))
    return "key" in source or (kind is not None and kind.own_key)


def _secret_in_the_open(where: Loc, table: Raw, around: Surroundings) -> Iterator[Problem]:
    """What a variable holds goes over the wire in the clear."""
    url = table.get("url")
    if not isinstance(url, str) or not url.lower().startswith("http://") or _is_near(url, around):
        return
    with_secret = ["url"] if "${" in url else []
    with_secret += ["auth"] if _table(table, "auth") else []
    with_secret += [f"headers.{name}" for name, text in _table(table, "headers").items() if "${" in str(text)]
    if with_secret:
        found = f"found http://, over which everybody on the way reads what {' and '.join(with_secret)} holds"
        yield Problem((*where, "url"), found, "https://", "unless the network is your own")


def _is_near(url: str, around: Surroundings) -> bool:
    try:
        host = urlsplit(values.http_url(url, around)).hostname or ""
    except (Fault, ValueError):
        return True
    address = values.address(host)
    return host == "localhost" or bool(address and (address.is_loopback or address.is_private))


# -- routes -------------------------------------------------------------------------------------


def _useless_routes(document: Raw) -> Iterator[Problem]:
    """A route adds nothing where others of its source lead to the same destinations whatever the event says."""
    sources = _table(document, "sources")
    routes = [each for each in _list(document, "routes") if isinstance(each, Mapping)]
    for place, route in enumerate(routes):
        names, to = set(_from(route, sources)), set(map(str, _list(route, "to")))
        covering = [
            other
            for other, each in enumerate(routes)
            if other != place
            and names <= set(_from(each, sources))
            and to & set(map(str, _list(each, "to")))
            and _takes_all_of(each, route, first=other < place)
        ]
        reached = {str(name) for other in covering for name in _list(routes[other], "to")}
        if names and to and to <= reached:
            by = " and ".join(f"routes[{other}]" for other in covering)
            found = f"found a route that adds nothing: all its events go to {quoted(', '.join(sorted(to)))} by {by}"
            yield Problem(("routes", place), found, "another `when` or `to`", "remove one of them")


def _takes_all_of(wide: Raw, narrow: Raw, first: bool) -> bool:
    """Whether every event of one route goes by another one too, for at least as long. Of two alike the first counts."""
    if "expire_after" in wide and wide.get("expire_after") != narrow.get("expire_after"):
        return False
    if "when" in wide and wide["when"] != narrow.get("when"):
        return False
    alike = all(wide.get(key) == narrow.get(key) for key in ("when", "expire_after"))
    return first or not alike

"""What several keys of the configuration have to agree on, and what is allowed but unwise.

The rules look at the document as it was written, not at the validated one, so that they also speak where
some other key is wrong: a person gets every fault in one go. What is not of the right type is passed over
here, for `shape` has said so already.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args
from urllib.parse import urlsplit

from longstop.config import alert_rules, auth_rules, aws_rules, operators, store_urls, values
from longstop.config.errors import Fault, Loc, Problem, listed, nearest, quoted, shown
from longstop.config.shape import ALL, SOURCE_KINDS, Kind, ServerTable, StoreTable
from longstop.config.values import Surroundings
from longstop.model.retry import RetryPolicy
from longstop.model.settings import Scheme

Raw = Mapping[str, Any]

_SCHEMES: tuple[str, ...] = get_args(Scheme)
_HMAC = tuple(scheme for scheme in _SCHEMES if scheme.startswith("hmac-"))
_SCHEMES_OF = {
    "header": (*_HMAC, "header"),
    "encoding": _HMAC,
    "prefix": _HMAC,
    "username": ("basic",),
    "content": _HMAC,
    "timestamp_header": _HMAC,
    "id_header": _HMAC,
    "signature_part": _HMAC,
    "timestamp_part": _HMAC,
}
"""Which schemes a key of `verify` belongs to."""

_SIGNS_A_TIME = ("cxone-expert", "slack", "standard-webhooks", "stripe")
"""Kinds whose own scheme signs a time."""
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")

RESERVED_HEADERS = frozenset(
    "webhook-id webhook-timestamp webhook-signature idempotency-key longstop-attempt longstop-source content-type "
    "content-length content-encoding host transfer-encoding connection keep-alive te trailer upgrade expect".split()
)
"""Headers that a delivery sets itself or that belong to the connection."""

GENESYS_SECRET_CHARS_MIN = 16
"""Genesys Cloud Open Messaging takes a signature secret only if it is longer than 15 characters."""


def errors(document: Raw, around: Surroundings) -> Iterator[Problem]:
    """Everything that keeps the configuration from being used and that no single key shows."""
    yield from _server(_table(document, "server"))
    yield from _store(_table(document, "store"), around)
    yield from aws_rules.errors(document)
    yield from operators.errors(document)
    yield from alert_rules.errors(document, around)
    for where, channel in _alert_channels(document):
        yield from _headers((*where, "headers"), _table(channel, "headers"))
    yield from _sources(document, around)
    for where, destination in _tables(document, "destinations"):
        yield from _name(where, "destination")
        yield from _destination(where, destination, around)
    yield from _routes(document, around)


def warnings(document: Raw, around: Surroundings) -> Iterator[Problem]:
    """What works, and what the person would probably want to know. For a document without errors."""
    yield from operators.warnings(document)
    for where, source in _tables(document, "sources"):
        yield from _unwise_secrets(where, source, around)
        yield from _open_to_all(where, source)
    for where, destination in _tables(document, "destinations"):
        yield from _unreachable(where, destination, around)
        yield from _unset((*where, "env"), _list(destination, "env"), around)
        yield from auth_rules.warnings(where, destination)
    yield from alert_rules.warnings(document)
    for where, channel in _alert_channels(document):
        yield from _unreachable(where, channel, around)
    for place, route in enumerate(_list(document, "routes")):
        yield from _misquoted(("routes", place, "when"), _text(route, "when"))


# -- looking at what may be anything ------------------------------------------------------------


def _table(node: Raw, key: str) -> Raw:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def _tables(node: Raw, key: str) -> list[tuple[Loc, Raw]]:
    return [((key, name), value) for name, value in _table(node, key).items() if isinstance(value, Mapping)]


def _alert_channels(document: Raw) -> list[tuple[Loc, Raw]]:
    """`[alerts]`, which may be a channel itself, and those in it."""
    alerts = _table(document, "alerts")
    return [(("alerts",), alerts), *((("alerts", *where), each) for where, each in _tables(alerts, "channels"))]


def _list(node: Raw, key: str) -> list[Any]:
    value = node.get(key)
    return value if isinstance(value, list) else []


def _text(node: Any, key: str) -> str:
    value = node.get(key) if isinstance(node, Mapping) else None
    return value if isinstance(value, str) else ""


def _duration(node: Raw, key: str, default: int) -> int | None:
    try:
        return values.duration(node[key]) if key in node else default
    except Fault:
        return None


# -- server -------------------------------------------------------------------------------------


def _server(server: Raw) -> Iterator[Problem]:
    keys = ServerTable.by_key()
    port, admin_port = (server.get(key, keys[key].default) for key in ("port", "admin_port"))
    if isinstance(port, int) and port == admin_port:
        culprit = "admin_port" if "admin_port" in server else "port"
        yield Problem(
            ("server", culprit),
            f"found {shown(port)} for both port and admin_port",
            "two different ports",
            "senders must not reach the operators' side",
        )


# -- store --------------------------------------------------------------------------------------


def _store(store: Raw, around: Surroundings) -> Iterator[Problem]:
    if "spool" not in store:
        for key in (each for each in store if str(each).startswith("spool_")):
            yield Problem(
                ("store", key), "found it without a spool", "a spool beside it", 'spool = "sqlite:///spool.db"'
            )
        return
    with contextlib.suppress(Fault):
        url = _text(store, "url") or str(StoreTable.by_key()["url"].default)
        if store_urls.store(url, around).path == store_urls.spool(_text(store, "spool"), around):
            hint = "best on another disk than the store's"
            yield Problem(("store", "spool"), "found the store's own file", "a file of its own", hint)


# -- sources ------------------------------------------------------------------------------------


def _sources(document: Raw, around: Surroundings) -> Iterator[Problem]:
    if document.get("sources", {}) == {}:
        hint = "`longstop init` writes a configuration to start from"
        yield Problem(("sources",), "found no source", "at least one table [sources.NAME]", hint)
    for where, source in _tables(document, "sources"):
        yield from _name(where, "source")
        kind = SOURCE_KINDS.get(_text(source, "kind"))
        yield from _public_url_and_tolerance(where, source)
        yield from _media_types(where, source)
        if "challenge" in source:
            yield from _challenge((*where, "challenge"), _table(source, "challenge"))
        if "verify" in source:
            yield from _verify(where, source, _table(source, "verify"), around)
        elif kind:
            yield from _unverified(where, source, kind)
        yield from _client(where, source)
        yield from _hold(where, source)


def _name(where: Loc, what: str) -> Iterator[Problem]:
    try:
        values.name(str(where[-1]))
    except Fault:
        expected = f"the {what}'s name to be {values.NAME}"
        yield Problem(where, f"found the name {quoted(str(where[-1]))}", expected, "rename it, also in the routes")


def _unverified(where: Loc, source: Raw, kind: Kind) -> Iterator[Problem]:
    if not kind.own_scheme:
        yield Problem(
            (*where, "verify"),
            "found nothing",
            f"verify = {{ scheme = … }} with one of {listed(_SCHEMES)}",
            'verify = { scheme = "none" } lets anybody post, and has to be said aloud',
        )
    elif kind.needs_secrets and source.get("secrets", []) == []:
        yield _no_secrets(where, f"kind {quoted(_text(source, 'kind'))}")
    elif not kind.needs_secrets and source.get("secrets"):
        found = "found secrets and no word on how they verify"
        yield Problem((*where, "verify"), found, "verify = { scheme = … }", 'as in { scheme = "bearer" }')


def _no_secrets(where: Loc, what: str) -> Problem:
    return Problem(
        (*where, "secrets"),
        "found no secret",
        f"at least one for {what}",
        'as in secrets = ["${VAR}"] or ["file:PATH"]',
    )


def _client(where: Loc, source: Raw) -> Iterator[Problem]:
    has_tokens = _text(source, "kind") == "cxone-byoc"
    if has_tokens and "client_id" not in source:
        expected, hint = "the client id that the platform asks for tokens with", 'as in client_id = "cxone"'
        yield Problem((*where, "client_id"), "found nothing", expected, hint)
    if has_tokens and "verify" in source:
        found = "found a table, and cxone-byoc has tokens of its own"
        yield Problem((*where, "verify"), found, "nothing", "remove it")
    if "client_id" in source and not has_tokens:
        found = f"found client_id with kind {quoted(_text(source, 'kind'))}, which has no use for it"
        yield Problem((*where, "client_id"), found, "it only with cxone-byoc", "remove it")


def _hold(where: Loc, source: Raw) -> Iterator[Problem]:
    """What cannot be refused need not be held, and what is sent again anyway neither."""
    if _text(source, "on_unverified") != "hold":
        if "hold" in source:
            expected = 'it only beside on_unverified = "hold"'
            yield Problem(
                (*where, "hold"), "found a table, and nothing is held", expected, "remove it, or set on_unverified"
            )
        return
    place, kind = (*where, "on_unverified"), _text(source, "kind")
    believes_anybody = "verify" not in source and kind in SOURCE_KINDS and not SOURCE_KINDS[kind].needs_secrets
    if believes_anybody or _text(_table(source, "verify"), "scheme") == "none":
        found = 'found "hold", and this source verifies nothing, so that nothing is refused'
        yield Problem(place, found, "it only where requests are verified", "remove it, or set verify")
    if kind == "cxone-byoc":
        found = 'found "hold" with cxone-byoc, which asks for another token where one is refused, and sends again'
        yield Problem(place, found, '"refuse"', "remove it")


def _verify(where: Loc, source: Raw, verify: Raw, around: Surroundings) -> Iterator[Problem]:
    scheme = _text(verify, "scheme")
    if scheme not in _SCHEMES:
        return
    if scheme in _SCHEMES_OF["header"] and "header" not in verify:
        yield Problem(
            (*where, "verify", "header"),
            "found nothing",
            f"the name of the header that scheme {quoted(scheme)} reads",
            'as in header = "X-Signature"',
        )
    for key, schemes in _SCHEMES_OF.items():
        if key in verify and scheme not in schemes:
            found = f"found {key} with scheme {quoted(scheme)}, which has no use for it"
            yield Problem((*where, "verify", key), found, f"it only with {listed(schemes)}", "remove it")
    if scheme in _HMAC:
        yield from _signed_parts((*where, "verify"), verify)
    yield from _secrets(where, source, scheme)
    if scheme == "basic" and "username" not in verify:
        yield from _pairs(where, source, around)


def _signed_parts(where: Loc, verify: Raw) -> Iterator[Problem]:
    """What is signed has to be found, and what is not signed proves nothing."""
    content = _text(verify, "content")
    yield from _parts(where, verify)
    time = "timestamp_part" if "timestamp_part" in verify else "timestamp_header"
    for part, key, what in (("{timestamp}", time, "time"), ("{id}", "id_header", "id")):
        if part in content and key not in verify:
            expected = f"the name of the header with the {what}, for {part} in content"
            yield Problem((*where, key), "found nothing", expected, f'as in {key} = "X-{what.capitalize()}"')
        if key in verify and part not in content:
            found, hint = f"found {key} and no {part} in content", f"put {part} into content, or remove {key}"
            yield Problem((*where, key), found, f"it only where the {what} is signed", hint)


def _parts(where: Loc, verify: Raw) -> Iterator[Problem]:
    """A time that stands in the header of the signature stands beside it, and nowhere else."""
    if "timestamp_part" not in verify:
        return
    if "signature_part" not in verify:
        expected = "the name of the signature beside the time"
        yield Problem((*where, "signature_part"), "found nothing", expected, 'as in signature_part = "v1"')
    if "timestamp_header" in verify:
        found, hint = "found timestamp_header and timestamp_part", "remove one of them"
        yield Problem((*where, "timestamp_header"), found, "one place of the time that is signed", hint)


def _public_url_and_tolerance(where: Loc, source: Raw) -> Iterator[Problem]:
    kind = _text(source, "kind")
    if "public_url" in source and kind != "twilio":
        found = f"found public_url with kind {quoted(kind)}, which has no use for it"
        yield Problem((*where, "public_url"), found, "it only with twilio", "remove it")
    if kind == "twilio":
        yield from _public_url((*where, "public_url"), source)
    if "tolerance" in source and not _signs_a_time(source):
        found = "found tolerance, and no time is signed that it could be applied to"
        yield Problem((*where, "tolerance"), found, "it only where {timestamp} is in verify.content", "remove it")


def _public_url(where: Loc, source: Raw) -> Iterator[Problem]:
    url = _text(source, "public_url")
    if "public_url" not in source and "verify" in source:
        return
    if not re.match(r"https?://[^/?#\s]+", url):
        found = f"found {quoted(url)}" if url else "found nothing"
        expected = "the URL that Twilio posts to, as it stands there: its signature covers it"
        yield Problem(where, found, expected, 'as in public_url = "https://hooks.example/webhooks/twilio"')


def _signs_a_time(source: Raw) -> bool:
    if "verify" in source:
        return "{timestamp}" in _text(_table(source, "verify"), "content")
    return _text(source, "kind") in _SIGNS_A_TIME


def _media_types(where: Loc, source: Raw) -> Iterator[Problem]:
    for place, text in enumerate(_list(source, "content_types")):
        if isinstance(text, str) and not _MEDIA_TYPE.fullmatch(text):
            hint = 'as in "application/json"; parameters such as charset make no difference'
            yield Problem((*where, "content_types", place), f"found {quoted(text)}", "a media type", hint)


def _challenge(where: Loc, challenge: Raw) -> Iterator[Problem]:
    given = [key for key in ("query", "field") if key in challenge]
    if len(given) != 1:
        found = "found query and field" if given else "found neither query nor field"
        hint = 'as in { query = "hub.challenge" } for GET, or { field = "challenge" } for POST'
        yield Problem(where, found, "one of them", hint)


def _secrets(where: Loc, source: Raw, scheme: str) -> Iterator[Problem]:
    given = source.get("secrets", [])
    if scheme != "none" and given == []:
        yield _no_secrets(where, f"scheme {quoted(scheme)}")
    if scheme == "none" and given:
        found = 'found secrets with scheme "none", which checks nothing'
        yield Problem((*where, "secrets"), found, "no secrets, or a scheme that uses them", "remove one of the two")


def _pairs(where: Loc, source: Raw, around: Surroundings) -> Iterator[Problem]:
    for place, secret in _resolved(source, around):
        if ":" not in secret:
            found = "found a secret without a colon, and no username"
            hint = "set verify.username, or make the secret user:password"
            yield Problem((*where, "secrets", place), found, 'user:password for scheme "basic"', hint)


def _resolved(source: Raw, around: Surroundings) -> Iterator[tuple[int, str]]:
    for place, text in enumerate(_list(source, "secrets") if around.secrets_read else ()):
        try:
            resolved = values.secret(text, around) if isinstance(text, str) else None
        except Fault:
            continue
        if resolved is not None:
            yield place, resolved


def _open_to_all(where: Loc, source: Raw) -> Iterator[Problem]:
    kind = SOURCE_KINDS[_text(source, "kind")]
    if "verify" not in source and not kind.needs_secrets:
        found = "found nothing, and this kind has no signature of its own: anybody may post"
        expected = "a scheme that the sender can be set up for"
        yield Problem((*where, "verify"), found, expected, 'or say { scheme = "none" } aloud')


def _unwise_secrets(where: Loc, source: Raw, around: Surroundings) -> Iterator[Problem]:
    for place, text in enumerate(_list(source, "secrets")):
        if values.is_literal(text):
            found = "found a secret written into the file"
            yield Problem((*where, "secrets", place), found, "${VAR} or file:PATH", "whoever reads the file can sign")
    if _text(source, "kind") != "genesys-open-messaging" or "verify" in source:
        return
    for place, secret in _resolved(source, around):
        if len(secret) < GENESYS_SECRET_CHARS_MIN:
            found = f"found a secret of {len(secret)} characters"
            expected = "more than 15, which Genesys Cloud asks for"
            yield Problem((*where, "secrets", place), found, expected, "make a longer one on both sides")


# -- destinations -------------------------------------------------------------------------------


def _destination(where: Loc, destination: Raw, around: Surroundings) -> Iterator[Problem]:
    ways = [key for key in ("url", "handler") if key in destination]
    if where[-1] in around.handlers:
        ways.append("a handler registered in code")
    if len(ways) > 1:
        yield Problem(where, f"found {' and '.join(ways)}", "only one of them", "remove the others")
    if not ways and not around.more_in_code:
        hint = 'as in url = "https://crm.example/events" or handler = "myapp.handlers:update_crm"'
        yield Problem(where, "found neither url nor handler", "one of them", hint)
    yield from _isolation(where, destination, around)
    yield from _transaction(where, destination, around)
    if "on_dead" in destination and destination.get("ordered") is not True:
        found = "found on_dead at a destination that is not ordered, where nothing waits for a dead event"
        yield Problem((*where, "on_dead"), found, "it only beside ordered = true", "remove it")
    yield from _headers((*where, "headers"), _table(destination, "headers"))
    yield from auth_rules.errors(where, destination, around, RESERVED_HEADERS)
    yield from _backoff((*where, "retry"), _table(destination, "retry"))


def _isolation(where: Loc, destination: Raw, around: Surroundings) -> Iterator[Problem]:
    if "env" in destination and destination.get("isolation") != "process":
        found = "found env without isolation, and such a handler has the whole environment"
        yield Problem((*where, "env"), found, 'it only beside isolation = "process"', "remove it")
    if "isolation" not in destination or "handler" in destination:
        return
    found, hint = "found isolation without a handler", "remove it"
    if where[-1] in around.handlers:
        found = "found isolation, and the handler is registered in code, where no other process can find it"
        hint = "name the function here instead of registering it"
    yield Problem((*where, "isolation"), found, 'it only beside handler = "package.module:function"', hint)


def _unset(where: Loc, names: list[Any], around: Surroundings) -> Iterator[Problem]:
    for place, name in enumerate(names):
        if name not in around.environ:
            found = f"the environment variable {name} is not set, and the handler will not find it"
            yield Problem((*where, place), found, "it to be set", "set it, or remove it from env")


def _transaction(where: Loc, destination: Raw, around: Surroundings) -> Iterator[Problem]:
    if destination.get("transaction") is not True:
        return
    place = (*where, "transaction")
    if "url" in destination or not ("handler" in destination or where[-1] in around.handlers or around.more_in_code):
        yield Problem(place, "found it without a handler", "it only beside a Python handler", "remove it")
    if destination.get("isolation") == "process":
        found = 'found it beside isolation = "process", where the store\'s transaction cannot reach'
        yield Problem(place, found, "one of the two", "remove the other")


def _headers(where: Loc, headers: Raw) -> Iterator[Problem]:
    seen: set[str] = set()
    for name in headers:
        try:
            values.header_name(name)
        except Fault as fault:
            yield Problem((*where, name), fault.found, fault.expected, fault.hint)
        if name.lower() in RESERVED_HEADERS:
            yield Problem((*where, name), "found a header that Longstop sets itself", "other headers", "remove it")
        if name.lower() in seen:
            yield Problem((*where, name), "found the same header twice", "each header once", "case makes no difference")
        seen.add(name.lower())


def _backoff(where: Loc, retry: Raw) -> Iterator[Problem]:
    first = _duration(retry, "first", RetryPolicy().first_ms)
    cap = _duration(retry, "cap", RetryPolicy().cap_ms)
    if first is not None and cap is not None and cap < first:
        culprit = "cap" if "cap" in retry else "first"
        found = f"found a cap of {cap / 1000:g} s below the first wait of {first / 1000:g} s"
        yield Problem((*where, culprit), found, "cap to be at least first", "raise cap or lower first")


def _unreachable(where: Loc, destination: Raw, around: Surroundings) -> Iterator[Problem]:
    if destination.get("allow_private"):
        return
    for place, table in ((("url",), destination), (("auth", "token_url"), _table(destination, "auth"))):
        if place[-1] in table and _is_private(table[place[-1]], around):
            found = "found a loopback or private address, which is refused at every attempt"
            yield Problem((*where, *place), found, "a public one", "or set allow_private = true")


def _is_private(url: str, around: Surroundings) -> bool:
    host = urlsplit(values.http_url(url, around)).hostname or ""
    address = values.address(host)
    return host == "localhost" or bool(address and (address.is_loopback or address.is_private or address.is_link_local))


# -- routes -------------------------------------------------------------------------------------


def _routes(document: Raw, around: Surroundings) -> Iterator[Problem]:
    sources = _table(document, "sources")
    destinations = {**_table(document, "destinations"), **dict.fromkeys(sorted(around.handlers))}
    orders: dict[tuple[str, str], tuple[int, str]] = {}
    for place, route in enumerate(_list(document, "routes")):
        if not isinstance(route, Mapping):
            continue
        yield from _sources_of(("routes", place, "from"), route.get("from"), sources)
        if not around.more_in_code:
            yield from _each_once(("routes", place, "to"), _list(route, "to"), "destination", destinations)
        yield from _order(place, route, document, orders)


def _sources_of(where: Loc, given: Any, sources: Raw) -> Iterator[Problem]:
    if given in (ALL, [ALL]):
        return
    if isinstance(given, list):
        if ALL in given:
            found = f'found "{ALL}" beside other names'
            yield Problem(where, found, f'"{ALL}" alone, which is every source, or names', "remove the others")
            return
        yield from _each_once(where, given, "source", sources)
    elif isinstance(given, str) and given not in sources:
        yield _no_such(where, given, "source", sources)


def _each_once(where: Loc, names: list[Any], what: str, known: Raw) -> Iterator[Problem]:
    for place, name in enumerate(names):
        if not isinstance(name, str):
            continue
        if name in names[:place]:
            yield Problem((*where, place), f"found {quoted(name)} a second time", f"each {what} once", "remove it")
        elif name not in known:
            yield _no_such((*where, place), name, what, known)


def _order(place: int, route: Raw, document: Raw, orders: dict[tuple[str, str], tuple[int, str]]) -> Iterator[Problem]:
    """`order_with` orders something, and the routes of a source agree on it. `orders` remembers what they said."""
    where = ("routes", place, "order_with")
    ordered = [name for name in _list(route, "to") if _is_ordered(document, name)]
    if "order_with" in route and not ordered:
        found = "found order_with, and no destination of the route is ordered"
        yield Problem(where, found, "it only beside one with ordered = true", "remove it, or set ordered = true there")
    said = _text(route, "order_with")
    for source in _from(route, document):
        for name in ordered:
            before, other = orders.setdefault((source, name), (place, said))
            if other != said:
                found = f"found {quoted(said)}" if said else "found nothing"
                theirs = quoted(other) if other else "none"
                expected = f"what routes[{before}] says of {quoted(source)} and {quoted(name)}: {theirs}"
                yield Problem(where, found, expected, "a key has one order at a destination")
                return


def _is_ordered(document: Raw, name: Any) -> bool:
    return isinstance(name, str) and _table(_table(document, "destinations"), name).get("ordered") is True


def _from(route: Raw, document: Raw) -> list[str]:
    given = route.get("from")
    names = given if isinstance(given, list) else [given]
    return list(_table(document, "sources")) if names == [ALL] else [name for name in names if isinstance(name, str)]


def _no_such(where: Loc, name: str, what: str, known: Raw) -> Problem:
    hint = nearest(name, known) or f"add a table [{what}s.NAME], or mend the name"
    expected = f"the name of a {what}: {listed(quoted(each) for each in known)}"
    return Problem(where, f"found {quoted(name)}", expected, hint)


def _misquoted(where: Loc, when: str) -> Iterator[Problem]:
    if re.search(r'[=!]=\s*"', when):
        found = "found a comparison with something in double quotes, which is a field's name in JMESPath"
        yield Problem(where, found, "text in single quotes", "as in type == 'Text'")

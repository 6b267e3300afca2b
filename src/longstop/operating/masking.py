"""What is hidden from people without the scope `bodies`: fields of bodies, and what would give them away.

`[operators] mask` names fields by JMESPath, over the body as it was sent, and headers by `header:NAME`. Whatever such
a path selects is replaced. Where it cannot be told what a path selects, more is hidden and not less: a text that a path
leads into (JSON within JSON), what a filter or a slice leaves out, and a body that is neither JSON nor a form at all.

What a field says may also stand where nobody looks for it. So without the scope a destination's answers are hidden
whole, errors are shown with their variable parts taken out (`model/error_group.py`), and nothing is searched for by
what stands in a body: who may ask "does it hold +49 170 1" again and again has read the number in the end.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jmespath

from longstop.model.caller import Caller, Scope
from longstop.model.error_group import group_of, has_variables
from longstop.model.errors import HiddenError
from longstop.model.event import Event, Headers
from longstop.model.listing import DeliveryFilter, EventFilter
from longstop.model.masking import Node, change, overlap, read_from

HIDDEN = "(not shown)"
"""What stands in the place of a field."""
HEADER = "header:"
_FORM = "application/x-www-form-urlencoded"
_HASH = "hash:"
_FINGERPRINT = b"sha256:"
_DIGESTS = frozenset({"content-md5", "digest", "content-digest", "repr-digest"})
"""Headers with a hash of the body. Whoever has it, and all of the body but a phone number, tries out the numbers."""
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")
_COLUMNS = ("type", "key", "dedup")


@dataclass(frozen=True, slots=True)
class Selected:
    """Where a source's configuration says that the type, the key and the dedup key of its events stand."""

    type: str | None = None
    key: str | None = None
    dedup: str | None = None


class Masking:
    """Hides what these expressions select. sources: by name, where what is shown of its events is taken from."""

    def __init__(self, mask: Sequence[str] = (), sources: Iterable[tuple[str, Selected]] = ()) -> None:
        paths = [each for each in mask if not each.startswith(HEADER)]
        self._paths = [jmespath.compile(each).parsed for each in paths]
        named = (each.removeprefix(HEADER).lower() for each in mask if each.startswith(HEADER))
        self._headers = frozenset(named) | (_DIGESTS if paths else frozenset())
        self._columns = {name: _columns_of(selected, self._paths, self._headers) for name, selected in sources}
        self.active = bool(mask)

    def hides_from(self, caller: Caller) -> bool:
        """Whether anything is hidden from this one."""
        return self.active and not caller.may(Scope.BODIES)

    def body(self, event: Event) -> bytes | None:
        """The body with its fields hidden, as JSON or a form; None: nothing of it can be shown.

        Numbers and blanks may be written otherwise than they were sent. Takes as long as parsing it.
        """
        return self.masked(event.body, event.headers)

    def masked(self, body: bytes, headers: Headers) -> bytes | None:
        """The same of any body."""
        if (headers.get("content-type") or "").partition(";")[0].strip().lower() == _FORM:
            return self._form(body)
        try:
            document = json.loads(body)
            if not isinstance(document, dict | list):
                # Where nothing has a name, no path says what it is.
                return None
            # Within the same block: what is nested as deep as can just be parsed cannot be walked through.
            return json.dumps(self._masked(document), ensure_ascii=False).encode(errors="backslashreplace")
        except (ValueError, RecursionError):
            return None

    def headers(self, headers: Headers) -> Headers:
        """The headers, without the values of those that are masked."""
        return headers.blanked(frozenset(name.encode("latin-1", "replace") for name in self._headers), HIDDEN)

    def columns(self, source: str) -> frozenset[str]:
        """Of `type`, `key` and `dedup` those that are taken from a masked field of this source's bodies."""
        return self._columns.get(source, frozenset())

    def dedup(self, dedup: bytes | None) -> bytes | None:
        """A dedup key; one that is the hash of a body (see _DIGESTS) is hidden."""
        hashed = dedup is not None and dedup.startswith(_FINGERPRINT) and self._paths
        return HIDDEN.encode() if hashed else dedup

    def error(self, error: str | None, status: int | None = None) -> str | None:
        """An error with its variable parts taken out. status: of the answer, which is told to everybody."""
        return error if error is None or error == f"HTTP {status}" else group_of(error)

    def told(self, error: str) -> str:
        """An error as it is told to people of whom nobody knows what they may see: those who read an alert."""
        return group_of(error) if self.active else error

    def refuse_search(self, wanted: EventFilter | DeliveryFilter) -> None:
        """Raise HiddenError where the answer to this search would tell what is hidden."""
        refuse_contents(wanted)
        hidden = self.columns(wanted.source) if wanted.source is not None else self.columns_of_any
        for name in ("type", "key"):
            if getattr(wanted, name) is not None and name in hidden:
                raise HiddenError(f"the {name} is taken from a masked field; to ask for one takes the scope bodies")

    @property
    def columns_of_any(self) -> frozenset[str]:
        """The same of any source."""
        return frozenset().union(*self._columns.values())

    def _masked(self, document: Any) -> Any:
        for path in self._paths:
            document = change(path, document, _hide)
        return document

    def _form(self, body: bytes) -> bytes | None:
        try:
            # Strict: what is no form after all would stand where the names of fields are.
            fields = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
        except ValueError:
            return None
        if not all(_FIELD.fullmatch(name) for name, _ in fields):
            return None
        hidden = {name for name, _ in fields if self._masked({name: ""}) != {name: ""}}
        # A document within a field (Slack sends one so) may hold what is masked anywhere in it.
        shown = [(name, HIDDEN if name in hidden or text.lstrip()[:1] in ("{", "[") else text) for name, text in fields]
        return urlencode(shown).encode()


def refuse_contents(wanted: EventFilter | DeliveryFilter) -> None:
    """The same, of what bodies and errors hold."""
    if wanted.contains is not None:
        raise HiddenError("bodies are masked, and what they hold cannot be searched for without the scope bodies")
    if isinstance(wanted, DeliveryFilter) and wanted.error is not None and has_variables(wanted.error):
        raise HiddenError(
            "errors are shown without their variable parts, and cannot be searched for them without the scope "
            f'bodies; ask for "{group_of(wanted.error)}"'
        )


def _hide(_value: Any) -> str:
    return HIDDEN


def _columns_of(selected: Selected, paths: Sequence[Node], headers: Collection[str]) -> frozenset[str]:
    """Those that could show what is masked: that are read from where it stands, or from around it."""
    written = {name: getattr(selected, name) for name in _COLUMNS}
    return frozenset(name for name, text in written.items() if text is not None and _shows(text, paths, headers))


def _shows(expression: str, paths: Sequence[Node], headers: Collection[str]) -> bool:
    if expression.startswith(HEADER):
        return expression.removeprefix(HEADER).lower() in headers
    if expression.startswith(_HASH):
        return bool(paths)
    read = read_from(jmespath.compile(expression).parsed)
    return any(overlap(one, other) for path in paths for one in read_from(path) for other in read)

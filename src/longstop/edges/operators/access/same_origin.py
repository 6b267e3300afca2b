"""Whether a request is the operators' own, or a page of somebody else's has a browser make it.

A browser says where a request comes from: `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), or in older ones
`Origin`. A page of another site may neither change anything nor have anything loaded. *Same site* is not enough: every
port of one host is one site, and so is every name below a company's domain.
"""

from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]

SAFE = frozenset({"GET", "HEAD"})


def refusal(method: str, headers: Headers, *, ambient: bool, is_page: bool) -> str | None:
    """Why a request is not done; None where it may be.

    ambient: what it may is not said by the request itself but by a cookie, or by its reaching this port at all: a
    browser adds that to whatever page asks. is_page: it asks for something that people open by a link.
    """
    site = _value(headers, b"sec-fetch-site")
    if site in ("cross-site", "same-site"):
        return None if is_page and method in SAFE and _is_opened(headers) else "a page of another origin asked for it"
    if method in SAFE or not ambient:
        return None
    if site is not None:
        # `none` is a person's own doing, an address typed in, which never posts anything.
        return None if site == "same-origin" else "it does not come from a page of this origin"
    # Where there is an Origin, `OwnHosts` has compared it. Every browser that says no Sec-Fetch-Site sends one.
    return None


def shows_origin(headers: Headers) -> bool:
    """Whether the request says where it comes from at all."""
    return _value(headers, b"sec-fetch-site") is not None or _value(headers, b"origin") is not None


def _is_opened(headers: Headers) -> bool:
    """A link that somebody followed, in a tab of its own: not a frame, an image or a script of another page."""
    return _value(headers, b"sec-fetch-mode") == "navigate" and _value(headers, b"sec-fetch-dest") == "document"


def _value(headers: Headers, name: bytes) -> str | None:
    found = [text.decode("latin-1").lower() for key, text in headers if key.lower() == name]
    return found[0] if len(found) == 1 else "unclear" if found else None

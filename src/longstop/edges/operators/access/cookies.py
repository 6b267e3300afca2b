"""The cookies of the operators' side.

Over TLS their names begin with `__Host-`, which a browser takes from this very host alone, so that no neighbouring
name can plant one (https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html, 4.1.3.2). Over plain HTTP,
which is for loopback, there is no such name.
"""

from collections.abc import Sequence

PLAIN = "longstop_session"
ENCRYPTED = "__Host-longstop"
FLOW_S = 600
"""How long somebody may take at the identity provider."""

Headers = Sequence[tuple[bytes, bytes]]


class Cookies:
    """Reads and writes them. encrypted: people reach the port over TLS."""

    def __init__(self, *, encrypted: bool, lifetime_ms: int) -> None:
        self._encrypted = encrypted
        self._lifetime_s = lifetime_ms // 1000
        self.session_name = ENCRYPTED if encrypted else PLAIN
        self.flow_name = f"{self.session_name}_oidc"

    def session(self, headers: Headers) -> str | None:
        """The session's cookie of a request; None where there is none, or more than one: of two, one was planted."""
        return _only(headers, self.session_name)

    def flow(self, headers: Headers) -> str | None:
        """The cookie that binds a browser to the sign-in that it began."""
        return _only(headers, self.flow_name)

    def set_session(self, value: str) -> str:
        """`Set-Cookie` for somebody who signed in."""
        return self._written(self.session_name, value, "Strict", self._lifetime_s)

    def end_session(self) -> str:
        """`Set-Cookie` for somebody who signed out."""
        return self._written(self.session_name, "", "Strict", 0)

    def set_flow(self, value: str) -> str:
        """`Set-Cookie` for somebody who goes to the identity provider. Lax: he comes back from another site."""
        return self._written(self.flow_name, value, "Lax", FLOW_S)

    def end_flow(self) -> str:
        """`Set-Cookie` for somebody who came back."""
        return self._written(self.flow_name, "", "Lax", 0)

    def _written(self, name: str, value: str, same_site: str, age_s: int) -> str:
        secure = "; Secure" if self._encrypted else ""
        return f"{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite={same_site}{secure}"


def _only(headers: Headers, name: str) -> str | None:
    texts = [text.decode("latin-1") for key, text in headers if key.lower() == b"cookie"]
    pairs = [part.strip(" \t").partition("=") for text in texts for part in text.split(";")]
    found = [value.strip('"') for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else None

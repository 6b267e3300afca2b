"""What the `tls` settings of a destination make of its connections: whom they believe, as whom they show themselves.

Certificates that are named take the place of the system's: who names an authority of their own does not want a
public one to vouch for the same host. Host names are always checked.
"""

import ssl
from pathlib import Path

from longstop.model.errors import ConfigurationError
from longstop.model.settings import TlsSettings

_HINT = "a relative path starts at the configuration's folder"
_CERTIFICATES = "certificates in PEM"
_KEY = "a private key in PEM, without a passphrase"


def client_context(settings: TlsSettings, destination: str) -> ssl.SSLContext:
    """The context for a destination's connections. Reads the files, and raises ConfigurationError with what is wrong.

    What the files hold is not shown.
    """
    problems: list[str] = []
    texts = {key: _text(key, path, problems) for key, path in _files(settings).items()}
    if not problems:
        context = _context(settings, texts, problems)
    if problems:
        raise ConfigurationError(tuple(f"destinations.{destination}.tls.{problem}" for problem in problems))
    return context


def _files(settings: TlsSettings) -> dict[str, str]:
    given = {"ca": settings.ca, "cert": settings.cert, "key": settings.key}
    return {key: path for key, path in given.items() if path is not None}


def _text(key: str, path: str, problems: list[str]) -> str:
    expected = _KEY if key == "key" else _CERTIFICATES
    try:
        return Path(path).read_text("latin-1")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        problems.append(f'{key}: the file "{path}" cannot be read ({reason}); expected {expected}; {_HINT}')
    return ""


def _context(settings: TlsSettings, texts: dict[str, str], problems: list[str]) -> ssl.SSLContext:
    context = _believing(settings.ca, problems)
    # As the library's own context has it: nothing here speaks HTTP/2.
    context.set_alpn_protocols(("http/1.1",))
    if settings.cert is not None and (problem := _pair(context, settings, settings.cert, texts)) is not None:
        problems.append(problem)
    return context


def _believing(ca: str | None, problems: list[str]) -> ssl.SSLContext:
    """A context that believes the authorities of a file; None: the system's."""
    try:
        context = ssl.create_default_context(cafile=ca)
        readable = ca is None or context.cert_store_stats()["x509"] > 0
    except (OSError, ValueError):
        readable = False
    if readable:
        return context
    problems.append(f'ca: found no certificate that can be read in "{ca}"; expected {_CERTIFICATES}')
    return ssl.create_default_context()


def _pair(context: ssl.SSLContext, settings: TlsSettings, cert: str, texts: dict[str, str]) -> str | None:
    """Load the client's certificate and key into a context; what keeps them from being used, or None."""
    if (problem := _unlike_a_pair(settings, texts)) is not None:
        return problem
    try:
        # A passphrase would be asked for at the terminal; an empty one fails instead.
        context.load_cert_chain(cert, settings.key, password="")
    except ssl.SSLError as error:
        return _refused(settings, error)
    except (OSError, ValueError):
        return _refused(settings, ssl.SSLError())
    return None


def _unlike_a_pair(settings: TlsSettings, texts: dict[str, str]) -> str | None:
    """What can be told from the files' marks; the library's own word for all of it is "PEM lib"."""
    key, holder = ("key", settings.key) if settings.key is not None else ("cert", settings.cert)
    if "-----BEGIN CERTIFICATE-----" not in texts["cert"]:
        return f'cert: found no certificate in "{settings.cert}"; expected {_CERTIFICATES}'
    if "PRIVATE KEY-----" not in texts[key]:
        hint = "" if settings.key is not None else "; name its file: key = …"
        return f'{key}: found no private key in "{holder}"; expected {_KEY}{hint}'
    if "ENCRYPTED" in texts[key]:
        return f'{key}: found a private key with a passphrase in "{holder}"; expected {_KEY}'
    return None


def _refused(settings: TlsSettings, error: ssl.SSLError) -> str:
    if "MISMATCH" in (error.reason or ""):
        where = f'"{settings.key or settings.cert}"'
        return f"key: found another key in {where} than the certificate's; expected the one that belongs to it"
    both = " or ".join(f'"{path}"' for path in (settings.cert, settings.key) if path is not None)
    return f"cert: found what cannot be read in {both}; expected {_CERTIFICATES}, and {_KEY}"

"""What a source's sender has to be told, step by step, from the source's own settings."""

from longstop.model.settings import SourceSettings
from longstop.model.signing import proof_headers, scheme_of


def setup_steps(source: SourceSettings, url: str) -> list[str]:
    """In order. url: where the gateway listens; senders outside need the name and TLS of what stands before it."""
    steps = [
        f"Have {source.kind} post to /webhooks/{source.name} of your public name; the gateway itself listens on {url}. "
        "Put a proxy that ends TLS in front of it.",
        _proof(source),
    ]
    if source.allow:
        steps.append(f"Requests may come from {', '.join(source.allow)} only.")
    steps += [
        f"Send one event. `longstop sources rejections {source.name}`, or the list of refused requests, says what is "
        "wrong with one that is refused.",
        f"docs/sources/{source.kind}.md has what this kind of sender needs besides.",
    ]
    return steps


def _proof(source: SourceSettings) -> str:
    scheme, headers = scheme_of(source), " and ".join(proof_headers(source))
    secrets = f"{len(source.secrets)} secret{'' if len(source.secrets) == 1 else 's'} in force"
    if scheme is None:
        return f"It proves itself by its own scheme ({headers or 'no header'}); {secrets}."
    if scheme.scheme == "none":
        return "Nothing is verified: let only the sender's network reach it."
    return f"It proves itself by {scheme.scheme} in {headers}; {secrets}. Give it one of them."

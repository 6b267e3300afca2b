"""A curl command that sends an event as a destination gets it, without what proves that it is ours."""

import base64
import shlex

from longstop.config import Config
from longstop.edges.operators.api.problems import ProblemError
from longstop.model.delivery import Delivery
from longstop.model.event import Event
from longstop.model.listing import KeptEvent


def as_curl(config: Config, kept: KeptEvent, destination: str | None) -> str:
    """The command. Raises a problem where there is no such delivery, or it goes to no URL."""
    urls = {each.name: config.targets[each.name] for each in config.destinations if each.url is not None}
    wanted = [each for each in kept.deliveries if destination in (None, each.destination)]
    if not wanted:
        what = f"no delivery for {destination}" if destination else "no delivery"
        raise ProblemError(404, f"event {kept.event.id} has {what}")
    delivery = next((each for each in wanted if each.destination in urls), None)
    if delivery is None:
        raise ProblemError(409, "its destination is no URL of the configuration, so there is no such command")
    return _command(kept.event, delivery, urls[delivery.destination])


def _command(event: Event, delivery: Delivery, url: str) -> str:
    headers = {
        "Content-Type": event.content_type or "",
        "Content-Encoding": ", ".join(event.headers.get_all("content-encoding")),
        "webhook-id": event.id,
        "Idempotency-Key": delivery.id,
        "Longstop-Source": event.source,
    }
    # `Name:` without a value keeps curl from sending one of its own.
    told = [f"-H {shlex.quote(f'{name}: {value}' if value else f'{name}:')}" for name, value in headers.items()]
    body, options = _body(event.body)
    return f"{body}curl -X POST {shlex.quote(url)} \\\n  " + " \\\n  ".join([*told, options])


def _body(body: bytes) -> tuple[str, str]:
    """What stands before the command, and the option that takes the body."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:
        return f"echo {base64.b64encode(body).decode()} | base64 -d | ", "--data-binary @-"
    # An @ at the beginning would be a file's name.
    return "", f"--data-raw {shlex.quote(text)}"

"""Sending: a body signed and posted as the source's real sender would, once or many times."""

import asyncio
import contextlib
import json as json_text
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.copies import Copies
from longstop.edges.cli.errors import DONE, FAILED, CommandError, UsageError, say
from longstop.edges.cli.files import STDIN, read_bytes, refuse_option
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, parse_rate
from longstop.edges.rows.first_event import reachable
from longstop.model.settings import SourceSettings
from longstop.model.signing import sign
from longstop.model.simulated_request import headers_around, path_below, query_around, token_request

if TYPE_CHECKING:
    import aiohttp

    from longstop.config import Config
    from longstop.ports import Clock

AT_ONCE = 16
"""Requests under way at once."""
_AS_JSON = {"Content-Type": "application/json"}
TIMEOUT_S = 10
"""As long as Genesys Cloud Open Messaging waits for an answer."""


def send(
    source: Annotated[str, Parameter(name="SOURCE", help="A source of the configuration.")],
    file: Annotated[
        Path,
        # Without this cyclopts takes `-` for an option.
        Parameter(
            name="FILE", help="The body: a file, - for stdin, or a payload that comes along.", allow_leading_hyphen=True
        ),
    ],
    /,
    *,
    count: Annotated[int, Parameter(help="How many.", show_default=True)] = 1,
    same: Annotated[
        bool, Parameter(help="With --count: the same bytes each time, as a redelivery.", show_default=False)
    ] = False,
    rate: Annotated[str | None, Parameter(help='At most so many: "5/s", "300/m".')] = None,
    url: Annotated[str | None, Parameter(help="The server, as http://HOST:PORT; else the configuration's.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Sign a body and post it as the real sender would.

    With --count each copy gets an id of its own, where the source's dedup names one, or else in "id", "payload.id" and
    "eventId".
    Payloads of contact centres come along: genesys_open_messaging_text is one.
    """
    if count < 1:
        raise UsageError(f"--count: found {count}; expected 1 or more")
    rate_per_s = parse_rate(rate)
    settings = program.load(config, more_in_code=True)
    sender = _source(settings, source)
    post = _Post(sender, f"{_base(url, settings)}/webhooks/{quote(sender.name, safe='')}", program.clock)
    copies = Copies(_body(file), sender.dedup, str(program.clock.now_ms()))
    if count > 1 and not same and not copies.distinct:
        say(["The body has no id to change: all copies are the same."])
    bodies = (copies.make(0 if same else number) for number in range(count))
    return program.run(_send_all(program.clock, post, bodies, _Told(json, count), rate_per_s))


def _source(config: "Config", name: str) -> SourceSettings:
    for each in config.sources:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in config.sources)
    raise CommandError(f'found no source "{name}" in the configuration; expected one of: {known}')


def _base(url: str | None, config: "Config") -> str:
    base = reachable(config.server.url) if url is None else url.rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise UsageError(f'--url: found "{base}"; expected the server\'s, such as http://127.0.0.1:8080')
    return base


def _body(file: Path) -> bytes:
    refuse_option(file)
    if file == STDIN or file.exists():
        return read_bytes(file)
    from longstop.testing import payloads

    if file.name == str(file) and file.name.removesuffix(".json") in payloads.names():
        return payloads.load(file.name)
    known = ", ".join(payloads.names())
    raise CommandError(f"found no file {file}; expected a file, - for standard input, or one of: {known}")


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one request. status: accepted, duplicate, refused, or failed where there was no answer."""

    status_code: int | None
    status: str
    id: str | None
    error: str | None


class _Told:
    """Counts what came of the requests and tells of it."""

    def __init__(self, json: bool, total: int) -> None:
        self._json = json
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self.total = total

    def __call__(self, answered: Answered) -> None:
        """Take note of one."""
        self._counts["sent"] += 1
        self._counts[answered.status] += 1
        if answered.error is not None:
            self._errors[answered.error] += 1
        if self._json:
            fields = ("status_code", "status", "id", "error")
            output.json_line({name: getattr(answered, name) for name in fields})
        elif self.total == 1 and answered.id is not None:
            output.line(f"{answered.status}  {answered.id}")

    def sum_up(self) -> int:
        """Say what all of it came to; the exit status."""
        say(f"{text}{f' ({times} times)' if times > 1 else ''}" for text, times in self._errors.most_common(5))
        if not self._json:
            names = ("sent", "accepted", "duplicate", "refused", "failed")
            output.line(", ".join(f"{name} {self._counts[name]}" for name in names))
        good = self._counts["accepted"] + self._counts["duplicate"]
        return DONE if good == self._counts["sent"] == self.total else FAILED


class _Post:
    """Posts bodies to one source."""

    def __init__(self, source: SourceSettings, url: str, clock: "Clock") -> None:
        self._source = source
        self._base = url
        self._url = url + path_below(source)
        self._clock = clock
        self._token: list[tuple[str, str]] = []

    async def ask_for_token(self, session: "aiohttp.ClientSession") -> None:
        """Get the token that the sender shows, if it shows one. Without it, the requests say what is wrong."""
        import aiohttp

        asked = token_request(self._source)
        if asked is None:
            return
        path, body = asked
        with contextlib.suppress(aiohttp.ClientError, ValueError, OSError, KeyError, TypeError):
            async with session.post(self._base + path, data=body, headers=_AS_JSON, allow_redirects=False) as response:
                self._token = [("Authorization", f"Bearer {json_text.loads(await response.read())['access_token']}")]

    async def __call__(self, session: "aiohttp.ClientSession", body: bytes) -> Answered:
        """Post one and say what came of it."""
        import aiohttp

        proof = sign(self._source, body, self._clock.now_ms())
        headers = [*headers_around(self._source, body), *proof, *self._token]
        query = query_around(self._source, body)
        url = f"{self._url}?{query}" if query else self._url
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return _answered(response.status, await response.read())
        except TimeoutError:
            return Answered(None, "failed", None, f"no answer from {self._url} within {TIMEOUT_S} s")
        except aiohttp.ClientConnectorError:
            said = f"nothing listens at {self._url}; is `longstop serve` running there? --url names another server"
            return Answered(None, "failed", None, said)
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return Answered(None, "failed", None, f"{self._url}: {type(error).__name__}: {error}")


def _answered(code: int, body: bytes) -> Answered:
    try:
        answer = json_text.loads(body)
    except ValueError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    id_ = answer.get("id") or answer.get("idOnExternalPlatform")
    id_ = id_ if isinstance(id_, str) else None
    if 200 <= code < 300:
        status = "duplicate" if answer.get("status") == "duplicate" else "accepted"
        return Answered(code, status, id_, None)
    return Answered(code, "refused", id_, f"HTTP {code}: {answer.get('detail') or answer.get('title') or 'no reason'}")


async def _send_all(clock: "Clock", post: _Post, bodies: Iterator[bytes], told: _Told, rate_per_s: float | None) -> int:
    import aiohttp

    started_ms = clock.now_ms()
    turns = enumerate(bodies)

    async def send_some(session: aiohttp.ClientSession, advance: Callable[[int], None]) -> None:
        for turn, body in turns:
            if rate_per_s is not None:
                due_ms = started_ms + turn * 1000 / rate_per_s
                await clock.sleep(max(due_ms - clock.now_ms(), 0) / 1000)
            told(await post(session, body))
            advance(1)

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    with output.progress("sending", told.total) as advance:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await post.ask_for_token(session)
            await asyncio.gather(*(send_some(session, advance) for _ in range(min(AT_ONCE, told.total))))
    return told.sum_up()

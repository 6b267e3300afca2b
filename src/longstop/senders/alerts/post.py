"""Posting alerts to a service, under the guards that hold for deliveries."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from multidict import CIMultiDict
from yarl import URL

from longstop.model.alert import Notice
from longstop.model.alert_channel import ChannelSettings
from longstop.model.delivery import ANSWER_BYTES_KEPT, Outcome, OutcomeKind
from longstop.model.lease import Claim
from longstop.model.retry import classify_status, parse_retry_after
from longstop.ports import Clock
from longstop.senders.alerts.chat import slack, teams
from longstop.senders.alerts.hook import hook
from longstop.senders.alerts.incidents import opsgenie, pagerduty
from longstop.senders.alerts.request import AlertRequest
from longstop.senders.connection import USER_AGENT, Progress, checked_url, explain, open_session, posted

_MAKERS: Mapping[str, Callable[[Notice, ChannelSettings], list[AlertRequest]]] = {
    "slack": slack,
    "teams": teams,
    "pagerduty": pagerduty,
    "opsgenie": opsgenie,
}


class PostSender:
    """Sends notices to one channel: what it takes is one request for all, or one for each alert, in their order.

    A request that fails ends the attempt, and the next one begins anew: who takes alerts one by one knows each by a key
    or an id, and takes none of them for another. Nothing is kept open: alerts are rare.
    """

    def __init__(self, channel: ChannelSettings, clock: Clock) -> None:
        """Connects to nothing yet. Raises ConfigurationError for a URL that cannot be posted to."""
        self._channel = channel
        self._clock = clock
        place = channel.label.strip("[]")
        checked_url(f"{place}.url", channel.url)

    async def send(self, claim: Claim, attempt: int) -> Outcome:  # noqa: ARG002
        """Post it once. Never raises but for its own cancellation."""
        try:
            notice = Notice.from_body(claim.event.body)
        except ValueError as error:
            return Outcome(OutcomeKind.REJECT, error=str(error))
        outcome = Outcome(OutcomeKind.SUCCESS)
        for request in self._make(notice):
            outcome = await self._post(request)
            if outcome.kind is not OutcomeKind.SUCCESS:
                break
        return outcome

    async def close(self) -> None:
        """Nothing is kept open."""

    def _make(self, notice: Notice) -> list[AlertRequest]:
        maker = _MAKERS.get(self._channel.kind) or partial(hook, now_ms=self._clock.now_ms())
        return maker(notice, self._channel)

    async def _post(self, request: AlertRequest) -> Outcome:
        progress, answer = Progress(URL(request.url)), bytearray()
        try:
            async with asyncio.timeout(self._channel.timeout_ms / 1000):
                await self._exchange(request, progress, answer)
        except Exception as error:
            if progress.status is None:
                return Outcome(OutcomeKind.RETRY, error=explain(error, progress, self._channel))
        status = progress.status or 0
        kind = classify_status(status)
        said = None if kind is OutcomeKind.SUCCESS else f"{progress.where} answered HTTP {status}"
        retry_after_s = parse_retry_after(progress.retry_after, self._clock.now_ms())
        return Outcome(kind, status=status, error=said, retry_after_s=retry_after_s, answer=bytes(answer))

    async def _exchange(self, request: AlertRequest, progress: Progress, answer: bytearray) -> None:
        headers = CIMultiDict({"User-Agent": USER_AGENT, "Content-Type": "application/json"})
        headers.update(self._channel.headers)
        headers.update(request.headers)
        async with (
            open_session(self._channel, 1, None) as session,
            posted(session, progress, request.body, headers) as response,
        ):
            if not 200 <= response.status < 300:
                # In it a service says what it did not like.
                answer += (await response.content.read(ANSWER_BYTES_KEPT))[:ANSWER_BYTES_KEPT]

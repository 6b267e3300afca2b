"""The alert hook: one POST of JSON for each alert, under the guards that hold for deliveries."""

import asyncio
import json

from multidict import CIMultiDict

from longstop.model.alert import Alert
from longstop.model.settings import AlertSettings
from longstop.senders.connection import USER_AGENT, Progress, checked_url, explain, open_session, posted


class HookAlerter:
    """Posts alerts to one URL. A 2xx has taken the alert; nothing else of an answer is looked at."""

    def __init__(self, settings: AlertSettings) -> None:
        """Connects to nothing yet. Raises ConfigurationError for a URL that cannot be posted to."""
        self._settings = settings
        self._url = checked_url("alerts.url", settings.url)

    async def tell(self, alert: Alert) -> str | None:
        """Post it once; why it was not taken, which shows no secret, or None. Never raises but for its cancellation."""
        progress = Progress(self._url)
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                await self._post(alert, progress)
        except Exception as error:
            if progress.status is None:
                return explain(error, progress, self._settings)
        status = progress.status or 0
        return None if 200 <= status < 300 else f"{progress.where} answered HTTP {status}"

    async def close(self) -> None:
        """Nothing is kept open: alerts are rare, and a connection would be stale by the next."""

    async def _post(self, alert: Alert, progress: Progress) -> None:
        body = json.dumps(alert.document()).encode()
        async with (
            open_session(self._settings, 1, None) as session,
            posted(session, progress, body, self._headers()),
        ):
            return

    def _headers(self) -> CIMultiDict[str]:
        headers = CIMultiDict({"User-Agent": USER_AGENT, "Content-Type": "application/json"})
        headers.update(self._settings.headers)
        return headers

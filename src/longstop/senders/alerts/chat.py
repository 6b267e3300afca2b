"""Alerts for people who read along: one message for all that a notice holds.

Texts hold what senders and destinations wrote. None of it may become a mention, a link or any other markup.
"""

from typing import Any

from longstop.model.alert import Notice, Severity, Status
from longstop.model.alert_channel import ChannelSettings
from longstop.senders.alerts.request import MARKS, AlertRequest, as_json, plain

SLACK_HEADER_CHARS_MAX = 150
SLACK_SECTION_CHARS_MAX = 3_000
"""docs.slack.dev/reference/block-kit/blocks: the header block, the section block."""
TEXT_CHARS_MAX = 800
"""Of one alert in a message. Twenty of them stay within the 28 KB that Teams takes (learn.microsoft.com, "Limits and
specifications for Microsoft Teams"; the Workflows action that posts a card has the same limit)."""
_COLOURS = {
    Severity.INFO: "Accent",
    Severity.WARNING: "Warning",
    Severity.ERROR: "Attention",
    Severity.CRITICAL: "Attention",
}


def slack(notice: Notice, channel: ChannelSettings) -> list[AlertRequest]:
    """A message for an incoming webhook.

    docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: `blocks`, with `text` for notifications.
    docs.slack.dev/messaging/formatting-message-text, "Escaping text": of & < > the entities are sent, so that nothing
    is a mention or a link. Blocks are plain_text, in which no other markup is read either.
    """
    title = _title(notice, channel)
    texts = [_escaped(plain(each.text, TEXT_CHARS_MAX)) for each in notice.alerts]
    blocks = [
        {"type": "header", "text": _plain_text(plain(title, SLACK_HEADER_CHARS_MAX))},
        *({"type": "section", "text": _plain_text(each[:SLACK_SECTION_CHARS_MAX])} for each in texts),
    ]
    document = {"text": _escaped(plain(title, TEXT_CHARS_MAX)), "mrkdwn": False, "blocks": blocks}
    return [AlertRequest(channel.url, as_json(document))]


def teams(notice: Notice, channel: ChannelSettings) -> list[AlertRequest]:
    """An adaptive card for a workflow with the trigger "When a Teams webhook request is received".

    learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using: the older connectors
    and their message cards are retired, workflows take adaptive cards only.
    adaptivecards.io/explorer/TextRun.html: "Markdown is not supported" in a TextRun, as it is in a TextBlock; so all
    that others wrote is in TextRuns.
    """
    colour = "Good" if notice.status is Status.RESOLVED else _COLOURS[notice.severity]
    head = {
        "text": plain(_title(notice, channel), TEXT_CHARS_MAX),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour,
    }
    body = [_rich(head), *(_rich({"text": plain(each.text, TEXT_CHARS_MAX)}) for each in notice.alerts)]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return [AlertRequest(channel.url, as_json({"type": "message", "attachments": [attachment]}))]


def _title(notice: Notice, channel: ChannelSettings) -> str:
    word = "RESOLVED" if notice.status is Status.RESOLVED else MARKS[notice.severity]
    return f"[{channel.install}] {word}: {notice.title}"


def _plain_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rich(run: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run}]}

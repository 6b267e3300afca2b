"""Genesys Cloud: what a trigger's workflow posts with a web services data action.

The customer writes body and headers, so there is no signature, and neither an id nor a time is sure to be there;
`verify` says how a request is proven (a static header, Basic or Bearer). The page of this kind has a request
template; its fields, where a body has them, are read:

- key: `conversationId`;
- type: `topicName` or `topic`, with the conversation's id put back to the `{id}` that the topic's name has;
- dedup key: topic, conversation and `eventTime` together, if all three are there, and with them `participantId` and
  `sessionId`, which tell apart what happens to two of a conversation at once.

Otherwise there is no dedup key: a workflow may fire several times for one conversation, and equal bodies may be
distinct events. `dedup = "hash:body"` with a short `dedup_window` is for those who know that theirs are not.
"""

from typing import Any

from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.duplicate_names import RepeatedNames
from longstop.sources.reading import compile_selector, dedup_of, joint_key, parse_object, plain_path, text_of, time_at

_NEEDED = ("conversationId", "eventTime")
_TOPICS = ("topicName", "topic")
_MORE = ("participantId", "sessionId")
_NAMES = (*_NEEDED, *_TOPICS, *_MORE)
_PATHS = tuple(plain_path(name) for name in _NAMES)


def _values(document: Any) -> list[Any]:
    return [find(document) for find in _PATHS]


_REPEATED = RepeatedNames(_values, _NAMES)


def dedup_key(request: Request, document: Any) -> bytes | None:
    """Topic, conversation and time, with participant and session; None where one of the first three is missing.

    Raises MalformedError where one of them is neither text nor number, or its name is repeated.
    """
    values = _values(document)
    _REPEATED.check(request.body, document, values)
    conversation, time, topic_name, topic, *more = [(dedup_of(value) or b"").decode("latin-1") for value in values]
    needed = [conversation, time, topic_name or topic]
    return joint_key([*needed, *more]) if all(needed) else None


def event_type(_request: Request, document: Any) -> str | None:
    """The topic's name, the same for all conversations."""
    topic = next((text for text in (text_of(document.get(name)) for name in _TOPICS) if text), None)
    conversation = text_of(document.get("conversationId"))
    return topic.replace(conversation, "{id}") if topic and conversation else topic


def build(settings: SourceSettings) -> Source:
    """A source of data actions. Raises ConfigurationError where the settings cannot be used."""
    conversation = compile_selector("conversationId").text
    when = time_at("eventTime")
    return Dialect(settings, parse=parse_object, dedup=dedup_key, type=event_type, key=conversation, occurred=when)

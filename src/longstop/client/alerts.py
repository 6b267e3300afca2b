"""What the API shows of alerts, as pydantic models."""

from typing import Any

from pydantic import BaseModel, Field

from longstop.client.models import Time


class Alert(BaseModel):
    """Something that is wrong now."""

    key: str = Field(description="The same from its beginning to its end.", examples=["backlog:crm"])
    kind: str = Field(examples=["backlog"])
    about: str = Field(description="What the subject is.", examples=["destination"])
    subject: str = Field(examples=["crm"])
    severity: str = Field(examples=["warning"])
    since: Time
    title: str = Field(examples=["What waits for crm is old"])
    why: str
    told_at: Time | None = Field(description="When people were told last; null: not yet.")
    ending: bool = Field(description="It is not seen any more, and over when that lasts.")
    silenced_until: Time | None
    silenced_by: str | None
    facts: dict[str, Any]


class Silence(BaseModel):
    """Nobody is told of this for a time."""

    kind: str = Field(description='A kind of alert, or "*".', examples=["backlog"])
    subject: str | None
    until: Time
    by: str
    why: str | None
    at: Time


class Ended(BaseModel):
    """A silence that was ended."""

    kind: str
    subject: str | None
    ended: bool

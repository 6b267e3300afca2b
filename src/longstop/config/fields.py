"""What the tables of `longstop.toml` are made of: the types of their keys, and what every table has in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.fields import FieldInfo

from longstop.config import s3_url, store_urls, values
from longstop.config.values import Surroundings
from longstop.model.s3_place import S3Place

DURATION = 'a duration such as "10s", "5m" or "3d"'
REFERENCE = "${VAR} or file:PATH"


def _around(info: ValidationInfo) -> Surroundings:
    assert isinstance(info.context, Surroundings)
    return info.context


def _store_url(text: str, info: ValidationInfo) -> str:
    return store_urls.store(text, _around(info)).url


def _archive(text: str, info: ValidationInfo) -> str | S3Place:
    read = s3_url.s3 if text.startswith("s3:") else values.archive_folder
    return read(text, _around(info))


Duration = Annotated[int, BeforeValidator(values.duration)]
PositiveDuration = Annotated[int, BeforeValidator(values.positive_duration)]
SpoolAfter = Annotated[int, BeforeValidator(values.spool_after)]
Size = Annotated[int, BeforeValidator(values.size)]
DiskSize = Annotated[int, BeforeValidator(values.disk_size)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Host = Annotated[str, AfterValidator(values.host)]
ArchivePlace = Annotated[str, AfterValidator(_archive)]
"""Read, it is a folder's absolute path or an S3Place."""
SpoolPath = Annotated[str, AfterValidator(lambda text, info: store_urls.spool(text, _around(info)))]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
Credential = Annotated[str, AfterValidator(lambda text, info: values.credential(text, _around(info)))]
BearerToken = Annotated[str, AfterValidator(lambda text, info: values.bearer_token(text, _around(info)))]
UserName = Annotated[str, AfterValidator(lambda text, info: values.user_name(text, _around(info)))]
FilePath = Annotated[str, AfterValidator(lambda text, info: values.file_path(text, _around(info)))]
Secret = Annotated[str, AfterValidator(lambda text, info: values.secret(text, _around(info)))]
Url = Annotated[str, AfterValidator(lambda text, info: values.http_url(text, _around(info)))]
SecretUrl = Annotated[str, AfterValidator(lambda text, info: values.secret_url(text, _around(info)))]
HeaderValue = Annotated[str, AfterValidator(lambda text, info: values.header_value(text, _around(info)))]
HeaderName = Annotated[str, AfterValidator(values.header_name)]
Handler = Annotated[str, AfterValidator(values.handler)]
Network = Annotated[str, AfterValidator(values.network)]
Rate = Annotated[float, BeforeValidator(values.rate)]
SignedContent = Annotated[str, AfterValidator(values.signed_content)]
PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Selector = Annotated[str, AfterValidator(values.selector)]
VariableName = Annotated[str, AfterValidator(values.variable_name)]
OrderName = Annotated[str, AfterValidator(values.name)]
Condition = Annotated[str, AfterValidator(values.condition)]


class Table(BaseModel):
    """A TOML table: no key that is not declared, no value bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @classmethod
    def by_key(cls) -> dict[str, FieldInfo]:
        """Fields by the key that a person writes."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

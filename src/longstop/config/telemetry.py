"""`[telemetry]`: where traces go."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from longstop.config.fields import SecretUrl, Table

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class TelemetryTable(Table):
    """`[telemetry]`"""

    otlp_endpoint: SecretUrl | None = Field(
        default=None, repr=False, description="text: an http:// or https:// URL, as http://127.0.0.1:4318/v1/traces"
    )


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Whether spans are made, and where they go."""

    traces: bool = False
    otlp_endpoint: str | None = field(default=None, repr=False)
    """None: what the standard OTEL_… variables say."""


def settings(table: TelemetryTable, environ: Mapping[str, str]) -> TelemetrySettings:
    """On where an endpoint is configured, here or by the variables that every OpenTelemetry SDK knows."""
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    off = off or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    known = table.otlp_endpoint is not None or any(environ.get(name) for name in _ENDPOINTS)
    return TelemetrySettings(known and not off, table.otlp_endpoint)

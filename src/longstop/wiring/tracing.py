"""Whether traces are made, and by what: the extra `otel` is imported only where they are."""

from dataclasses import replace
from typing import TYPE_CHECKING

from longstop.config import Config
from longstop.delivering.attempt import Destination
from longstop.model.alert import is_own
from longstop.model.errors import ConfigurationError
from longstop.ports import Clock

if TYPE_CHECKING:
    from longstop.telemetry.traces import Traces

MISSING = (
    "telemetry.otlp_endpoint: found it, or OTEL_EXPORTER_OTLP_ENDPOINT, without OpenTelemetry; expected the extra otel "
    'to be installed; pip install "longstop[otel]", or set OTEL_SDK_DISABLED=true'
)


def build_traces(config: Config, clock: Clock) -> "Traces | None":
    """What makes the spans; None where tracing is off. Raises ConfigurationError where the extra is missing."""
    expect_extra(config)
    if not config.telemetry.traces:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from longstop.telemetry.traces import Traces

    return Traces(OTLPSpanExporter(endpoint=config.telemetry.otlp_endpoint), clock)


def expect_extra(config: Config) -> None:
    """Raise ConfigurationError where spans are to be made and the extra is missing."""
    if not config.telemetry.traces:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        raise ConfigurationError((MISSING,)) from None


def traced(destination: Destination, traces: "Traces", config: Config) -> Destination:
    """The same destination, with a span for each of its attempts."""
    name = destination.name
    if destination.transactional is not None:
        return replace(destination, transactional=traces.calling(destination.transactional, name))
    urls = {each.name for each in config.destinations if each.url is not None}
    kind = "alert" if is_own(name) else "http" if name in urls else "handler"
    return replace(destination, sender=traces.sending(destination.sender, name, kind))

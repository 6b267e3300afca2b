"""Anything that POSTs: verified, named and keyed as the settings say.

The body need not be JSON. It must be readable only where the dedup key is to be found in it; then an
unreadable one is malformed. A readable body in which the dedup expression finds nothing is accepted
without a dedup key: to keep an event twice can be mended, to refuse it cannot.
"""

from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources.dialect import Dialect
from longstop.sources.reading import compile_selector, parse_json, parse_leniently


def build(settings: SourceSettings) -> Source:
    """A generic source. Raises ConfigurationError where the settings cannot be used."""
    return Dialect(settings, parse=parse_json if _dedup_in_body(settings) else parse_leniently)


def _dedup_in_body(settings: SourceSettings) -> bool:
    place = f"sources.{settings.name}.dedup"
    if settings.dedup is None:
        return False
    selector = compile_selector(settings.dedup, place)
    return selector.header is None and not selector.whole

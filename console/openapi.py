"""Prints what the API shows, as OpenAPI: its schemas, of which the console has its types (`make console-types`)."""

import json
import sys
from pathlib import Path
from typing import Any

from longstop import config
from longstop.edges.operators.api.app import create_api
from longstop.wiring.gateway import Gateway
from longstop.wiring.role import Role

ANY = '[sources.any]\nkind = "generic"\nverify = { scheme = "none" }\n'
PROSE = ("title", "description", "example", "examples")


def schemas() -> dict[str, Any]:
    """The document with its schemas, and no path and no prose in it: they change more often than what a page reads."""
    settings = config.parse(ANY, where="longstop.toml", environ={}, base=Path("/nowhere"))
    gateway = Gateway(settings, Role.INGEST | Role.WORK)
    whole = create_api(gateway.operators_services(tuple)).openapi()
    shown = {name: _plain(schema) for name, schema in sorted(whole["components"]["schemas"].items())}
    return {"openapi": whole["openapi"], "info": whole["info"], "paths": {}, "components": {"schemas": shown}}


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: each for name, each in schema.items() if name not in PROSE or isinstance(each, dict)}
    return {name: _plain(each) for name, each in kept.items()}


if __name__ == "__main__":
    json.dump(schemas(), sys.stdout)

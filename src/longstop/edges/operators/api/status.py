"""`status`: how it stands, on one page; and `settings`: the configuration that is in force."""

import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from fastapi import APIRouter

from longstop import __version__
from longstop.client.places import RunningSettings, Status
from longstop.edges.desk.lookups import status_of
from longstop.edges.operators.api.access import Administrator, Viewer
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.values import MASK, Row
from longstop.model.audit import AuditAction
from longstop.model.errors import StoreUnavailableError


def router(services: Services) -> APIRouter:
    """The routes of this resource."""
    api = APIRouter(tags=["gateway"])

    @api.get("/status", response_model=Status, summary="How it stands: what waits, what is dead, who is at work")
    async def status(_who: Viewer) -> Any:
        return await status_now(services)

    @api.get("/settings", response_model=RunningSettings, summary="The running configuration, secrets masked")
    async def settings(who: Administrator) -> Any:
        config = services.config
        await services.auditor(who).note(AuditAction.SETTINGS_READ, "settings", "all")
        return {
            "version": __version__,
            "python": platform.python_version(),
            "store": config.store.kind,
            "configuration": _without_secrets(config),
            "warnings": list(config.warnings),
        }

    return api


async def status_now(services: Services) -> Row:
    """All of `longstop status`, and whether it is ready."""
    why_not = list(services.why_not_ready())
    try:
        found = await status_of(services)
    except StoreUnavailableError as error:
        # Just then somebody wants to know what the spool holds.
        spool = services.spool()
        if spool is None or not spool.in_use:
            raise
        kept = f"the spool keeps {spool.events} events ({spool.bytes} bytes) meanwhile"
        raise StoreUnavailableError(f"{error}; {kept}") from error
    return {**found, "ready": not why_not, "why_not": why_not}


def _without_secrets(value: Any) -> Any:
    """Settings as plain values. A field that is not in its class's repr may hold a secret."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _field(getattr(value, each.name), each.repr) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _without_secrets(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        listed = [_without_secrets(each) for each in value]
        return sorted(listed) if isinstance(value, (set, frozenset)) else listed
    return value.value if isinstance(value, Enum) else value


def _field(value: Any, shown: bool) -> Any:
    if shown or value in (None, (), ""):
        return _without_secrets(value)
    if isinstance(value, tuple) and all(is_dataclass(each) for each in value):
        return _without_secrets(value)
    if isinstance(value, Mapping):
        # The targets, which are for people.
        return _without_secrets(value)
    return [MASK] * len(value) if isinstance(value, tuple) else MASK

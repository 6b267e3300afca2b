"""The API as one ASGI app, made of the routers of its resources."""

from functools import partial

from fastapi import APIRouter, Depends, FastAPI

from longstop import __version__
from longstop.edges.operators.api import (
    alerts,
    audit,
    dead_letters,
    decisions,
    deliveries,
    destinations,
    dlq,
    events,
    jobs,
    keys,
    nodes,
    replays,
    session,
    sources,
    statistics,
    status,
    stream,
    users,
)
from longstop.edges.operators.api.body_limit import BodyLimit
from longstop.edges.operators.api.live import Live
from longstop.edges.operators.api.openapi import describe
from longstop.edges.operators.api.owed import Owed
from longstop.edges.operators.api.problems import handle_problems
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.api.strict import only_known_query

PREFIX = "/api/v1"

ROUTERS = (
    events.router,
    replays.router,
    deliveries.router,
    deliveries.deciding_router,
    decisions.router,
    dead_letters.router,
    keys.router,
    sources.router,
    destinations.router,
    destinations.deciding_router,
    statistics.router,
    jobs.router,
    jobs.deciding_router,
    status.router,
    nodes.router,
    session.router,
    users.users_router,
    users.tokens_router,
    audit.router,
    alerts.router,
    audit.noting_router,
)
"""One for each resource: `router(services)`, with paths below PREFIX."""


def create_api(services: Services) -> FastAPI:
    """The app that serves everything below PREFIX, and `/dlq`.

    `state.live` of it ends its streams (`Live.stop`), which end by themselves only when their listeners go.
    """
    app = FastAPI(
        title="Longstop",
        version=__version__,
        description="The operators' side of a durable webhook inbox.",
        # A route of our own serves it; the pages that FastAPI makes of it load scripts from elsewhere.
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.owed = Owed(services.store)
    app.state.live = live = Live(services, {"job": partial(jobs.latest, services)})
    strict = [Depends(only_known_query)]
    api = APIRouter(prefix=PREFIX, dependencies=strict)
    for router in ROUTERS:
        api.include_router(router(services))
    api.include_router(stream.router(services, live))
    app.include_router(api)
    app.include_router(dlq.router(services), dependencies=strict)
    app.add_middleware(BodyLimit)
    handle_problems(app)
    describe(app, f"{PREFIX}/openapi.json")
    return app

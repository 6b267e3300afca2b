"""The operators' API, `/api/v1`: a module for each resource, each with `router(services)`.

It is the only part that knows FastAPI, and is imported where the operators' side is served and nowhere else.
"""

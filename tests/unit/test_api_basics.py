"""The operators' API, what all of it has in common: problems, access, pages, its description of itself."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from operators_api import asking, make_services

from longstop.edges.operators.access.guard import OPEN
from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.access import caller
from longstop.edges.operators.api.app import create_api
from longstop.edges.operators.api.body_limit import BODY_BYTES_MAX
from longstop.edges.operators.api.problems import ProblemError
from longstop.model.errors import LongstopError, StoreUnavailableError
from longstop.stores.memory import MemoryStore


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await made.open()
    return made


@pytest.fixture
async def api(store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(make_services(store)) as client:
        yield client


def is_problem(response: httpx.Response, status: int) -> bool:
    said = response.json()
    return (
        response.headers["content-type"] == "application/problem+json"
        and response.status_code == said["status"] == status
        and {"type", "title", "detail"} <= said.keys()
    )


async def test_a_path_that_is_not_there_is_a_problem(api: httpx.AsyncClient) -> None:
    response = await api.get("/api/v1/nonsense")
    assert is_problem(response, 404)
    assert response.json()["detail"] == ("/api/v1/nonsense is no path of this API; /api/v1/openapi.json lists them")


async def test_another_method_is_a_problem_that_names_the_right_one(api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/nodes")
    assert is_problem(response, 405)
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize("error", [StoreUnavailableError("the disk is full"), RuntimeError("oops"), LongstopError("x")])
async def test_a_store_that_fails_is_a_problem(error: Exception, store: MemoryStore) -> None:
    async def nodes() -> None:
        raise error

    store.nodes = nodes  # type: ignore[method-assign,assignment]
    async with asking(make_services(store)) as api:
        response = await api.get("/api/v1/nodes")
    unavailable = isinstance(error, StoreUnavailableError)
    assert is_problem(response, 503 if unavailable else 500)
    assert response.headers.get("retry-after") == ("2" if unavailable else None)
    assert "oops" not in response.text


async def test_a_body_over_the_limit_is_not_taken(api: httpx.AsyncClient) -> None:
    path, piece = "/api/v1/deliveries/x/replay", b" " * 1024 * 1024
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += len(piece)
            yield piece

    told = await api.post(path, content=b"", headers={"content-length": str(BODY_BYTES_MAX + 1)})
    assert is_problem(told, 413)
    assert is_problem(await api.post(path, content=pieces(), headers={"content-type": "application/json"}), 413)
    # httpx looks one ahead.
    assert taken <= BODY_BYTES_MAX + 2 * len(piece)
    assert (await api.post(path, content=b" " * BODY_BYTES_MAX)).status_code != 413


async def test_the_api_describes_itself(api: httpx.AsyncClient) -> None:
    described = (await api.get("/api/v1/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], f"{method} {path}"
            assert operation["tags"][0] in {each["name"] for each in described["tags"]}
            assert "application/problem+json" in operation["responses"]["503"]["content"]


async def test_every_route_asks_who_it_is(store: MemoryStore) -> None:
    """A route without a caller is open to everybody: none is made by forgetting."""

    async def nobody() -> None:
        raise ProblemError(401, "who are you?")

    services = make_services(store)
    app = create_api(services)
    app.dependency_overrides[caller] = nobody
    transport = httpx.ASGITransport(guarded(app, services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        described = (await api.get("/api/v1/openapi.json")).json()
        routes = [(method, path) for path, each in described["paths"].items() for method in each]
        answers = {route: await api.request(route[0].upper(), re.sub("{.*?}", "x", route[1])) for route in routes}
    assert len(routes) > 25
    # The ways in are open to who is not known yet, and nothing else is.
    assert {path for (_, path), each in answers.items() if each.status_code != 401} == OPEN


@pytest.mark.parametrize(
    ("path", "expected", "hint"),
    [
        ("deliveries?destnation=crm", "contains, cursor, destination", 'did you mean "destination"?'),
        ("dead-letters/groups?reason=rejected", "destination, limit", None),
        ("nodes?limit=5", "expected no parameter", None),
        ("stream?sorce=shop", "destination, since, source", 'did you mean "source"?'),
        ("../../dlq?state=dead", "cursor, limit, order", None),
    ],
)
async def test_a_parameter_that_nobody_knows_is_a_slip(
    api: httpx.AsyncClient, path: str, expected: str, hint: str | None
) -> None:
    response = await api.get(f"/api/v1/{path}")
    assert is_problem(response, 422)
    (wrong,) = response.json()["errors"]
    assert expected in wrong["expected"]
    assert wrong["hint"] == hint


async def test_a_body_with_a_field_that_nobody_knows_is_refused(api: httpx.AsyncClient) -> None:
    """`dry_runn` would be a replay for good."""
    described = (await api.get("/api/v1/openapi.json")).json()
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]
        for operations in described["paths"].values()
        for operation in operations.values()
        if "requestBody" in operation
    ]
    assert len(bodies) > 5
    for schema in bodies:
        name = schema["$ref"].rpartition("/")[2]
        assert described["components"]["schemas"][name].get("additionalProperties") is False, name


@pytest.mark.parametrize(
    ("content", "kind", "expected", "hint"),
    [
        (b'{"why": ', "application/json", "expected JSON: Expecting value", None),
        (b"\xff", "application/json", "expected JSON in UTF-8", None),
        (b"[" * 100_000, "application/json", "expected JSON in UTF-8", None),
        (b'{"why": "x"}', "text/plain", "expected JSON", "send it with Content-Type: application/json"),
        (b'{"why": "x", "wy": 1}', "application/json", "Extra inputs are not permitted", None),
        (b"[]", "application/json", "Input should be a valid dictionary", None),
        (b"", "application/json", "Field required", None),
    ],
)
async def test_a_body_that_is_none(
    api: httpx.AsyncClient, content: bytes, kind: str, expected: str, hint: str | None
) -> None:
    response = await api.post("/api/v1/deliveries/x/discard", content=content, headers={"content-type": kind})
    assert is_problem(response, 422)
    (wrong,) = response.json()["errors"]
    assert wrong["path"].startswith("body")
    assert wrong["expected"].startswith(expected)
    assert wrong["hint"] == hint

"""Carrying out what a POST asks for, once: with an Idempotency-Key, the same request again is only answered again.

The key is kept before anything is done, and the answer after. Where the gateway ends in between, it is not known how
far it came; the key stays taken (409) for its day, and nothing is done a second time by itself. What was done is in
the history of what the request was about. Where it is the store that goes away, `owed` has it told later.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from longstop.edges.operators.api.access import caller
from longstop.edges.operators.api.owed import Owed
from longstop.edges.operators.api.problems import ProblemError, answer, problem_of
from longstop.edges.operators.api.services import Services
from longstop.model.caller import Caller
from longstop.model.errors import LongstopError, StoreUnavailableError
from longstop.model.keyed_request import KEPT_FOR_MS, KEY_CHARS_MAX, KeptAnswer, KeyedRequest
from longstop.model.times import rfc3339

REPLAYED = "idempotent-replayed"
"""The header of an answer that was kept: nothing was done."""

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_CHARS_MAX,
        pattern=r"^[\x21-\x7e]+$",
        description="The same request again under this key is not carried out again; kept for 24 h.",
    ),
]


class Once:
    """Carries out one request, and answers it."""

    def __init__(self, services: Services, who: Caller, request: Request, key: str | None) -> None:
        self._services = services
        self._owed: Owed = request.app.state.owed
        self._who = who
        self._request = request
        self._key = key

    async def __call__(
        self,
        model: type[BaseModel] | None,
        act: Callable[[], Awaitable[Any]],
        status: int = 200,
        *,
        compared: bytes | None = None,
        told_once: str | None = None,
    ) -> Response:
        """Call `act` unless that was done already; its result as `model` has it, with this status.

        model: None where nothing is answered but the status.
        compared: what of the body tells one request from another; None: all of it. A digest of a password is not kept.
        told_once: what the same request is told again (409), where the answer holds a secret and is not kept.
        """
        if self._key is None:
            return _answer(await _carried_out(model, act, status))
        keyed = await self._begin(self._key, await self._request.body() if compared is None else compared)
        if isinstance(keyed, KeptAnswer):
            return _answer(keyed, {REPLAYED: "true"})
        try:
            given = await _carried_out(model, act, status)
        except StoreUnavailableError:
            # Nothing was acknowledged, and trying again is safe (ports.Inbox): so the key is free for that.
            await self._owed.tell(keyed, None)
            raise
        except LongstopError as error:
            given = _kept(problem_of(error))
        kept = given
        if told_once is not None and given.status < 400:
            kept = _kept(ProblemError(409, told_once))
        await self._owed.tell(keyed, kept)
        return _answer(given)

    async def _begin(self, key: str, compared: bytes) -> KeyedRequest | KeptAnswer:
        """The request, kept as under way; or the answer that it was given before. Raises a problem."""
        now_ms = self._services.clock.now_ms()
        # A token may be called like a person.
        by = f"{self._who.kind}:{self._who.name}"
        fingerprint = self._fingerprint(compared)
        keyed = KeyedRequest(by, key, fingerprint, now_ms, now_ms + KEPT_FOR_MS)
        await self._owed.catch_up()
        try:
            kept = await self._services.store.begin_keyed(keyed)
        except StoreUnavailableError:
            # It may have been kept all the same.
            await self._owed.tell(keyed, None)
            raise
        if kept is None:
            return keyed
        if kept.fingerprint != fingerprint:
            raise ProblemError(
                422, "this Idempotency-Key was used for another request, or with other scopes; take a new one for this"
            )
        if kept.answer is None:
            raise ProblemError(
                409,
                f"a request with this Idempotency-Key began at {rfc3339(kept.began_at_ms)} and has no answer yet: "
                "it is under way, or the gateway ended before it was done. See in the history of what it is about "
                "whether it was done; if not, ask with another key",
            )
        return kept.answer

    def _fingerprint(self, compared: bytes) -> bytes:
        # With other scopes it is another request: its answer may show what is hidden from who has fewer.
        scopes = " ".join(sorted(self._who.scopes))
        asked = f"{scopes}\n{self._request.method} {self._request.url.path}?{self._request.url.query}\n".encode()
        return hashlib.sha256(asked + compared).digest()


async def _carried_out(model: type[BaseModel] | None, act: Callable[[], Awaitable[Any]], status: int) -> KeptAnswer:
    done = await act()
    return KeptAnswer(status, b"" if model is None else model.model_validate(done).model_dump_json().encode())


def _kept(error: ProblemError) -> KeptAnswer:
    problem = answer(error)
    return KeptAnswer(problem.status_code, bytes(problem.body))


def _answer(given: KeptAnswer, headers: dict[str, str] | None = None) -> Response:
    media_type = "application/json" if given.status < 400 else "application/problem+json"
    return Response(given.body, given.status, headers, media_type if given.body else None)


async def once(request: Request, who: Annotated[Caller, Depends(caller)], idempotency_key: Key = None) -> Once:
    """A dependency: what carries this request out."""
    return Once(request.app.state.services, who, request, idempotency_key)


CarriedOut = Annotated[Once, Depends(once)]

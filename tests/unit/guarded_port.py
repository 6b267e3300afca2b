"""The operators' port with users: the whole app behind its guard, and whoever asks it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from accounts_at_hand import CHEAP, CLI, PASSWORD, CountedPasswords, SetClock
from cli_program import TEXT

from longstop import config, wiring
from longstop.edges.operators.access.cookies import PLAIN
from longstop.edges.operators.access.current import current
from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.app import create_api
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.app import OperatorsApp
from longstop.model.accounts import Role
from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.caller import Scope
from longstop.model.exchange import Answer
from longstop.model.listing import Page
from longstop.operating.masked_store import Shown, masked_archive, masked_store
from longstop.ports import Identities
from longstop.stores.memory import MemoryStore

USERS = '[operators]\nauth = "users"\n'
HOST = "localhost:8081"
SAME = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
"""What a browser says of a request that the console makes."""


async def _metrics() -> Answer:
    return Answer(200, b"up 1\n")


@dataclass
class Port:
    """A port, asked in memory; cookies are shown by whoever asks, and kept by nobody."""

    text: str = USERS
    store: Any = field(default_factory=MemoryStore)
    clock: SetClock = field(default_factory=SetClock)
    identities: Identities | None = None

    def __post_init__(self) -> None:
        settings = config.parse(self.text + TEXT, where="longstop.toml", environ={}, base=Path("/nowhere"))
        made = wiring.parts(settings)
        self.parts = wiring.Parts(settings, self.store, made.sources, made.router, self.clock, random.Random(1))
        self.parts.passwords = CountedPasswords(CHEAP)
        parts = self.parts
        shown = Shown(parts.masking, current)
        self.services = Services(
            config=settings,
            store=masked_store(self.store, shown),
            shown=shown,
            ids=parts.ids,
            clock=self.clock,
            sources=parts.sources,
            router=parts.router,
            replay=parts.replay,
            bodies=parts.bodies,
            auditor=parts.auditor,
            accounts=parts.accounts,
            alert=parts.alert,
            alerts=parts.alerts(),
            why_not_ready=lambda: (),
            archive=masked_archive(parts.archive, shown),
            access=parts.access() if settings.operators.auth == "users" else None,
            identities=self.identities,
        )
        app = OperatorsApp(_metrics, lambda: (), api=create_api(self.services))
        self.app = guarded(app, self.services)

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        client: str = "127.0.0.1",
        scheme: str = "http",
        **given: Any,
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(client, 4711))
        base = f"{scheme}://{(headers or {}).get('host', HOST)}"
        async with httpx.AsyncClient(transport=transport, base_url=base) as asking:
            return await asking.request(method, path, headers=dict(headers or {}), **given)

    async def user(self, name: str = "ada", role: Role = Role.REPLAY) -> dict[str, str]:
        """What the console's requests have, of a new user who signed in."""
        await self.parts.accounts(CLI).add_user(name, role, PASSWORD)
        return await self.signed_in(name)

    async def signed_in(self, name: str = "ada") -> dict[str, str]:
        answer = await self.ask("POST", "/api/v1/session", SAME, json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {**SAME, "cookie": f"{PLAIN}={cookie_in(answer)}"}

    async def token(self, *scopes: Scope) -> dict[str, str]:
        """What a program's requests have."""
        _, text = await self.parts.accounts(CLI).create_token("ci", frozenset(scopes))
        return {"authorization": f"Bearer {text}"}

    async def noted(self) -> list[AuditEntry]:
        return list((await self.store.audit(AuditFilter(), Page(500, newest_first=False))).rows)


def cookie_in(answer: httpx.Response) -> str:
    """The value of the first cookie that an answer sets."""
    return answer.headers["set-cookie"].partition("=")[2].partition(";")[0]

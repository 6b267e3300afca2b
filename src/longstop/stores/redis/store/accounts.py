"""Users, tokens and sessions: ports.Accounts over Redis."""

from collections.abc import Sequence
from dataclasses import replace

from longstop.model.accounts import Session, Token, User
from longstop.model.listing import Listing, Page
from longstop.stores.record_json import packed, unpacked
from longstop.stores.redis.records import TURNS_MAX, Change, RedisRecords

AT_ONCE = 500


class RedisAccounts(RedisRecords):
    """See ports.Accounts."""

    async def user(self, key: str) -> User | None:
        """See ports.Accounts."""
        kept = await self._record("users", key)
        return None if kept is None else unpacked(kept, User)

    async def users(self, page: Page) -> Listing[User]:
        """See ports.Accounts."""
        return await self._page("users", "users:ids", page, User)

    async def add_user(self, user: User) -> bool:
        """See ports.Accounts."""
        return await self._change(Change("users", user.key, packed(user), None, [("users:ids", 0, user.key)]))

    async def change_user(self, user: User, stamp: str) -> bool:
        """See ports.Accounts."""
        kept = await self._record("users", user.key)
        if kept is None or unpacked(kept, User).stamp != stamp:
            return False
        return await self._change(Change("users", user.key, packed(user), kept))

    async def remove_user(self, key: str) -> bool:
        """See ports.Accounts."""
        return await self._remove("users", key)

    async def token(self, id_: str) -> Token | None:
        """See ports.Accounts."""
        kept = await self._record("tokens", id_)
        return None if kept is None else unpacked(kept, Token)

    async def tokens(self, page: Page) -> Listing[Token]:
        """See ports.Accounts."""
        return await self._page("tokens", "tokens:ids", page, Token)

    async def add_token(self, token: Token) -> None:
        """See ports.Accounts."""
        await self._change(Change("tokens", token.id, packed(token), None, [("tokens:ids", 0, token.id)]))

    async def remove_token(self, id_: str) -> bool:
        """See ports.Accounts."""
        return await self._remove("tokens", id_)

    async def _remove(self, table: str, id_: str) -> bool:
        for _ in range(TURNS_MAX):
            kept = await self._record(table, id_)
            if kept is None:
                return False
            if await self._change(Change(table, id_, None, kept, drops=[(f"{table}:ids", id_)])):
                return True
        return False

    async def session(self, id_: str) -> Session | None:
        """See ports.Accounts."""
        kept = await self._record("sessions", id_)
        return None if kept is None else unpacked(kept, Session)

    async def sessions(self, user: str | None, page: Page) -> Listing[Session]:
        """See ports.Accounts."""
        order = "sessions:ids" if user is None else f"sessions:of:{user}"
        return await self._page("sessions", order, page, Session)

    async def add_session(self, session: Session) -> None:
        """See ports.Accounts."""
        places = [("sessions:ids", 0, session.id), (f"sessions:of:{session.user}", 0, session.id)]
        times = [
            ("sessions:seen", session.seen_at_ms, session.id),
            ("sessions:expires", session.expires_at_ms, session.id),
        ]
        await self._change(Change("sessions", session.id, packed(session), None, [*places, *times]))

    async def see_session(self, id_: str, at_ms: int) -> None:
        """See ports.Accounts. Where somebody else changes it at the same time, that one has seen it too."""
        kept = await self._record("sessions", id_)
        if kept is not None:
            seen = packed(replace(unpacked(kept, Session), seen_at_ms=at_ms))
            await self._change(Change("sessions", id_, seen, kept, [("sessions:seen", at_ms, id_)]))

    async def end_sessions(self, ids: Sequence[str]) -> int:
        """See ports.Accounts."""
        kept = zip(ids, await self._records("sessions", ids), strict=True)
        sessions = [(id_, unpacked(raw, Session).user, raw) for id_, raw in kept if raw is not None]
        done = await self._change_each([_ended(id_, user, raw) for id_, user, raw in sessions])
        again = [id_ for (id_, _, _), ended in zip(sessions, done, strict=True) if not ended]
        return sum(done) + (await self.end_sessions(again) if again else 0)

    async def forget_sessions(self, now_ms: int, seen_before_ms: int) -> int:
        """See ports.Accounts."""
        forgotten = 0
        for order, most in (("sessions:expires", now_ms), ("sessions:seen", seen_before_ms - 1)):
            while over := await self._by_score(order, "-inf", most, AT_ONCE):
                ended = await self.end_sessions(over)
                if not ended:
                    break
                forgotten += ended
        return forgotten


def _ended(id_: str, user: str, seen: bytes) -> Change:
    orders = ("sessions:ids", f"sessions:of:{user}", "sessions:seen", "sessions:expires")
    return Change("sessions", id_, None, seen, drops=[(order, id_) for order in orders])

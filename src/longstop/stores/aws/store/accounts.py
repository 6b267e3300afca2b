"""Users, tokens and sessions: ports.Accounts over DynamoDB."""

from collections.abc import Sequence
from dataclasses import replace

from longstop.model.accounts import Session, Token, User
from longstop.model.listing import Listing, Page
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.records import AwsRecords, Order, dropping, record_item, to_record
from longstop.stores.aws.table import number, ttl_after


class AwsAccounts(AwsRecords):
    """See ports.Accounts."""

    async def user(self, key: str) -> User | None:
        """See ports.Accounts."""
        return await self._read((keys.USERS, key), User)

    async def users(self, page: Page) -> Listing[User]:
        """See ports.Accounts."""
        return await self._page(Order(keys.USERS), page, _user)

    async def add_user(self, user: User) -> bool:
        """See ports.Accounts."""
        return await self._add(record_item((keys.USERS, user.key), user))

    async def change_user(self, user: User, stamp: str) -> bool:
        """See ports.Accounts."""
        new = record_item((keys.USERS, user.key), user)

        def changed(kept: Item | None) -> Item | None:
            return new if kept is not None and _user(kept).stamp == stamp else None

        return await self._change((keys.USERS, user.key), changed) is not None

    async def remove_user(self, key: str) -> bool:
        """See ports.Accounts."""
        return await self._remove((keys.USERS, key))

    async def token(self, id_: str) -> Token | None:
        """See ports.Accounts."""
        return await self._read((keys.TOKENS, id_), Token)

    async def tokens(self, page: Page) -> Listing[Token]:
        """See ports.Accounts."""
        return await self._page(Order(keys.TOKENS), page, lambda item: to_record(item, Token))

    async def add_token(self, token: Token) -> None:
        """See ports.Accounts."""
        await self._add(record_item((keys.TOKENS, token.id), token))

    async def remove_token(self, id_: str) -> bool:
        """See ports.Accounts."""
        return await self._remove((keys.TOKENS, id_))

    async def session(self, id_: str) -> Session | None:
        """See ports.Accounts."""
        return await self._read((keys.SESSIONS, id_), Session)

    async def sessions(self, user: str | None, page: Page) -> Listing[Session]:
        """See ports.Accounts."""
        order = Order(keys.SESSIONS) if user is None else Order(keys.SESSIONS, "turn", f"{user}#")
        return await self._page(order, page, _session)

    async def add_session(self, session: Session) -> None:
        """See ports.Accounts."""
        await self._add(_session_item(session))

    async def see_session(self, id_: str, at_ms: int) -> None:
        """See ports.Accounts."""

        def seen(kept: Item | None) -> Item | None:
            return None if kept is None else _session_item(replace(_session(kept), seen_at_ms=at_ms))

        await self._change((keys.SESSIONS, id_), seen)

    async def end_sessions(self, ids: Sequence[str]) -> int:
        """See ports.Accounts."""
        places = [(keys.SESSIONS, id_) for id_ in ids]
        return sum(await self.units.run([dropping(each) for each in places], places))

    async def forget_sessions(self, now_ms: int, seen_before_ms: int) -> int:
        """See ports.Accounts."""
        expired = await self._drop_over(keys.SESSIONS, "expires", now_ms + 1)
        return expired + await self._drop_over(keys.SESSIONS, "tries", seen_before_ms)


def _user(item: Item) -> User:
    return to_record(item, User)


def _session(item: Item) -> Session:
    return to_record(item, Session)


def _session_item(session: Session) -> Item:
    """With its places: of its user, by when it expires, by when it was used."""
    return record_item(
        (keys.SESSIONS, session.id),
        session,
        turn=f"{session.user}#{session.id}",
        expires=f"{number(session.expires_at_ms)}#{session.id}",
        tries=f"{number(session.seen_at_ms)}#{session.id}",
        ttl=ttl_after(session.expires_at_ms),
    )

"""Users, tokens and sessions: ports.Accounts over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.accounts import Session, Token, User
from longstop.model.listing import Listing, Page
from longstop.stores.postgres import accounts
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.statements import unsynced


class PostgresAccounts(PostgresDatabase):
    """See ports.Accounts."""

    async def user(self, key: str) -> User | None:
        """See ports.Accounts."""
        return await self.view(lambda connection: accounts.user(connection, key))

    async def users(self, page: Page) -> Listing[User]:
        """See ports.Accounts."""
        return await self.view(lambda connection: accounts.users(connection, page))

    async def add_user(self, user: User) -> bool:
        """See ports.Accounts."""
        return await self.transact(lambda connection: accounts.add_user(connection, user))

    async def change_user(self, user: User, stamp: str) -> bool:
        """See ports.Accounts."""
        return await self.transact(lambda connection: accounts.change_user(connection, user, stamp))

    async def remove_user(self, key: str) -> bool:
        """See ports.Accounts."""
        return await self.transact(lambda connection: accounts.remove_user(connection, key))

    async def token(self, id_: str) -> Token | None:
        """See ports.Accounts."""
        return await self.view(lambda connection: accounts.token(connection, id_))

    async def tokens(self, page: Page) -> Listing[Token]:
        """See ports.Accounts."""
        return await self.view(lambda connection: accounts.tokens(connection, page))

    async def add_token(self, token: Token) -> None:
        """See ports.Accounts."""
        await self.transact(lambda connection: accounts.add_token(connection, token))

    async def remove_token(self, id_: str) -> bool:
        """See ports.Accounts."""
        return await self.transact(lambda connection: accounts.remove_token(connection, id_))

    async def session(self, id_: str) -> Session | None:
        """See ports.Accounts."""
        return await self.view(lambda connection: accounts.session(connection, id_))

    async def sessions(self, user: str | None, page: Page) -> Listing[Session]:
        """See ports.Accounts."""
        return await self.view(lambda connection: accounts.sessions(connection, user, page))

    async def add_session(self, session: Session) -> None:
        """See ports.Accounts."""
        await self.transact(lambda connection: accounts.add_session(connection, session))

    async def see_session(self, id_: str, at_ms: int) -> None:
        """See ports.Accounts."""
        await self.transact(unsynced(lambda connection: accounts.see_session(connection, id_, at_ms)))

    async def end_sessions(self, ids: Sequence[str]) -> int:
        """See ports.Accounts."""
        return await self.transact(lambda connection: accounts.end_sessions(connection, ids))

    async def forget_sessions(self, now_ms: int, seen_before_ms: int) -> int:
        """See ports.Accounts."""
        return await self.transact(
            unsynced(lambda connection: accounts.forget_sessions(connection, now_ms, seen_before_ms))
        )

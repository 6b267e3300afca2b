"""Users, tokens and sessions."""

from collections.abc import Sequence
from dataclasses import replace

from longstop.model.accounts import Session, Token, User
from longstop.model.listing import Listing, Page
from longstop.stores.memory.paging import page_of


class MemoryAccounts:
    """Who may use the operators' side."""

    def __init__(self) -> None:
        super().__init__()
        self._users: dict[str, User] = {}
        self._tokens: dict[str, Token] = {}
        self._sessions: dict[str, Session] = {}

    async def user(self, key: str) -> User | None:
        """A user."""
        return self._users.get(key)

    async def users(self, page: Page) -> Listing[User]:
        """One page of users."""
        return page_of(self._users, page)

    async def add_user(self, user: User) -> bool:
        """Keep a new user."""
        return self._users.setdefault(user.key, user) is user

    async def change_user(self, user: User, stamp: str) -> bool:
        """Put a user in the place of the one that has this stamp."""
        kept = self._users.get(user.key)
        if kept is None or kept.stamp != stamp:
            return False
        self._users[user.key] = user
        return True

    async def remove_user(self, key: str) -> bool:
        """Drop a user."""
        return self._users.pop(key, None) is not None

    async def token(self, id_: str) -> Token | None:
        """A token."""
        return self._tokens.get(id_)

    async def tokens(self, page: Page) -> Listing[Token]:
        """One page of tokens."""
        return page_of(self._tokens, page)

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""
        self._tokens.setdefault(token.id, token)

    async def remove_token(self, id_: str) -> bool:
        """Drop a token."""
        return self._tokens.pop(id_, None) is not None

    async def session(self, id_: str) -> Session | None:
        """A session."""
        return self._sessions.get(id_)

    async def sessions(self, user: str | None, page: Page) -> Listing[Session]:
        """One page of sessions."""
        return page_of({id_: each for id_, each in self._sessions.items() if user in (None, each.user)}, page)

    async def add_session(self, session: Session) -> None:
        """Keep a new session."""
        self._sessions.setdefault(session.id, session)

    async def see_session(self, id_: str, at_ms: int) -> None:
        """Note that it was used."""
        if id_ in self._sessions:
            self._sessions[id_] = replace(self._sessions[id_], seen_at_ms=at_ms)

    async def end_sessions(self, ids: Sequence[str]) -> int:
        """Drop sessions."""
        return sum(self._sessions.pop(id_, None) is not None for id_ in ids)

    async def forget_sessions(self, now_ms: int, seen_before_ms: int) -> int:
        """Drop those that are over."""
        over = [
            id_
            for id_, each in self._sessions.items()
            if each.expires_at_ms <= now_ms or each.seen_at_ms < seen_before_ms
        ]
        return await self.end_sessions(over)

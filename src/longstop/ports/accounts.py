"""Who may use the operators' side: users, tokens, and who is signed in."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.accounts import Session, Token, User
from longstop.model.listing import Listing, Page


class Accounts(Protocol):
    """Each has one key, by which it is found: a user its name in lower case, a token and a session their id.

    Nothing refers to another so that two had to change together: a session is over when its stamp is no longer its
    user's.
    """

    async def user(self, key: str) -> User | None:
        """A user by the key of its name."""

    async def users(self, page: Page) -> Listing[User]:
        """One page of users, by key."""

    async def add_user(self, user: User) -> bool:
        """Keep a new user. False where there is one of its key; then nothing was changed."""

    async def change_user(self, user: User, stamp: str) -> bool:
        """Put a user in the place of the one of its key that has this stamp. False where there is none: somebody was
        quicker, and nothing was changed."""

    async def remove_user(self, key: str) -> bool:
        """Drop a user. False where there is none."""

    async def token(self, id_: str) -> Token | None:
        """A token by its id."""

    async def tokens(self, page: Page) -> Listing[Token]:
        """One page of tokens, by id, which is by age."""

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""

    async def remove_token(self, id_: str) -> bool:
        """Drop a token. False where there is none."""

    async def session(self, id_: str) -> Session | None:
        """A session by its id."""

    async def sessions(self, user: str | None, page: Page) -> Listing[Session]:
        """One page of sessions, by id: of the user of this key, None: of all."""

    async def add_session(self, session: Session) -> None:
        """Keep a new session."""

    async def see_session(self, id_: str, at_ms: int) -> None:
        """Note that it was used; nothing to do where it has ended. Need not survive a power cut."""

    async def end_sessions(self, ids: Sequence[str]) -> int:
        """Drop sessions; how many of them there were."""

    async def forget_sessions(self, now_ms: int, seen_before_ms: int) -> int:
        """Drop sessions that have expired (`expires_at_ms <= now_ms`), or were used last before a time; how many."""

"""The services that the store needs: a template of them, making them for a first try, and what is wrong with them."""

from longstop.stores.aws.setup.account import Account
from longstop.stores.aws.setup.wanted import Wanted

__all__ = ["Account", "Wanted"]

"""Adapters for the ports `Inbox` and `Ledger`, one backend each. All pass `longstop.testing.store_contract`."""

"""The ports: what the services need of the outside, as protocols. Adapters implement them; services see only these.

A store is an `Inbox` (what happens to every event) and a `Ledger` (what people ask and decide).
Both are made of batches, because that is what every backend is good at: one transaction on SQLite and
PostgreSQL, one pipeline on Redis, one SendMessageBatch or TransactWriteItems on AWS. Callers never
batch by hand: `group_commit.GroupCommit` does it for all of them.
"""

from longstop.ports.accounts import Accounts
from longstop.ports.alerts import AlertBooks
from longstop.ports.archive import Archive
from longstop.ports.audit import AuditLog
from longstop.ports.bodies import Bodies
from longstop.ports.clock import Clock
from longstop.ports.decisions import Decisions
from longstop.ports.health import Health
from longstop.ports.identities import Identities
from longstop.ports.inbox import Inbox
from longstop.ports.jobs import Jobs
from longstop.ports.keyed_requests import KeyedRequests
from longstop.ports.ledger import Ledger
from longstop.ports.listener import Alerter, AlertListener, CircuitListener
from longstop.ports.lookups import Lookups
from longstop.ports.nodes import Nodes
from longstop.ports.rejections import Rejections
from longstop.ports.retention import Retention, WithoutSpans
from longstop.ports.sender import Sender, TransactionalSender
from longstop.ports.source import Read, Reader, Source
from longstop.ports.statistics import Statistics
from longstop.ports.store import Backups, Store, Transactions
from longstop.ports.transfer import Transfer

__all__ = [
    "Accounts",
    "AlertBooks",
    "AlertListener",
    "Alerter",
    "Archive",
    "AuditLog",
    "Backups",
    "Bodies",
    "CircuitListener",
    "Clock",
    "Decisions",
    "Health",
    "Identities",
    "Inbox",
    "Jobs",
    "KeyedRequests",
    "Ledger",
    "Lookups",
    "Nodes",
    "Read",
    "Reader",
    "Rejections",
    "Retention",
    "Sender",
    "Source",
    "Statistics",
    "Store",
    "TransactionalSender",
    "Transactions",
    "Transfer",
    "WithoutSpans",
]

"""The other half of a store: what people ask and decide, a part for each subject."""

from typing import Protocol

from longstop.ports.accounts import Accounts
from longstop.ports.alerts import AlertBooks
from longstop.ports.audit import AuditLog
from longstop.ports.decisions import Decisions
from longstop.ports.health import Health
from longstop.ports.jobs import Jobs
from longstop.ports.keyed_requests import KeyedRequests
from longstop.ports.lookups import Lookups
from longstop.ports.nodes import Nodes
from longstop.ports.rejections import Rejections
from longstop.ports.retention import Retention
from longstop.ports.statistics import Statistics
from longstop.ports.transfer import Transfer


class Ledger(
    Lookups,
    Decisions,
    Jobs,
    Nodes,
    Health,
    Retention,
    Rejections,
    KeyedRequests,
    Statistics,
    Accounts,
    AuditLog,
    AlertBooks,
    Transfer,
    Protocol,
):
    """What people ask and decide."""

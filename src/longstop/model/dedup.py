"""Dedup keys as stores keep them: short, and the same in every store, so that one can take over another's."""

import hashlib

from longstop.model.value import value

ORDERED_BYTES = 24
"""As much of a dedup key as an RFC 3339 time takes, in a JSON array."""


def dedup_digest(source: str, dedup: bytes) -> bytes:
    """What a source and key are known by: how the key begins, and a hash.

    The hash keeps every pair of them apart from every other (hence the length in front). The beginning keeps the order:
    where keys begin with a time, as many senders' do, those of one commit stand side by side. As hashes alone they
    would be scattered over a whole index, and each would dirty a page of its own.
    """
    name = source.encode()
    return dedup[:ORDERED_BYTES] + hashlib.blake2b(b"%d:%b%b" % (len(name), name, dedup), digest_size=16).digest()


@value(frozen=True, slots=True)
class DedupKey:
    """A dedup key that is kept, and whose it is; its event may have been forgotten meanwhile."""

    digest: bytes
    """See `dedup_digest`."""
    event_id: str
    until_ms: int
    """Until when another event of it is a duplicate (exclusive)."""

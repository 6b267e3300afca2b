"""How many connections a process can have: each takes a file descriptor, and those of the store come first."""

import contextlib

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

CONNECTIONS_MAX = 8192
"""More are not kept open, of all senders together."""
DESCRIPTORS_WANTED = 4 * CONNECTIONS_MAX
_FEW = 512


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may. How many connections are kept open at most: half of that."""
    if resource is None:
        return _FEW
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, soft // 2)

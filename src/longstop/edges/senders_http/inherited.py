"""A listening socket that this process was started with: whoever started it keeps it open while the process is away.

systemd's socket units do so (sd_listen_fds(3)). Who connects between the end of one process and the start of the next
waits, and is not refused; and several processes may take connections from one socket.
"""

import os
import socket
from collections.abc import Mapping

from longstop.edges.senders_http.server import ListenError

FIRST = 3
"""The number of the first descriptor that is handed on (SD_LISTEN_FDS_START)."""
EXPECTED = "expected one listening TCP socket, for senders: see deploy/longstop.socket"


def inherited(environ: Mapping[str, str], process: int) -> socket.socket | None:
    """The socket that was meant for the process with this id; None where there is none.

    Raises ListenError where it is another kind of socket, or there are several.
    """
    if environ.get("LISTEN_PID") != str(process):
        return None
    count = environ.get("LISTEN_FDS", "")
    if count != "1":
        raise ListenError(f"found {count or 'no number of'} sockets handed on by systemd (LISTEN_FDS); {EXPECTED}")
    try:
        os.set_inheritable(FIRST, False)
        found = socket.socket(fileno=FIRST)
    except OSError as error:
        raise ListenError(f"found no socket at descriptor {FIRST} ({error.strerror}); {EXPECTED}") from None
    if not _listens(found):
        # The descriptor may be anybody's.
        found.detach()
        raise ListenError(f"found another kind of socket at descriptor {FIRST}; {EXPECTED}")
    return found


def _listens(found: socket.socket) -> bool:
    is_tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    return is_tcp and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

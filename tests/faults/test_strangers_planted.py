"""The proof of the proof: each guard against strangers is taken out once, and the attack it is for breaks the bounds.

A plant is Python that runs in the gateway before it starts. Every one costs an attack, so a few are run always and
all of them with STRANGERS_PLANTS=all.
"""

import os
from dataclasses import dataclass

import pytest

from acceptance.harness import Site
from faults.quiet import attacked
from faults.test_strangers import ROUNDS, SECONDS, broken, pytestmark

__all__ = ["pytestmark"]

ALL = os.environ.get("STRANGERS_PLANTS") == "all"


@dataclass(frozen=True)
class Plant:
    """A guard that is taken out."""

    attack: str
    what: str
    code: str
    always: bool = False


CONNECTION = "from longstop.edges.senders_http import connection, parsing\n"
PLANTS = (
    Plant(
        "pipelined 404",
        "a connection goes on as long as it has something to say",
        f"{CONNECTION}connection.TURN_BYTES = connection.TURN_REQUESTS = 1 << 60",
        always=True,
    ),
    Plant(
        "pipelined healthz, unread",
        "answers are written whether or not they are read",
        f"{CONNECTION}connection.Connection.pause_writing = lambda self: None",
    ),
    Plant(
        "trailers",
        "what is no payload is neither counted nor dropped",
        f"{CONNECTION}parsing.OVERHEAD_BYTES_MAX = parsing.BETWEEN_BYTES_MAX = 1 << 60\n"
        "parsing.RequestParser._drop_trailer = lambda self: self._headers.append((b'n' * 20, b'v' * 200))",
        always=True,
    ),
    Plant(
        "chunks of one byte",
        "chunks are kept one by one, however small, and parsed at one go",
        f"{CONNECTION}parsing.OVERHEAD_BYTES_MAX = connection.TURN_BYTES = connection.SLICE_BYTES = 1 << 60",
    ),
    Plant(
        "a body behind a 404",
        "a body that nobody wants is read to its end",
        f"{CONNECTION}connection.UNWANTED_BYTES_MAX = connection.HEAD_WITHIN_S = 1 << 40",
    ),
    Plant(
        "180 unfinished bodies",
        "nobody gives way, and no address has a share of its own",
        "from longstop.edges.senders_http import body_limits as limits\n"
        "limits.ADDRESS_BYTES_MAX = limits.SOURCE_BYTES_MAX = limits.UNFINISHED_BYTES_MAX\n"
        "def refuse(self, share, asking, size, limit):\n    raise limits._crowded()\n"
        "limits.UnfinishedBodies._make_room = refuse",
    ),
    Plant(
        "to-destination: 100 Continue",
        "interim answers are not counted",
        "from longstop.senders import response_limits as limits\nlimits.INTERIM_MAX = limits.HEAD_BYTES_MAX = 1 << 60",
        always=True,
    ),
    Plant(
        "to-token: no end",
        "what is behind a head is not counted",
        "from longstop.senders import response_limits as limits\nlimits.BODY_BYTES_MAX = 1 << 60",
    ),
    Plant(
        "stripe, 16 signatures",
        "a body is hashed for each signature that was sent, on the event loop",
        "from longstop.accepting import ingest\nfrom longstop.sources.verification import HmacVerifier\n"
        "once, ingest.BODY_BYTES = HmacVerifier.signs, 1 << 60\n"
        "HmacVerifier.signs = lambda self, sent, *content: any([once(self, [one], *content) for one in sent])",
        always=True,
    ),
    Plant(
        "twilio form",
        "a form may be of any size, and is read on the event loop",
        "from longstop.accepting import ingest\nfrom longstop.model import settings, signing\n"
        "ingest.BODY_BYTES = signing.FORM_BYTES_MAX = 1 << 60\nsettings.BODY_BYTES_MAX_OF = {}",
    ),
    Plant(
        "signed: a filter over many items",
        "intricate bodies are read on the event loop",
        "from longstop.accepting.ingest import Ingest\nIngest._reads_here = lambda *_: True",
    ),
)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(each, marks=() if ALL or each.always else pytest.mark.skip(reason="STRANGERS_PLANTS=all runs it"))
        for each in PLANTS
    ],
    ids=lambda each: f"{each.attack}: {each.what}",
)
def test_that_a_guard_is_missing_would_be_found(plant: Plant, site: Site) -> None:
    assert any(broken(attacked(site, plant.attack, SECONDS, plant.code)) for _ in range(ROUNDS))

"""Unfinished bodies: who gives way to whom."""

import re
from pathlib import Path

import pytest
from services import on_virtual_time

from longstop.edges.senders_http import body_limits
from longstop.edges.senders_http.body_limits import (
    ADDRESS_BYTES_MAX,
    ROOM_AT_ONCE,
    SOURCE_BYTES_MAX,
    UNFINISHED_BYTES_MAX,
    CrowdedError,
    UnfinishedBodies,
    UnfinishedBody,
)
from longstop.model.addresses import sender_of
from longstop.model.errors import IngestError

MEBIBYTE = 1024 * 1024
LARGE = 10 * MEBIBYTE


class Crowd:
    """Bodies, and which of them were cut."""

    def __init__(self) -> None:
        self.bodies = UnfinishedBodies()
        self.cut: dict[UnfinishedBody, IngestError] = {}

    def begin(self, address: str, source: str = "shop", proof: bool = False, size: int = 0) -> UnfinishedBody:
        def cut(error: IngestError) -> None:
            self.cut[body] = error

        body = self.bodies.begin(cut, address, source, proof)
        if size:
            try:
                self.bodies.hold(body, size)
            except CrowdedError as error:
                self.bodies.end(body)
                cut(error)
        return body


def far_apart(number: int) -> str:
    return f"198.51.{number // 256}.{number % 256}"


@on_virtual_time
async def test_strangers_of_one_address_have_its_share_and_no_more() -> None:
    crowd = Crowd()
    for _ in range(26):
        crowd.begin("203.0.113.9", size=LARGE)
    assert crowd.bodies.held <= ADDRESS_BYTES_MAX
    genuine = crowd.begin("198.51.100.1", proof=True, size=1_000)
    crowd.bodies.hold(genuine, 1_000)
    assert genuine not in crowd.cut


@pytest.mark.parametrize("strangers_claim", [False, True])
@on_virtual_time
async def test_strangers_of_many_addresses_give_way_to_a_small_body_that_bears_a_proof(strangers_claim: bool) -> None:
    crowd = Crowd()
    for number in range(40):
        crowd.begin(far_apart(number), f"name-{number}", strangers_claim, LARGE)
    full = crowd.bodies.held
    assert UNFINISHED_BYTES_MAX - LARGE < full <= UNFINISHED_BYTES_MAX
    cut = len(crowd.cut)
    genuine = crowd.begin("198.51.100.1", proof=True)
    for _ in range(9):
        crowd.bodies.hold(genuine, MEBIBYTE)
    assert genuine not in crowd.cut
    assert len(crowd.cut) > cut
    assert all(isinstance(error, CrowdedError) for error in crowd.cut.values())


@on_virtual_time
async def test_who_shows_nothing_goes_before_who_is_larger() -> None:
    crowd = Crowd()
    shown = [crowd.begin(far_apart(number), f"name-{number}", True, LARGE) for number in range(25)]
    nothing = crowd.begin("203.0.113.1", "name", False, 5 * MEBIBYTE)
    crowd.begin("203.0.113.2", "another", True, 2 * MEBIBYTE)
    assert list(crowd.cut) == [nothing]
    assert not set(shown) & set(crowd.cut)


@on_virtual_time
async def test_the_largest_is_refused_itself() -> None:
    crowd = Crowd()
    for number in range(256):
        crowd.begin(far_apart(number), f"name-{number}", True, MEBIBYTE)
    largest = crowd.begin("203.0.113.1", proof=True)
    with pytest.raises(CrowdedError):
        crowd.bodies.hold(largest, 2 * MEBIBYTE)
    assert not crowd.cut


@on_virtual_time
async def test_a_source_has_a_share_too() -> None:
    crowd = Crowd()
    for number in range(30):
        crowd.begin(far_apart(number), "loud", size=LARGE)
    assert crowd.bodies.held <= SOURCE_BYTES_MAX
    cut = len(crowd.cut)
    crowd.begin("203.0.113.1", "quiet", size=LARGE)
    assert len(crowd.cut) == cut


@on_virtual_time
async def test_of_equals_the_slowest_goes() -> None:
    crowd = Crowd()
    made = [crowd.begin("203.0.113.9", proof=True, size=ADDRESS_BYTES_MAX // 4) for _ in range(5)]
    assert list(crowd.cut) == made[: len(crowd.cut)]
    assert 1 <= len(crowd.cut) <= 2


@on_virtual_time
async def test_room_is_made_for_many_at_once() -> None:
    crowd = Crowd()
    size = UNFINISHED_BYTES_MAX // 2048
    for number in range(2048):
        crowd.begin(far_apart(number), f"name-{number % 16}", size=size)
    crowd.begin("203.0.113.1", size=size)
    assert len(crowd.cut) == 2048 // ROOM_AT_ONCE + 1


@on_virtual_time
async def test_nothing_is_left_of_those_that_have_ended() -> None:
    crowd = Crowd()
    made = [crowd.begin(far_apart(number), f"name-{number}", size=LARGE) for number in range(30)]
    for body in made:
        crowd.bodies.end(body)
        crowd.bodies.end(body)
        crowd.bodies.hold(body, 1)
    assert (crowd.bodies.held, len(crowd.bodies)) == (0, 0)
    assert (crowd.bodies._of_addresses, crowd.bodies._of_sources) == ({}, {})


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("x:y", ""),
    ],
)
def test_who_is_taken_for_one(address: str | None, who: str) -> None:
    assert sender_of(address) == who


def test_the_shares_are_parts_of_the_whole() -> None:
    assert body_limits.ADDRESS_BYTES_MAX < body_limits.SOURCE_BYTES_MAX < body_limits.UNFINISHED_BYTES_MAX


SENDERS_HTTP = Path(body_limits.__file__).parent
NO_LIMITS = {"CLOSE", "HEAD", "BODY", "UNWANTED", "OVER", "FIRST", "EXPECTED"}


@pytest.mark.parametrize("path", sorted(SENDERS_HTTP.glob("*.py")), ids=lambda path: path.name)
def test_every_limit_of_the_senders_side_is_documented(path: Path) -> None:
    page = (SENDERS_HTTP.parents[3] / "docs/backpressure.md").read_text()
    for name in re.findall(r"^([A-Z][A-Z_]+) = ", path.read_text(), re.MULTILINE):
        assert name in NO_LIMITS or f"`{name}`" in page, f"{name} of {path.name} has no row"

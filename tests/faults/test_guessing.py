"""Guessing names and signatures teaches nothing: a source that does not exist does the same work and says the same.

And a rule for whoever writes a source: what is secret is compared with `compare_digest`, nothing else.
"""

import ast
import hmac
import re
from pathlib import Path
from typing import Any

import pytest

import longstop
from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import build, unknown_sources

SOURCES = Path(longstop.__file__).parent / "sources"
SECRET_NAMES = re.compile(r"secret|signature|digest|token|password|expected|mac\b|credential", re.IGNORECASE)
BODY = b'{"id": 1}' * 1_000
CONFIGURED = {
    "one secret": SourceSettings("a", "genesys-open-messaging", secrets=("right",)),
    "two secrets": SourceSettings("a", "genesys-open-messaging", secrets=("right", "old")),
    "sha512": SourceSettings("a", "generic", secrets=("right",), verify=VerifySettings("hmac-sha512", "X-Signature")),
    "bearer": SourceSettings("a", "generic", secrets=("right", "old"), verify=VerifySettings("bearer")),
    "small": SourceSettings(
        "a", "generic", secrets=("right",), verify=VerifySettings("hmac-sha1", "X-Signature"), max_body_bytes=20_000
    ),
}
REQUESTS = {
    "no proof": Request(Headers(), BODY),
    "wrong proof": Request(
        Headers([("X-Hub-Signature-256", "sha256=AA=="), ("X-Signature", "00"), ("Authorization", "Bearer wrong")]),
        BODY,
    ),
    "empty": Request(Headers(), b""),
}


class Work:
    """What was computed and compared: how often, over how many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, int]] = []
        digest, compare = hmac.digest, hmac.compare_digest

        def counted_digest(key: Any, message: Any, name: str) -> bytes:
            self.done.append((f"hmac-{name}", len(message)))
            return digest(key, message, name)

        def counted_compare(a: Any, b: Any) -> bool:
            self.done.append(("compare", len(b)))
            return compare(a, b)

        monkeypatch.setattr(hmac, "digest", counted_digest)
        monkeypatch.setattr(hmac, "compare_digest", counted_compare)

    def of(self, source: Source, request: Request) -> tuple[str, list[tuple[str, int]]]:
        self.done.clear()
        with pytest.raises(VerificationError) as caught:
            source.verify(request, 0)
        return str(caught.value), list(self.done)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("settings", CONFIGURED.values(), ids=CONFIGURED)
def test_a_name_that_does_not_exist_does_the_same_work(
    settings: SourceSettings, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = build(settings)
    stranger = unknown_sources([source], b"random")("nobody")
    work = Work(monkeypatch)
    said, done = work.of(source, request_)
    assert done, "nothing was compared at all"
    assert work.of(stranger, request_) == (said, done)
    assert (stranger.body_bytes_max("/x"), stranger.methods("/x")) == (
        source.body_bytes_max("/x"),
        source.methods("/x"),
    )


def test_the_right_proof_for_a_name_that_does_not_exist_is_refused_after_the_same_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = build(CONFIGURED["bearer"])
    stranger = unknown_sources([source], b"random")("nobody")
    right = Request(Headers([("Authorization", "Bearer right")]), BODY)
    source.verify(right, 0)
    assert Work(monkeypatch).of(stranger, right)[1] == Work(monkeypatch).of(source, REQUESTS["wrong proof"])[1]


def test_a_name_s_stand_in_stays_and_every_source_stands_in_for_some() -> None:
    sources = [build(each) for each in CONFIGURED.values()]
    stand_in = unknown_sources(sources, b"random")
    assert all(stand_in(f"name-{number}") is stand_in(f"name-{number}") for number in range(20))
    assert len({stand_in(f"name-{number}") for number in range(200)}) == len(sources)
    elsewhere = unknown_sources(sources, b"other")
    names = [f"name-{number}" for number in range(50)]
    assert [sources.index(stand_in(name)._model) for name in names] != [
        sources.index(elsewhere(name)._model) for name in names
    ]


def test_a_source_that_admits_anybody_stands_in_for_nobody() -> None:
    open_door = build(SourceSettings("a", "generic", verify=VerifySettings("none")))
    with pytest.raises(VerificationError):
        unknown_sources([open_door], b"random")("nobody").verify(REQUESTS["empty"], 0)


def compared_in_the_open(path: Path) -> list[str]:
    """Comparisons with == or != of something that is named like a secret, save with a constant."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare) or not all(isinstance(op, ast.Eq | ast.NotEq | ast.In) for op in node.ops):
            continue
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) for side in sides):
            continue
        names = [ast.unparse(side) for side in sides]
        if any(SECRET_NAMES.search(name) and not name.startswith("len(") for name in names):
            found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.py")), ids=lambda path: path.name)
def test_sources_compare_secrets_with_compare_digest_only(path: Path) -> None:
    assert compared_in_the_open(path) == []


def test_the_rule_finds_what_breaks_it(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def admits(sent, secret):\n    return sent == secret or sent in expected_tokens\n")
    assert len(compared_in_the_open(planted)) == 2

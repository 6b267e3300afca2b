"""Strangers and neighbours that deceive: about what was sent, who sent it, what a log says, who may look.

Each against the real program. What stalls or fills it is in test_strangers.py.
"""

import base64
import contextlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.destination import Reply
from acceptance.harness import BEARER_TOKEN, HMAC_SECRET, LIMIT_S, PROOFS, Answer, Process, Site, wait_until

BODY = b'{"id": "upgraded", "type": "order", "customer": "c-1"}'
SOURCES = """
[sources.open]
kind = "generic"
verify = { scheme = "none" }
[sources.basic]
kind = "generic"
verify = { scheme = "basic", username = "u" }
secrets = ["${BEARER_TOKEN}"]
[sources.header]
kind = "generic"
verify = { scheme = "header", header = "X-Key" }
secrets = ["${BEARER_TOKEN}"]
[sources.twilio]
kind = "twilio"
secrets = ["${HMAC_SECRET}"]
public_url = "https://hooks.example/webhooks/twilio"
[sources.near]
kind = "generic"
verify = { scheme = "none" }
allow = ["203.0.113.0/24"]
[sources.byoc]
kind = "cxone-byoc"
client_id = "cxone"
secrets = ["${HMAC_SECRET}"]
[sources.byoc-of-another]
kind = "cxone-byoc"
client_id = "cxone"
secrets = ["${HMAC_SECRET}"]
"""
PROOF_OF = {
    "open": lambda _body: {},
    "basic": lambda _body: {"Authorization": "Basic " + base64.b64encode(f"u:{BEARER_TOKEN}".encode()).decode()},
    "header": lambda _body: {"X-Key": BEARER_TOKEN},
    "anything": PROOFS["anything"],
    "shop": PROOFS["shop"],
}


class Spoken:
    """One connection to the gateway, byte by byte."""

    def __init__(self, site: Site) -> None:
        self._socket = socket.create_connection(("127.0.0.1", site.port), LIMIT_S)
        self._said = self._socket.makefile("rb")

    def say(self, data: bytes) -> "Spoken":
        with contextlib.suppress(OSError):
            self._socket.sendall(data)
        return self

    def answer(self) -> Answer:
        """The next answer; status 0 where the connection is closed instead."""
        line = self._said.readline().split()
        if len(line) < 2:
            return Answer(0, {}, b"")
        lines = iter(self._said.readline, b"\r\n")
        headers = dict(each.decode("latin-1").strip().lower().split(": ", 1) for each in lines if each)
        return Answer(int(line[1]), headers, self._said.read(int(headers.get("content-length", 0))))

    def rest(self) -> list[int]:
        """The statuses of all answers until the connection is closed."""
        statuses = []
        with contextlib.suppress(OSError, ValueError):
            while status := self.answer().status:
                statuses.append(status)
        return statuses


def lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("deceiving"))
    made.configure(more=SOURCES)
    made.config.write_text(made.config.read_text().replace("[server]", '[server]\ntrusted_proxies = ["127.0.0.0/8"]'))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def gateway(site: Site) -> Process:
    return site.serve()


def kept(site: Site) -> int:
    return len(site.ask("events", "list", "--limit", "10000").rows)


# -- about what was sent ------------------------------------------------------------------------


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0", "anything"])
@pytest.mark.parametrize("source", PROOF_OF)
def test_a_wish_to_upgrade_is_ignored_and_the_body_read_whole(source: str, protocol: str, site: Site) -> None:
    wire = Spoken(site)
    for number in range(2):
        body = BODY.replace(b"upgraded", f"{protocol}-{number}".encode())
        head = (
            b"POST /webhooks/%s HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade, HTTP2-Settings\r\n" % source.encode()
        )
        upgrade = b"Upgrade: %s\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n" % protocol.encode()
        wire.say(head + upgrade + lines(PROOF_OF[source](body)) + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        answer = wire.answer()
        assert (answer.status, answer.json["status"]) == (200, "accepted")
        assert site.raw(answer.json["id"]) == body


HIDDEN = b"POST /webhooks/open HTTP/1.1\r\nHost: gateway\r\nContent-Length: 17\r\n\r\n" + b'{"id":"smuggled"}'
POST = b"POST /webhooks/open HTTP/1.1\r\n"
HOST = b"Host: gateway\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST + HOST + b"\r\n", 411),
        (POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (POST + HOST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (POST + b"Content-Length: 2\r\n\r\n{}", 400),
        (POST + HOST + b"Host: other\r\nContent-Length: 2\r\n\r\n{}", 400),
    ],
    ids=["no length", "another coding", "another coding in two lines", "no host", "two hosts"],
)
def test_what_is_refused_is_closed_and_what_follows_is_no_request(
    head: bytes, status: int, site: Site, gateway: Process
) -> None:
    before = kept(site)
    statuses = Spoken(site).say(head + HIDDEN).rest()
    assert statuses == [status]
    assert kept(site) == before
    assert [line for line in gateway.err.splitlines() if not line.startswith("{")] == [], "a line that is no JSON"


def _twilio(body: bytes, content: bytes) -> dict[str, str]:
    signed = hmac.digest(HMAC_SECRET.encode(), b"https://hooks.example/webhooks/twilio" + content, "sha1")
    form = "application/x-www-form-urlencoded"
    return {"X-Twilio-Signature": base64.b64encode(signed).decode(), "Content-Type": form}


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    "shifted",
    [
        b"MessageSidS=M1&MessageStatus=sent",
        b"MessageSi=dSM1&MessageStatus=sent",
        b"MessageSid=SM1MessageStatussent",
        b"MessageSid=SM1&MessageStatussent=",
        b"MessageSidSM1MessageStatussent=",
        b"MessageSid=SM1&MessageStatuss=ent",
    ],
)
def test_a_form_whose_names_and_values_are_shifted_is_no_other_event(shifted: bytes, site: Site) -> None:
    body = b"MessageSid=SM1&MessageStatus=sent"
    proof = _twilio(body, b"MessageSidSM1MessageStatussent")
    assert site.request("POST", "/webhooks/twilio", body, proof).status == 200
    before = _alive(site, "twilio")
    site.request("POST", "/webhooks/twilio", shifted, proof)
    assert _alive(site, "twilio") == before


def _alive(site: Site, source: str) -> int:
    """Events of a source that are not in quarantine."""
    rows = site.ask("events", "list", "--source", source, "--limit", "10000").rows
    return sum(not each["deliveries"] or each["deliveries"][0]["state"] != "dead" for each in rows)


# -- about who sent it --------------------------------------------------------------------------


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("203.0.113.9", 200),
        ("[203.0.113.9]junk", 403),
        ("[203.0.113.9", 403),
        ("203.0.113.9:junk", 403),
        ("203.0.113.9:80:80", 403),
        ("203.0.113.9, 198.51.100.1", 403),
        ("0xcb.0.113.9", 403),
        ("203.0.113.009", 403),
    ],
)
def test_a_proxy_s_word_is_an_address_or_nothing(said: str, status: int, site: Site) -> None:
    assert site.request("POST", "/webhooks/near", b"{}", {"X-Forwarded-For": said}).status == status


def token(until_s: int, source: str = "byoc", secret: str = HMAC_SECRET) -> str:
    """A token of `cxone-byoc`, written anew."""
    key = hmac.digest(secret.encode(), f"longstop cxone-byoc token\0{source}".encode(), "sha256")
    return f"{until_s}.{hmac.digest(key, str(until_s).encode(), 'sha256').hex()}"


SOON = int(time.time()) + 600
TOKENS = {
    "good": (token(SOON), 200),
    "expired": (token(int(time.time()) - 1), 401),
    "of another source with the same secret": (token(SOON, "byoc-of-another"), 401),
    "under another secret": (token(SOON, secret="guess"), 401),
    "prolonged": (f"{SOON + 9}.{token(SOON).partition('.')[2]}", 401),
    "prolonged by a digit": (f"{SOON}0.{token(SOON).partition('.')[2]}", 401),
    "without a time": (token(SOON).partition(".")[2], 401),
    "without a signature": (f"{SOON}.", 401),
    "with more behind it": (token(SOON) + "0", 401),
    "the secret itself": (HMAC_SECRET, 401),
}


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("which", TOKENS)
def test_only_a_token_of_this_source_that_has_not_ended_is_good(which: str, site: Site) -> None:
    shown, status = TOKENS[which]
    body = json.dumps({"id": which}).encode()
    path = "/webhooks/byoc/1.0/posts/p1/messages"
    assert site.request("POST", path, body, {"Authorization": f"Bearer {shown}"}).status == status


def test_a_neighbour_s_dead_event_does_not_hold_the_same_key_of_another_source(tmp_path: Path) -> None:
    site = Site(tmp_path)
    ordered = f"""
[destinations.ordered]
url = "http://127.0.0.1:{site.destination.port}/"
allow_private = true
ordered = true
[sources.neighbour]
kind = "generic"
verify = {{ scheme = "bearer" }}
secrets = ["${{BEARER_TOKEN}}"]
key = "customer"
"""
    routes = "".join(f'[[routes]]\nfrom = "{name}"\nto = ["ordered"]\n' for name in ("shop", "neighbour"))
    try:
        site.configure(routes=routes, more=ordered)
        site.serve()
        site.destination.script = lambda arrival: Reply(422 if b"poison" in arrival.body else 200)
        poison = b'{"id": "poison", "customer": "victim-42"}'
        answer = site.request("POST", "/webhooks/neighbour", poison, {"Authorization": f"Bearer {BEARER_TOKEN}"})
        site.wait_for_state(answer.json["id"], "dead")
        mine = [site.accept("shop", b'{"id": "%d", "customer": "victim-42"}' % number) for number in range(2)]
        for id_ in mine:
            site.wait_for_state(id_, "delivered")
    finally:
        site.close()


# -- about what a log says ----------------------------------------------------------------------

HANDLERS = """
import os
from pathlib import Path
from longstop import Reject

def reject(event):
    raise Reject(event.type)

def tell(event):
    Path("told").write_text(repr(dict(os.environ)))
"""
CANARIES = {
    "esc": "\x1b[2J\x1b[31mred",
    "osc": "\x1b]0;owned\x07",
    "c1": "\x9b31m\x9d0;owned\x9c",
    "bidi": "\u202eevil\u2066\u2069",
    "nul": "nul\x00nul",
    "return": "one\rtwo\u2028three\x85four",
    "delete": "abc\x7f\x08\x08",
}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What the console itself writes."""
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys, or shows in another order than it is in."""
A_TERMINAL = "import sys\nsys.stderr.isatty = lambda: True"


def handled(site: Site, handler: str, isolation: str) -> None:
    (site.folder / "handlers_of_strangers.py").write_text(HANDLERS)
    destination = f"""
[destinations.handled]
handler = "handlers_of_strangers:{handler}"
isolation = "{isolation}"
"""
    site.configure(routes='[[routes]]\nfrom = "shop"\nto = ["handled"]\n', more=destination)


def test_nothing_that_a_terminal_obeys_reaches_it_by_a_log(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        handled(site, "reject", "none")
        gateway = site.start(prelude=A_TERMINAL).ready()
        ids = []
        for name, canary in CANARIES.items():
            body = json.dumps({"id": name, "type": f"{canary}-{name}", "customer": canary}).encode()
            answer = site.post("shop", body)
            ids += [answer.json["id"]] if answer.status == 200 else []
        for id_ in ids:
            site.wait_for_state(id_, "dead")
        assert len(ids) >= len(CANARIES) - 1, "only NUL may be refused"
        wait_until(lambda: all(id_ in gateway.err for id_ in ids), "the log to tell of each")
        log = gateway._err.read_bytes().decode()
        assert "owned" in log
        assert RAW.findall(COLOURS.sub("", log)) == []
        for words in (["dead", "list"], ["events", "list"], ["dead", "summary"], ["events", "show", ids[0]]):
            shown = COLOURS.sub("", site.cli(*words).out.decode())
            assert RAW.findall(shown) == [], words
    finally:
        site.close()


# -- about who may look -------------------------------------------------------------------------


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "localhost.evil.example:{port}", ""])
def test_the_operators_side_tells_nothing_to_a_name_that_is_not_its_own(host: str, site: Site) -> None:
    said = host.format(port=site.admin_port)
    answer = site.request("GET", "/metrics", b"", {"Host": said}, site.admin_port)
    assert answer.status in (400, 403, 421)
    assert b"longstop_" not in answer.body


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "127.0.0.1", "[::1]:{port}"]
)
def test_the_operators_side_answers_to_this_machine_s_names(host: str, site: Site) -> None:
    said = host.format(port=site.admin_port)
    assert site.request("GET", "/metrics", b"", {"Host": said}, site.admin_port).status == 200


def test_an_isolated_handler_sees_no_secret_of_others(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        handled(site, "tell", "process")
        site.serve()
        id_ = site.accept("shop", BODY)
        site.wait_for_state(id_, "delivered")
        told = (site.folder / "told").read_text()
        for name in ("GENESYS_SECRET", "BEARER_TOKEN", "HMAC_SECRET"):
            assert name not in told
        assert HMAC_SECRET not in told
        assert "PATH" in told, "what it needs to run is there"
    finally:
        site.close()

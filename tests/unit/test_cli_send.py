"""send: proofs that the sources admit, copies that are distinct events, and what is said of the answers."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_program import FakeProgram

from longstop import sources
from longstop.edges.cli.copies import Copies
from longstop.edges.rows.first_event import reachable
from longstop.model.errors import ConfigurationError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import OWN_SCHEMES, sign
from longstop.testing import payloads

Capture = pytest.CaptureFixture[str]

SCHEMES = {
    "none": VerifySettings(),
    "header": VerifySettings("header", "X-Key", prefix="Key "),
    "bearer": VerifySettings("bearer"),
    "bearer elsewhere": VerifySettings("bearer", "X-Auth"),
    "basic": VerifySettings("basic"),
    "basic user": VerifySettings("basic", username="ann"),
    "sha1 hex": VerifySettings("hmac-sha1", "X-Sig", prefix="sha1="),
    "sha256 base64": VerifySettings("hmac-sha256", "X-Sig", "base64"),
    "sha512 hex": VerifySettings("hmac-sha512", "X-Sig"),
}

SIGNED_AT_MS = 1_780_000_000_000


@pytest.mark.parametrize("verify", SCHEMES.values(), ids=SCHEMES)
def test_what_is_signed_is_admitted(verify: VerifySettings) -> None:
    settings = SourceSettings("s", "generic", ("user:páss", "old:secret"), verify)
    _admitted(settings)


@pytest.mark.parametrize("kind", OWN_SCHEMES)
def test_what_is_signed_in_a_kinds_own_way_is_admitted(kind: str) -> None:
    settings = SourceSettings("s", kind, ("0123456789abcdef",))
    _admitted(settings)
    with pytest.raises(VerificationError):
        _verify(settings, sign(settings, b"{}", SIGNED_AT_MS), b"{ }")


def _admitted(settings: SourceSettings) -> None:
    _verify(settings, sign(settings, b'{"a":1}', SIGNED_AT_MS), b'{"a":1}')


def _verify(settings: SourceSettings, headers: list[tuple[str, str]], body: bytes) -> None:
    # On the wire a header is bytes, which servers hand on as Latin-1.
    wire = Headers([(name, value.encode().decode("latin-1")) for name, value in headers])
    sources.build(settings).verify(Request(wire, body), SIGNED_AT_MS)


def test_without_a_secret_nothing_is_signed() -> None:
    with pytest.raises(ConfigurationError, match=r"sources\.s\.secrets: found none"):
        sign(SourceSettings("s", "generic", verify=VerifySettings("bearer")), b"")


# -- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "dedup", "second"),
    [
        (b'{ "id": "a", "n": 12345678901234567890123 }', None, b'{"id":"a-7-1","n":12345678901234567890123}'),
        (b'{"id":5}', None, b'{"id":"5-7-1"}'),
        (b'{"webhookId":"w","payload":{"id":"a"}}', None, b'{"webhookId":"w","payload":{"id":"a-7-1"}}'),
        (b'{"id":"a","event":{"no":"b"}}', "event.no", b'{"id":"a","event":{"no":"b-7-1"}}'),
        (b'{"id":"a"}', "join('-', [id])", b'{"id":"a-7-1"}'),
    ],
)
def test_copies_differ_in_the_id_alone(body: bytes, dedup: str | None, second: bytes) -> None:
    copies = Copies(body, dedup, "7")
    assert copies.distinct
    assert copies.make(0) == body
    assert copies.make(1) == second


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"id":null}', b'{"id":{"a":1}}', b"\xff", b"[" * 100_000])
def test_a_body_without_an_id_is_copied_as_it_is(body: bytes) -> None:
    copies = Copies(body, None, "7")
    assert not copies.distinct
    assert copies.make(3) == body


def test_a_server_for_any_address_is_reached_on_this_machine() -> None:
    assert reachable("http://0.0.0.0:8080") == "http://127.0.0.1:8080"
    assert reachable("http://[::]:8080") == "http://[::1]:8080"
    assert reachable("http://10.0.0.1:8080") == "http://10.0.0.1:8080"


# -- posting ------------------------------------------------------------------------------------


class _Server(http.server.ThreadingHTTPServer):
    """Answers each body's `answer` (status and text), keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, _Server)
        self.server.got.append((self.path, self.headers["X-Shop-Key"], body))
        status, answer = json.loads(body)["answer"]
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def _file(tmp_path: Path, status: int, answer: str) -> str:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"id": "a", "answer": [status, answer]}))
    return str(file)


@pytest.mark.parametrize(
    ("status", "answer", "exit_status", "row"),
    [
        (200, '{"status":"accepted","id":"e"}', 0, [200, "accepted", "e", None]),
        (200, '{"status":"duplicate","id":"e"}', 0, [200, "duplicate", "e", None]),
        (204, "", 0, [204, "accepted", None, None]),
        (400, '{"detail":"unreadable","id":"q"}', 1, [400, "refused", "q", "HTTP 400: unreadable"]),
        (401, '{"title":"Not verified"}', 1, [401, "refused", None, "HTTP 401: Not verified"]),
        (502, "<html>", 1, [502, "refused", None, "HTTP 502: no reason"]),
    ],
)
def test_answers_for_programs(
    status: int,
    answer: str,
    exit_status: int,
    row: list[object],
    server: _Server,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    file = _file(tmp_path, status, answer)
    assert FakeProgram().cli("send", "shop", file, "--url", server.url, "--json") == exit_status
    shown = json.loads(capsys.readouterr().out)
    assert shown == dict(zip(("status_code", "status", "id", "error"), row, strict=True))
    assert server.got == [("/webhooks/shop", "hunter2-hunter2", Path(file).read_bytes())]


def test_many_distinct_copies_at_a_rate(server: _Server, tmp_path: Path, capsys: Capture) -> None:
    program = FakeProgram()
    file = _file(tmp_path, 200, '{"status":"accepted","id":"e"}')
    assert program.cli("send", "shop", file, "--count", "20", "--rate", "10/s", "--url", server.url) == 0
    assert capsys.readouterr().out == "sent 20, accepted 20, duplicate 0, refused 0, failed 0\n"
    assert len({json.loads(body)["id"] for _, _, body in server.got}) == 20
    assert sorted(program.clock.slept_s) == [turn / 10 for turn in range(20)]


def test_the_same_bytes_again(server: _Server, tmp_path: Path) -> None:
    file = _file(tmp_path, 200, "{}")
    assert FakeProgram().cli("send", "shop", file, "--count", "3", "--same", "--url", server.url) == 0
    assert [body for _, _, body in server.got] == [Path(file).read_bytes()] * 3


BYOC = """\
[sources.byoc]
kind = "cxone-byoc"
client_id = "cxone"
secrets = ["hunter2-hunter2"]
"""


class _Tokens(http.server.BaseHTTPRequestHandler):
    """Gives a token, and takes messages that show it."""

    token = "a-token"

    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Authorization"], body))
        answer = {"access_token": self.token} if self.path.endswith("/token") else {"idOnExternalPlatform": "e-1"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_token_is_asked_for_once_and_shown_with_every_message(
    server: _Server, tmp_path: Path, capsys: Capture
) -> None:
    server.RequestHandlerClass = _Tokens
    file = tmp_path / "message.json"
    file.write_text('{"id": "m"}')
    argv = ("send", "byoc", str(file), "--count", "3", "--json", "--url", server.url)
    assert FakeProgram(text=BYOC).cli(*argv) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["status"], row["id"]) for row in rows] == [("accepted", "e-1")] * 3
    (path, shown, asked), *messages = server.got
    assert (path, shown) == ("/webhooks/byoc/token", None)
    assert json.loads(asked) == {
        "client_id": "cxone",
        "client_secret": "hunter2-hunter2",
        "grant_type": "client_credentials",
    }
    assert {(path, shown) for path, shown, _ in messages} == {
        ("/webhooks/byoc/posts/longstop-send/messages", "Bearer a-token")
    }


def test_nobody_listens(tmp_path: Path, capsys: Capture, server: _Server) -> None:
    # A port that was just bound here and is not listened on.
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert FakeProgram().cli("send", "shop", _file(tmp_path, 200, ""), "--count", "2", "--url", url) == 1
    shown = capsys.readouterr()
    assert f"nothing listens at {url}/webhooks/shop" in shown.err
    assert "(2 times)" in shown.err
    assert shown.out == "sent 2, accepted 0, duplicate 0, refused 0, failed 2\n"


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["nobody", "x"], 1, 'found no source "nobody" in the configuration; expected one of: shop'),
        (["shop", "no-such-file"], 1, "genesys_open_messaging_text"),
        (["shop", "--jsn"], 2, "found --jsn where a file is expected"),
        (["shop", "x", "--count", "0"], 2, "--count: found 0"),
        (["shop", "x", "--url", "localhost:80"], 2, "--url: found"),
        (["shop", "x", "--rate", "x"], 2, "--rate: found"),
    ],
)
def test_wrong_ways_to_send(argv: list[str], status: int, said: str, capsys: Capture) -> None:
    assert FakeProgram().cli("send", *argv) == status
    assert said in capsys.readouterr().err


def test_payloads_come_along() -> None:
    assert json.loads(payloads.load("genesys_open_messaging_text"))["type"] == "Text"

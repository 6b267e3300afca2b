"""Alerts by mail, handed to a real mail server on loopback: with TLS, with a login, refused, hanging."""

import asyncio
import contextlib
import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from certificates import Authority
from test_senders_alerts import ALERT, HOSTILE, OVER, SECRET, claim_of, notice_of

from longstop.model.alert import Alert
from longstop.model.alert_channel import ChannelSettings, EmailSettings, SmtpSecurity
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.senders.alerts.email import EmailSender, mail


class Mailbox:
    """What aiosmtpd hands over; `refuse` is answered in its place."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refuse = ""
        self.refuse_recipient = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse_recipient:
            return self.refuse_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients = envelope.rcpt_tos
        return "250 taken"


@contextlib.contextmanager
def serving(mailbox: Mailbox, tls: ssl.SSLContext | None = None, login: bool = False) -> Iterator[int]:
    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", SECRET.encode())
        return AuthResult(success=known, handled=False)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=tls,
        require_starttls=tls is not None,
        authenticator=authenticate if login else None,
        auth_required=login,
        auth_require_tls=tls is not None,
    )
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def settings(port: int, security: SmtpSecurity = "none", timeout_ms: int = 5_000, **given: Any) -> ChannelSettings:
    server = EmailSettings("127.0.0.1", ("on@e.example", "b@e.example"), "l@e.example", port, security, **given)
    return ChannelSettings("mail", "email", email=server, timeout_ms=timeout_ms, install="prod")


async def sent(channel: ChannelSettings, *alerts: Alert) -> Outcome:
    sender = EmailSender(channel)
    try:
        return await asyncio.wait_for(sender.send(claim_of(notice_of(*alerts or (ALERT,)).body()), 1), 20)
    finally:
        await sender.close()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


async def test_a_notice_is_one_message_to_all(mailbox: Mailbox) -> None:
    with serving(mailbox) as port:
        assert (await sent(settings(port), ALERT, ALERT)).kind is OutcomeKind.SUCCESS
    (message,) = mailbox.messages
    assert mailbox.recipients == ["on@e.example", "b@e.example"]
    assert message["Subject"] == "[prod] ERROR: Dead letters at crm, and 1 more"
    assert message["From"] == "l@e.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<n-1@longstop.invalid>"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().count("HTTP 500 <!channel>") == 2


async def test_what_others_wrote_ends_no_line_of_the_head(mailbox: Mailbox) -> None:
    evil = Alert.from_row({**ALERT.row(), "subject": "crm\r\nBcc: evil@e.example\r\n\r\n<b>", "why": HOSTILE})
    with serving(mailbox) as port:
        assert (await sent(settings(port), evil)).kind is OutcomeKind.SUCCESS
    (message,) = mailbox.messages
    assert message["Bcc"] is None
    assert r"crm\r\nBcc: evil@e.example" in message["Subject"].replace("\n", "")
    assert "\x1b" not in message.get_content()


async def test_messages_about_one_thing_are_one_conversation(mailbox: Mailbox) -> None:
    with serving(mailbox) as port:
        await sent(settings(port), ALERT)
        await sent(settings(port), OVER)
    begun, over = mailbox.messages
    assert begun["References"] == over["References"]
    assert over["Subject"] == "[prod] RESOLVED: No dead letters at crm any more"


async def test_with_starttls_and_a_login(mailbox: Mailbox, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server())
    with serving(mailbox, context, login=True) as port:
        good = {"username": "me", "password": SECRET, "ca": str(authority.path)}
        assert (await sent(settings(port, "starttls", **good))).kind is OutcomeKind.SUCCESS
        wrong = await sent(settings(port, "starttls", **{**good, "password": "no"}))
        strange = await sent(settings(port, "starttls", **{**good, "ca": None}))
    assert len(mailbox.messages) == 1
    assert (wrong.kind, wrong.status) == (OutcomeKind.RETRY, 535), "it may be mended meanwhile"
    assert strange.kind is OutcomeKind.RETRY
    assert "TLS with the mail server" in (strange.error or "")
    assert SECRET not in f"{wrong!r}{strange!r}{settings(port, **good)!r}"


async def test_a_server_without_starttls_gets_no_mail_in_the_clear(mailbox: Mailbox) -> None:
    with serving(mailbox) as port:
        outcome = await sent(settings(port, "starttls"))
    assert (outcome.kind, mailbox.messages) == (OutcomeKind.REJECT, [])


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        ("451 later", OutcomeKind.RETRY, 451),
        ("552 too much", OutcomeKind.REJECT, 552),
    ],
)
async def test_what_a_server_answers(mailbox: Mailbox, answer: str, kind: OutcomeKind, status: int) -> None:
    mailbox.refuse = answer
    with serving(mailbox) as port:
        outcome = await sent(settings(port))
    assert outcome == Outcome(kind, status=status, error=f"the mail server 127.0.0.1:{port} refused it: SMTP {status}")
    mailbox.refuse_recipient = answer
    with serving(mailbox) as port:
        outcome = await sent(settings(port))
    assert (outcome.kind, outcome.status) == (kind, status)
    assert "refused 2 of the recipients" in (outcome.error or "")


async def test_nobody_there_and_one_that_says_nothing() -> None:
    with socket.socket() as quiet:
        quiet.bind(("127.0.0.1", 0))
        port = quiet.getsockname()[1]
        refused = await sent(settings(port))
        quiet.listen()
        hanging = await sent(settings(port, timeout_ms=100))
    where = f"the mail server 127.0.0.1:{port}"
    assert refused == Outcome(OutcomeKind.RETRY, error=f"{where} could not be reached: Connection refused")
    assert hanging == Outcome(OutcomeKind.RETRY, error=f"{where} took longer than 0.1 s")


async def test_what_is_no_notice_is_refused_for_good() -> None:
    sender = EmailSender(settings(9))
    assert (await sender.send(claim_of(b"{}"), 1)).kind is OutcomeKind.REJECT


def test_a_text_with_half_a_surrogate_can_be_written() -> None:
    channel = settings(9)
    assert channel.email is not None
    odd = Alert.from_row({**ALERT.row(), "why": "\ud800 ж", "subject": "\udfff"})
    assert r"\ud800 ж" in mail(notice_of(odd), channel, channel.email).get_content()

"""Alerts by mail: one message for all that a notice holds, handed to a mail server (RFC 5321, 5322)."""

import asyncio
import hashlib
import smtplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import format_datetime

from longstop.model.alert import Notice, Status
from longstop.model.alert_channel import CONCURRENCY, ChannelSettings, EmailSettings
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.lease import Claim
from longstop.model.times import at_utc, rfc3339
from longstop.senders.alerts.request import mark, plain

SUBJECT_CHARS_MAX = 180


class EmailSender:
    """Hands notices to one mail server. smtplib blocks, so it is called in a thread."""

    def __init__(self, channel: ChannelSettings) -> None:
        """Connects to nothing yet."""
        assert channel.email is not None
        self._channel = channel
        self._email = channel.email
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix=f"longstop-{channel.destination}")

    async def send(self, claim: Claim, attempt: int) -> Outcome:  # noqa: ARG002
        """Hand it over once. Never raises but for its own cancellation."""
        try:
            notice = Notice.from_body(claim.event.body)
        except ValueError as error:
            return Outcome(OutcomeKind.REJECT, error=str(error))
        timeout_s = self._channel.timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout_s):
                message = mail(notice, self._channel, self._email)
                await asyncio.get_running_loop().run_in_executor(self._pool, self._hand_over, message, timeout_s)
        except Exception as error:
            return self._judge(error, timeout_s)
        return Outcome(OutcomeKind.SUCCESS)

    async def close(self) -> None:
        """Let go of the threads; one that waits for a server is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hand_over(self, message: EmailMessage, timeout_s: float) -> None:
        email = self._email
        with _connected(email, timeout_s) as server:
            if email.security == "starttls":
                server.starttls(context=_context(email))
            if email.username is not None:
                server.login(email.username, email.password or "")
            server.send_message(message)

    def _judge(self, error: Exception, timeout_s: float) -> Outcome:
        where = f"{self._email.host}:{self._email.port}"
        match error:
            case TimeoutError():
                return Outcome(OutcomeKind.RETRY, error=f"the mail server {where} took longer than {timeout_s:g} s")
            case smtplib.SMTPRecipientsRefused():
                codes = sorted({code for code, _ in error.recipients.values()})
                return self._refused(where, codes[0], f"refused {len(error.recipients)} of the recipients")
            case smtplib.SMTPResponseException():
                return self._refused(where, error.smtp_code, "refused it")
            case smtplib.SMTPNotSupportedError():
                return Outcome(OutcomeKind.REJECT, error=f"the mail server {where} does not offer what is asked of it")
            case ssl.SSLError():
                return Outcome(OutcomeKind.RETRY, error=f"TLS with the mail server {where} failed: {error.reason}")
            case OSError():
                reason = error.strerror or type(error).__name__
                return Outcome(OutcomeKind.RETRY, error=f"the mail server {where} could not be reached: {reason}")
        return Outcome(OutcomeKind.RETRY, error=f"the mail server {where}: {type(error).__name__}")

    def _refused(self, where: str, code: int, what: str) -> Outcome:
        """RFC 5321, 4.2.1: what begins with a 5 is refused for good. A wrong password may be mended meanwhile."""
        # The server's own text is left out: some repeat the user name or the address in it.
        kind = OutcomeKind.REJECT if code >= 500 and code not in (530, 534, 535, 538) else OutcomeKind.RETRY
        return Outcome(kind, status=code, error=f"the mail server {where} {what}: SMTP {code}")


def _connected(email: EmailSettings, timeout_s: float) -> smtplib.SMTP:
    # Its own name is given: looking it up in the DNS may take longer than all the rest.
    name = socket.gethostname()
    if email.security == "tls":
        return smtplib.SMTP_SSL(email.host, email.port, name, timeout=timeout_s, context=_context(email))
    return smtplib.SMTP(email.host, email.port, name, timeout=timeout_s)


def _context(email: EmailSettings) -> ssl.SSLContext:
    """Host names and certificates are checked, by the system's authorities or by the one that is configured."""
    return ssl.create_default_context(cafile=email.ca)


def mail(notice: Notice, channel: ChannelSettings, email: EmailSettings) -> EmailMessage:
    """The message. Whatever others wrote into a text, it ends no line of the head and is no markup: it is text/plain.

    Messages about the same thing are one conversation (RFC 5322, 3.6.4). `Auto-Submitted` (RFC 3834) keeps automatic
    answers away.
    """
    first = notice.alerts[0]
    word = "RESOLVED" if notice.status is Status.RESOLVED else mark(first)
    message = EmailMessage()
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    message["Subject"] = plain(f"[{channel.install}] {word}: {notice.title}", SUBJECT_CHARS_MAX)
    message["Date"] = format_datetime(at_utc(first.at_ms))
    message["Message-ID"] = f"<{notice.id}@longstop.invalid>"
    message["References"] = f"<{_thread(channel.install, first.key)}@longstop.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [f"{mark(each)}  {plain(each.text, 2_000)}" for each in notice.alerts]
    since = f"At {rfc3339(first.at_ms)}, by Longstop ({channel.install})."
    message.set_content("\n\n".join([*lines, since, "`longstop alerts list` says what is on now."]) + "\n")
    return message


def _thread(install: str, key: str) -> str:
    return hashlib.sha256(f"{install}:{key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

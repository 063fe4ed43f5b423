"""The email channel: SMTP over a few kept connections, shared out among worker threads.

Building the message stands in email_message.py, one connection in smtp_session.py, what replies
mean in smtp_replies.py. SMTP cannot recognize a repeated message: a lost last reply is `unknown`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

from drip_pipeline.channels.email.headers import wire_address
from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.email.relay_headers import Relay, relay_of_host
from drip_pipeline.channels.email.smtp_replies import Phase, SmtpReplyClass
from drip_pipeline.channels.email.smtp_session import SessionFailed, SmtpSession
from drip_pipeline.channels.email.smtp_url import SmtpServer
from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.errors import DeliveryError
from drip_pipeline.redaction import redact_response

_CAPABILITIES: Final = Capabilities(
    is_idempotent=False, max_batch=1_000, has_subject=True, has_html=True
)
_MAX_LOSSES_IN_A_ROW: Final = 3


class SmtpChannel:
    """Sends email through one relay with up to `connections` at once."""

    def __init__(
        self,
        server: SmtpServer,
        sender: str,
        *,
        bounce_domain: str | None = None,
        relay: Relay | None = None,
        connections: int = 4,
        timeout_seconds: float = 30.0,
        end_seconds: float = 120.0,
    ) -> None:
        """`sender` is used for messages that name none. `relay` says whose it is where the host's
        name does not. `timeout_seconds` bounds connecting and
        every reply but the last of a message, for which `end_seconds` counts: giving up there
        leaves the message in doubt. Raises DeliveryError when the sender is no address.
        """
        self._server = server
        self._sender = sender
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._end_seconds = end_seconds
        headers_of = relay or relay_of_host(server.host)
        self._writer = lru_cache(maxsize=64)(
            lambda mailbox: EmailWriter(mailbox, bounce_domain=bounce_domain, relay=headers_of)
        )
        self._ehlo_name = self._writer(sender).domain
        self._idle: deque[SmtpSession] = deque()
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """`email`."""
        return "email"

    @property
    def capabilities(self) -> Capabilities:
        """Subject, text and HTML; not idempotent."""
        return _CAPABILITIES

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Try each message once, over several connections at a time.

        When no connection can be had, the messages not tried yet are `not_sent` (or `throttled`)
        for that reason, without another attempt for each of them.
        """
        todo = deque(enumerate(messages))
        results: dict[int, DeliveryResult] = {}
        workers = min(self._connections, len(messages))
        if workers <= 1:
            failures = [self._work(todo, results)]
        else:
            jobs = [self._threads().submit(self._work, todo, results) for _ in range(workers)]
            failures = [job.result() for job in jobs]
        failure = next((verdict for verdict in failures if verdict is not None), None)
        for place, message in todo:
            assert failure is not None
            results[place] = self._result(message, failure)
        return [results[place] for place in range(len(messages))]

    def check(self) -> list[Finding]:
        """Connect, secure and authenticate, as for sending, and say NOOP."""
        where = f"{self._server.host}:{self._server.port}"
        try:
            session = self._open()
        except SessionFailed as failed:
            password = self._server.password.reveal() if self._server.password else ""
            words = redact_response(failed.verdict.words, self._server.username or "", password)
            code = failed.verdict.error_code or "connect_failed"
            return [Finding(Severity.ERROR, code, f"{words}. Check DRIP_SMTP_URL.")]
        answers = session.is_alive()
        is_encrypted = session.is_encrypted
        session.quit()
        if not answers:
            return [Finding(Severity.ERROR, "disconnected", f"{where} hung up after connecting")]
        login = "authenticated" if self._server.username else "without authentication"
        findings = [Finding(Severity.OK, "connected", f"connected to {where}, {login}")]
        if not is_encrypted:
            told = f"{where} is on this machine and is spoken to without TLS"
            findings.append(Finding(Severity.WARNING, "not_encrypted", told))
        return findings

    def close(self) -> None:
        """Say goodbye on all idle connections and end the threads."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
        while self._idle:
            self._idle.pop().quit()

    def _work(
        self, todo: deque[tuple[int, OutgoingMessage]], results: dict[int, DeliveryResult]
    ) -> SmtpReplyClass | None:
        """Send until nothing is left; the verdict says why this worker stopped before that."""
        session: SmtpSession | None = None
        losses = 0
        while losses < _MAX_LOSSES_IN_A_ROW:
            try:
                place, message = todo.popleft()
            except IndexError:
                break
            try:
                session, verdict = self._deliver(message, session)
            except SessionFailed as failed:
                todo.appendleft((place, message))
                return failed.verdict
            results[place] = self._result(message, verdict)
            losses = losses + 1 if verdict.is_connection_lost else 0
        else:
            return verdict if verdict.outcome is not Outcome.UNKNOWN else _LOST_AGAIN
        if session is not None and session.is_open:
            self._idle.append(session)
        return None

    def _deliver(
        self, message: OutgoingMessage, session: SmtpSession | None
    ) -> tuple[SmtpSession | None, SmtpReplyClass]:
        if not message.recipient or wire_address(message.recipient) is None:
            words = "the recipient is no email address that can be written"
            refused = SmtpReplyClass(
                Phase.CONNECT, Outcome.REJECTED, "address_invalid", words, is_recipient_invalid=True
            )
            return session, refused
        try:
            writer = self._writer(message.sender or self._sender)
        except DeliveryError as error:
            return session, SmtpReplyClass(
                Phase.CONNECT, Outcome.NOT_SENT, "sender_invalid", str(error)
            )
        try:
            email = writer.write(message)
        except DeliveryError as error:
            return session, SmtpReplyClass(
                Phase.CONNECT, Outcome.REJECTED, "message_invalid", str(error)
            )
        while True:
            if session is None or not session.is_open:
                session = self._idle_session() or self._open()
            was_used = session.messages > 0
            verdict = session.deliver(email)
            # A kept connection may have gone stale, or have reached the server's limit of messages;
            # before the last byte, the message may be tried again on a fresh one.
            stale = was_used and verdict.is_connection_lost and verdict.phase is not Phase.END
            if not stale:
                return session, verdict

    def _idle_session(self) -> SmtpSession | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _open(self) -> SmtpSession:
        return SmtpSession(
            self._server,
            ehlo_name=self._ehlo_name,
            timeout_seconds=self._timeout_seconds,
            end_seconds=self._end_seconds,
        )

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._connections, "drip-smtp")
            return self._executor

    def _result(self, message: OutgoingMessage, verdict: SmtpReplyClass) -> DeliveryResult:
        secrets = (self._server.username, self._server.password and self._server.password.reveal())
        known = [text or "" for text in (message.recipient, message.recipient_name, *secrets)]
        texts = (message.subject, message.text, message.html)
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=verdict.outcome,
            provider_message_id=verdict.provider_message_id,
            error_code=verdict.error_code,
            error=redact_response(verdict.words, *known, texts=texts) if verdict.words else None,
            retry_after_seconds=verdict.retry_after_seconds,
            recipient_invalid=verdict.is_recipient_invalid,
            is_provider_fault=verdict.is_provider_fault,
        )


_LOST_AGAIN: Final = SmtpReplyClass(
    Phase.CONNECT,
    Outcome.NOT_SENT,
    "disconnected",
    f"not tried: the server hung up {_MAX_LOSSES_IN_A_ROW} times in a row",
)

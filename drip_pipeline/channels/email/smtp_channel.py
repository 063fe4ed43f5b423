"""The email channel: SMTP over a few kept connections, shared by worker threads.

Messages are written in message.py, a connection is in smtp_session.py, the classification of
replies in smtp_replies.py. SMTP cannot recognize a repeated message: without the last reply, the
outcome is unknown.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

from drip_pipeline.channels.email.message import EmailWriter, WrittenEmail
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
from drip_pipeline.domain.addresses import wire_email
from drip_pipeline.errors import DeliveryError
from drip_pipeline.redaction import redact_response

_CAPABILITIES: Final = Capabilities(
    is_idempotent=False, max_batch=1_000, has_subject=True, has_html=True
)
_MAX_LOSSES_IN_A_ROW: Final = 3


class SmtpChannel:
    """Sends email through one relay with up to `connections` at once."""

    name: Final = "email"
    capabilities: Final = _CAPABILITIES

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
        """`sender` is used for messages without one. `relay` is the provider, by default derived
        from the host name. `timeout_seconds` limits connecting and every reply but the last of a
        message, which `end_seconds` limits: a timeout there leaves the outcome unknown. Raises
        DeliveryError if the sender is not an address.
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

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Attempt each message once, over several connections at a time.

        If no connection can be opened, the remaining messages are `not_sent` (or `throttled`) for
        that reason, without an attempt for each of them.
        """
        todo = deque(enumerate(messages))
        results: dict[int, DeliveryResult] = {}
        workers = min(self._connections, len(messages))
        if workers <= 1:
            failures = [self._work(todo, results)]
        else:
            jobs = [self._threads().submit(self._work, todo, results) for _ in range(workers)]
            failures = [job.result() for job in jobs]
        failure = next((reply for reply in failures if reply is not None), None)
        for place, message in todo:
            assert failure is not None
            results[place] = self._result(message, failure)
        return [results[place] for place in range(len(messages))]

    def written(self, message: OutgoingMessage) -> WrittenEmail:
        """Return a message as it is handed to the relay. Raises DeliveryError."""
        return self._writer(message.sender or self._sender).write(message)

    def check(self) -> list[Finding]:
        """Connect, secure and authenticate as for sending, then send NOOP."""
        where = f"{self._server.host}:{self._server.port}"
        try:
            session = self._open()
        except SessionFailed as failed:
            password = self._server.password.reveal() if self._server.password else ""
            error = redact_response(failed.reply.error, self._server.username or "", password)
            code = failed.reply.error_code or "connect_failed"
            return [Finding(Severity.ERROR, code, f"{error}. Check DRIP_SMTP_URL.")]
        answers = session.is_alive()
        is_encrypted = session.is_encrypted
        session.quit()
        if not answers:
            return [Finding(Severity.ERROR, "disconnected", f"{where} closed the connection")]
        login = "authenticated" if self._server.username else "without authentication"
        findings = [Finding(Severity.OK, "connected", f"connected to {where}, {login}")]
        if not is_encrypted:
            message = f"{where} is on this machine and is used without TLS"
            findings.append(Finding(Severity.WARNING, "not_encrypted", message))
        return findings

    def close(self) -> None:
        """Quit all idle connections and stop the threads."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
        while self._idle:
            self._idle.pop().quit()

    def _work(
        self, todo: deque[tuple[int, OutgoingMessage]], results: dict[int, DeliveryResult]
    ) -> SmtpReplyClass | None:
        """Send until no message is left; the returned reply is why this worker stopped before."""
        session: SmtpSession | None = None
        losses = 0
        while losses < _MAX_LOSSES_IN_A_ROW:
            try:
                place, message = todo.popleft()
            except IndexError:
                break
            try:
                session, reply = self._deliver(message, session)
            except SessionFailed as failed:
                todo.appendleft((place, message))
                return failed.reply
            results[place] = self._result(message, reply)
            losses = losses + 1 if reply.is_connection_lost else 0
        else:
            return reply if reply.outcome is not Outcome.UNKNOWN else _LOST_AGAIN
        if session is not None and session.is_open:
            self._idle.append(session)
        return None

    def _deliver(
        self, message: OutgoingMessage, session: SmtpSession | None
    ) -> tuple[SmtpSession | None, SmtpReplyClass]:
        if not message.recipient or wire_email(message.recipient) is None:
            error = "the recipient is not a valid email address"
            refused = SmtpReplyClass(
                Phase.CONNECT, Outcome.REJECTED, "address_invalid", error, is_recipient_invalid=True
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
            reply = session.deliver(email)
            # A kept connection may be stale, or have reached the server's limit of messages; before
            # the last byte, the message may be sent again on a new one.
            stale = was_used and reply.is_connection_lost and reply.phase is not Phase.END
            if not stale:
                return session, reply

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

    def _result(self, message: OutgoingMessage, reply: SmtpReplyClass) -> DeliveryResult:
        secrets = (self._server.username, self._server.password and self._server.password.reveal())
        masked = [text or "" for text in (message.recipient, message.recipient_name, *secrets)]
        texts = (message.subject, message.text, message.html)
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=reply.outcome,
            provider_message_id=reply.provider_message_id,
            error_code=reply.error_code,
            error=redact_response(reply.error, *masked, texts=texts) if reply.error else None,
            retry_after_seconds=reply.retry_after_seconds,
            recipient_invalid=reply.is_recipient_invalid,
            mailbox_unavailable=reply.is_mailbox_unavailable,
            is_provider_fault=reply.is_provider_fault,
        )


_LOST_AGAIN: Final = SmtpReplyClass(
    Phase.CONNECT,
    Outcome.NOT_SENT,
    "disconnected",
    f"not attempted: the server closed {_MAX_LOSSES_IN_A_ROW} connections in a row",
)

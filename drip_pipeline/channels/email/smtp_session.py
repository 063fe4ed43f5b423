"""One connection to a mail relay: open it, and send one message after another.

Every failure is classified with its phase (smtp_replies.py). Connections are shared among threads
in smtp_channel.py.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from typing import Final

from drip_pipeline.channels.email.message import WrittenEmail
from drip_pipeline.channels.email.smtp_replies import (
    Phase,
    SmtpReplyClass,
    classify_disconnect,
    classify_reply,
)
from drip_pipeline.channels.email.smtp_url import SmtpServer
from drip_pipeline.channels.protocol import Outcome

_READY: Final = 220
_OK: Final = 250
_SEND_NOW: Final = 354


class SessionFailed(Exception):
    """A connection could not be opened; `reply` is the reason. Stays inside channels/."""

    def __init__(self, reply: SmtpReplyClass) -> None:
        super().__init__(reply.error_code)
        self.reply = reply


class SmtpSession:
    """An open, authenticated connection. Not for use by two threads at once."""

    def __init__(
        self, server: SmtpServer, *, ehlo_name: str, timeout_seconds: float, end_seconds: float
    ) -> None:
        """Connect, secure and authenticate. `end_seconds` limits the last reply of a message, which
        may take a server longer. Raises SessionFailed.
        """
        self.is_open = False
        self.messages = 0
        self.is_encrypted = server.begins_with_tls
        self._timeout_seconds = timeout_seconds
        self._end_seconds = end_seconds
        where = f"{server.host}:{server.port}"
        try:
            self._smtp = self._connect(server, ehlo_name)
            self._smtp.ehlo_or_helo_if_needed()
            self._secure(server)
            self._authenticate(server)
        except ssl.SSLError as error:
            self._give_up("tls_failed", f"no secure connection to {where}: {error.reason or error}")
        except smtplib.SMTPResponseException as error:
            reply = classify_reply(Phase.CONNECT, error.smtp_code, _text(error.smtp_error))
            self.close()
            raise SessionFailed(reply) from None
        except OSError as error:  # smtplib's own errors are OSErrors, too
            code = "timeout" if _timed_out(error) else "connect_failed"
            self._give_up(code, f"cannot connect to {where}: {error.strerror or error}")
        self.is_open = True

    def deliver(self, email: WrittenEmail) -> SmtpReplyClass:
        """Send one message; afterwards the session may be closed (`is_open`)."""
        phase = Phase.SENDER
        try:
            size = [f"size={len(email.content)}"] if self._smtp.has_extn("size") else []
            code, reply = self._smtp.mail(email.envelope_sender, size)
            if code != _OK:
                return self._refused(phase, code, reply)
            phase = Phase.RECIPIENT
            code, reply = self._smtp.rcpt(email.envelope_recipient)
            if code // 10 != _OK // 10:  # 250, and 251 "will forward"
                return self._refused(phase, code, reply)
            phase = Phase.DATA
            code, reply = self._smtp.docmd("DATA")
            if code != _SEND_NOW:
                return self._refused(phase, code, reply)
            self._send_content(email.content)
            phase = Phase.END
            code, reply = self._last_reply()
        except OSError as error:
            self.close()
            return classify_disconnect(phase, timed_out=_timed_out(error))
        self.messages += 1
        return self._closed_if_lost(classify_reply(phase, code, _text(reply)))

    def is_alive(self) -> bool:
        """Whether the server still answers."""
        try:
            return self.is_open and self._smtp.noop()[0] == _OK
        except OSError:
            self.close()
            return False

    def quit(self) -> None:
        """Send QUIT and close."""
        if self.is_open:
            with suppress(OSError):  # it may be gone already
                self._smtp.quit()
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        self.is_open = False
        if hasattr(self, "_smtp"):
            self._smtp.close()

    def _connect(self, server: SmtpServer, ehlo_name: str) -> smtplib.SMTP:
        if not server.begins_with_tls:
            return smtplib.SMTP(server.host, server.port, ehlo_name, self._timeout_seconds)
        return smtplib.SMTP_SSL(
            server.host,
            server.port,
            ehlo_name,
            timeout=self._timeout_seconds,
            context=server.tls_context(),
        )

    def _secure(self, server: SmtpServer) -> None:
        if self.is_encrypted:
            return
        if self._smtp.has_extn("starttls"):
            code, reply = self._smtp.starttls(context=server.tls_context())
            if code != _READY:
                raise smtplib.SMTPResponseException(code, reply)
            self._smtp.ehlo()
            self.is_encrypted = True
        elif not server.is_local:
            reason = f"{server.host} offers no STARTTLS; nothing is sent unencrypted"
            self._give_up("tls_missing", reason)

    def _authenticate(self, server: SmtpServer) -> None:
        if server.username is None or server.password is None:
            return
        try:
            self._smtp.login(server.username, server.password.reveal())
        except smtplib.SMTPAuthenticationError as error:
            reason = f"{server.host} refused user or password: {_text(error.smtp_error)}"
            self._give_up("auth_failed", reason)
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException:
            self._give_up("auth_failed", f"{server.host} offers no supported authentication method")

    def _give_up(self, error_code: str, error: str) -> None:
        self.close()
        result = SmtpReplyClass(
            Phase.CONNECT, Outcome.NOT_SENT, error_code, error, is_connection_lost=True
        )
        raise SessionFailed(result) from None

    def _send_content(self, content: bytes) -> None:
        # An error here means that the last bytes, and with them the final dot, were not sent.
        assert self._smtp.sock is not None
        self._smtp.sock.sendall(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")

    def _last_reply(self) -> tuple[int, bytes]:
        assert self._smtp.sock is not None
        self._smtp.sock.settimeout(self._end_seconds)
        reply = self._smtp.getreply()
        if self._smtp.sock is not None:
            self._smtp.sock.settimeout(self._timeout_seconds)
        return reply

    def _refused(self, phase: Phase, code: int, reply: bytes) -> SmtpReplyClass:
        result = self._closed_if_lost(classify_reply(phase, code, _text(reply)))
        if self.is_open:
            try:
                self._smtp.rset()
            except OSError:
                self.close()  # the refusal remains valid
        return result

    def _closed_if_lost(self, result: SmtpReplyClass) -> SmtpReplyClass:
        if result.is_connection_lost:
            self.close()
        return result


def _timed_out(error: OSError) -> bool:
    """Whether it is a timeout; smtplib raises its own error while handling that of the socket."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def _text(reply: bytes | str) -> str:
    return reply if isinstance(reply, str) else reply.decode("utf-8", "replace")

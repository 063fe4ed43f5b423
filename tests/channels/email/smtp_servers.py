"""Scripted SMTP servers: they answer, stay silent or disconnect. conftest.py starts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from drip_pipeline.channels.email.smtp_url import SmtpServer

Reply = str | Callable[["Script", SMTP, Envelope], Any]


@dataclass
class Script:
    """How the server answers. A reply is a text, or a function (it may be a coroutine) of script,
    connection and envelope that gives one; functions can also sleep or hang up.
    """

    on_mail: Reply = "250 OK"
    on_rcpt: Reply = "250 OK"
    on_data: Reply = "250 2.0.0 Ok: queued as 4XyZabc123"
    received: list[Envelope] = field(default_factory=list)
    connections: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    port: int = 0

    @property
    def server(self) -> SmtpServer:
        return SmtpServer(host="127.0.0.1", port=self.port, is_local=True)

    async def answer(self, reply: Reply, connection: SMTP, envelope: Envelope) -> str:
        if isinstance(reply, str):
            return reply
        answer = reply(self, connection, envelope)
        return str(await answer if asyncio.iscoroutine(answer) else answer)

    async def handle_MAIL(  # aiosmtpd's name for the hook
        self, connection: SMTP, _s: Session, envelope: Envelope, address: str, _o: list[str]
    ) -> str:
        reply = await self.answer(self.on_mail, connection, envelope)
        if reply.startswith("250"):
            envelope.mail_from = address
        return reply

    async def handle_RCPT(  # aiosmtpd's name for the hook
        self, connection: SMTP, _s: Session, envelope: Envelope, address: str, _o: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        reply = await self.answer(self.on_rcpt, connection, envelope)
        if not reply.startswith("250"):
            envelope.rcpt_tos.pop()
        return reply

    async def handle_DATA(self, connection: SMTP, _s: Session, envelope: Envelope) -> str:
        reply = await self.answer(self.on_data, connection, envelope)
        if reply.startswith("250"):
            self.received.append(envelope)
        return reply


class CountingSmtp(SMTP):
    """Counts its connections in the script."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.connections += 1
        super().connection_made(transport)


def hang_up(_script: Script, connection: SMTP, _envelope: Envelope) -> str:
    """Drop the connection instead of answering."""
    assert isinstance(connection.transport, asyncio.Transport)
    connection.transport.abort()
    return "250 never sent"


def store_and_hang_up(script: Script, connection: SMTP, envelope: Envelope) -> str:
    """Take the message, and drop the connection before saying so."""
    script.received.append(envelope)
    return hang_up(script, connection, envelope).replace("250", "451")


async def say_nothing(_script: Script, _connection: SMTP, _envelope: Envelope) -> str:
    """Let the client wait."""
    await asyncio.sleep(30)
    return "250 too late"


def accept_one_login(_server: SMTP, _s: Session, _e: Envelope, _m: str, data: Any) -> AuthResult:
    """The authenticator of the tests: user `mailer`, password `sesame`."""
    success = (data.login, data.password) == (b"mailer", b"sesame")
    return AuthResult(success=success, handled=False)

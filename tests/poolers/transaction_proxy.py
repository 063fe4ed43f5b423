"""A proxy that gives each transaction of a client another server session, as poolers in transaction
mode do.

It is stricter than PgBouncer: it hands out the server sessions in turn, so that nothing of a
session is ever there in the next transaction, and it keeps no setting of a client.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg

from drip_pipeline.db.urls import with_database

ACCEPTED = frozenset(
    {"user", "database", "application_name", "client_encoding", "DateStyle", "TimeZone"}
)
"""Startup parameters; another one is refused, as PgBouncer does."""
REPORTED = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "IntervalStyle",
    "integer_datetimes",
    "standard_conforming_strings",
)
_CANCEL, _SSL, _GSS = 80_877_102, 80_877_103, 80_877_104
_HEADER = struct.Struct("!cI")
_MOST_BYTES = 1 << 26
Message = tuple[bytes, bytes]
"""The kind, and the body without its length."""


class Requests:
    """What a client sends. A message that comes in after the last answer of a transaction waits
    here for the next one."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._upcoming: asyncio.Task[Message] | None = None

    def upcoming(self) -> asyncio.Task[Message]:
        """The next message, which may not be there yet."""
        if self._upcoming is None:
            self._upcoming = asyncio.ensure_future(_read(self._reader))
        return self._upcoming

    async def next(self) -> Message | None:
        """The next message, None if the client leaves."""
        try:
            message = await self.upcoming()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self._upcoming = None
        return None if message[0] == b"X" else message

    def close(self) -> None:
        if self._upcoming is not None:
            self._upcoming.cancel()


@dataclass
class ServerSession:
    """A session with the server. libpq made the connection, and then only its socket is used."""

    connection: psycopg.pq.abc.PGconn
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, url: str) -> ServerSession:
        connection = await asyncio.to_thread(psycopg.pq.PGconn.connect, url.encode())
        assert connection.status == psycopg.pq.ConnStatus.OK, connection.error_message
        taken = socket.socket(fileno=os.dup(connection.socket))
        return cls(connection, *await asyncio.open_connection(sock=taken, limit=_MOST_BYTES))

    def close(self) -> None:
        self.writer.close()
        self.connection.finish()


@dataclass
class TransactionProxy:
    """The proxy before the server of `url`, with that many sessions per database and user."""

    url: str
    sessions: int
    port: int = 0
    transactions: int = 0
    _free: dict[tuple[str, str], deque[ServerSession]] = field(default_factory=dict)
    _count: dict[tuple[str, str], int] = field(default_factory=dict)
    _returned: dict[tuple[str, str], asyncio.Semaphore] = field(default_factory=dict)

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves."""
        try:
            parameters = await self._startup(client, answers)
            if parameters is not None:
                await self._transactions(client, answers, parameters)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            answers.close()

    async def end(self) -> None:
        """Cut off all clients, and close all server sessions."""
        clients = asyncio.all_tasks() - {asyncio.current_task()}
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        for session in (session for free in self._free.values() for session in free):
            session.close()
        await asyncio.sleep(0.01)  # the loop closes the sockets

    async def _startup(
        self, client: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> dict[str, str] | None:
        while True:
            (length,) = struct.unpack("!I", await client.readexactly(4))
            body = await client.readexactly(length - 4)
            (code,) = struct.unpack("!I", body[:4])
            if code not in (_SSL, _GSS):
                break
            answers.write(b"N")
        if code == _CANCEL:
            return None
        words = body[4:].decode().split("\0")
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        parameters.pop("", None)
        refused = sorted(set(parameters) - ACCEPTED)
        if refused:
            answers.write(_error(f"unsupported startup parameter: {refused[0]}"))
            return None
        return parameters

    async def _transactions(
        self,
        client: asyncio.StreamReader,
        answers: asyncio.StreamWriter,
        parameters: dict[str, str],
    ) -> None:
        place = (parameters["user"], parameters.get("database", parameters["user"]))
        self._returned.setdefault(place, asyncio.Semaphore(self.sessions))
        session = await self._taken(place)
        answers.write(_message(b"R", struct.pack("!I", 0)))
        for name in REPORTED:
            value = session.connection.parameter_status(name.encode()) or b""
            answers.write(_message(b"S", name.encode() + b"\0" + value + b"\0"))
        answers.write(_message(b"K", secrets.token_bytes(8)))
        answers.write(_message(b"Z", b"I"))
        self._give_back(place, session)
        requests = Requests(client)
        try:
            while (request := await requests.next()) is not None:
                session = await self._taken(place)
                is_done = False
                try:
                    is_done = await self._transaction(request, requests, answers, session)
                finally:
                    if is_done:
                        self._give_back(place, session)
                    else:  # the client left in a transaction, which the server rolls back now
                        self._end(place, session)
                        self._returned[place].release()
        finally:
            requests.close()

    async def _transaction(
        self,
        request: Message,
        requests: Requests,
        answers: asyncio.StreamWriter,
        session: ServerSession,
    ) -> bool:
        """Pass messages on until the server is idle and has answered all. Return False if the
        client leaves before."""
        self.transactions += 1
        expected = _send(session, request)
        answering = asyncio.ensure_future(_read(session.reader))
        try:
            while True:
                waiting = requests.upcoming()
                await asyncio.wait({waiting, answering}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    kind, body = answering.result()
                    answers.write(_message(kind, body))
                    await answers.drain()
                    expected -= kind == b"Z"
                    if kind == b"Z" and body == b"I" and not expected:
                        return True
                    answering = asyncio.ensure_future(_read(session.reader))
                else:
                    message = await requests.next()
                    if message is None:
                        return False
                    expected += _send(session, message)
                    await session.writer.drain()
        finally:
            answering.cancel()

    async def _taken(self, place: tuple[str, str]) -> ServerSession:
        await self._returned[place].acquire()
        free = self._free.setdefault(place, deque())
        while free and self._count.get(place, 0) >= self.sessions:
            session = free.popleft()
            if not session.reader.at_eof():
                return session
            self._end(place, session)
        return await self._opened(place)

    def _end(self, place: tuple[str, str], session: ServerSession) -> None:
        session.close()
        self._count[place] -= 1

    async def _opened(self, place: tuple[str, str]) -> ServerSession:
        try:
            session = await ServerSession.opened(with_database(self.url, place[1]))
        except BaseException:
            self._returned[place].release()
            raise
        self._count[place] = self._count.get(place, 0) + 1
        return session

    def _give_back(self, place: tuple[str, str], session: ServerSession) -> None:
        self._free.setdefault(place, deque()).append(session)
        self._returned[place].release()


@contextmanager
def transaction_proxy(url: str, *, sessions: int = 3) -> Iterator[TransactionProxy]:
    """Run a proxy before the server of `url` in a thread; `with_port` gives its URL."""
    proxy = TransactionProxy(url, sessions)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=_MOST_BYTES)
    )
    proxy.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        # Clients that are still there are cut off, which is no error.
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        assert not thread.is_alive()
        server.close()
        loop.run_until_complete(proxy.end())
        loop.close()


def with_port(url: str, port: int) -> str:
    """Return the URL with another port of this machine."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()


def _send(session: ServerSession, message: Message) -> int:
    """Pass a message on. Return 1 if the server ends its answer with ReadyForQuery."""
    session.writer.write(_message(*message))
    return int(message[0] in (b"Q", b"S", b"F"))


async def _read(reader: asyncio.StreamReader) -> Message:
    kind, length = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return kind, await reader.readexactly(length - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return _HEADER.pack(kind, len(body) + 4) + body


def _error(text: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": "08P01", "M": text}
    body = b"".join(f"{code}{value}\0".encode() for code, value in fields.items())
    return _message(b"E", body + b"\0")

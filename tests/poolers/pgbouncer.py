"""A real PgBouncer before a server of the tests, where the program is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from tests.poolers.transaction_proxy import with_port

VARIABLE = "PGBOUNCER"
"""The path of the program, if it is not on PATH."""


def program() -> str | None:
    """Return the path of PgBouncer, None if there is none."""
    named = os.environ.get(VARIABLE)
    return named or shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pgbouncer(
    url: str,
    mode: str = "transaction",
    *,
    users: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    sessions: int = 4,
) -> Iterator[int]:
    """Run PgBouncer before the server of `url`, and yield its port. `users` are passwords by role
    besides the role of the URL. It has that many server sessions per database and user."""
    path = program()
    assert path is not None
    parts = urlsplit(url)
    passwords = {unquote(parts.username or ""): unquote(parts.password or "")} | dict(users or {})
    with tempfile.TemporaryDirectory(prefix="drip-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        lines = [f'"{role}" "{password}"' for role, password in passwords.items()]
        (folder / "users.txt").write_text("\n".join(lines) + "\n")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        values = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": str(folder / "users.txt"),
            "pool_mode": mode,
            "default_pool_size": str(sessions),
            "max_client_conn": "200",
            "query_wait_timeout": "20",
        } | dict(settings or {})
        text = f"[databases]\n* = host=127.0.0.1 port={parts.port}\n[pgbouncer]\n"
        text += "".join(f"{key} = {value}\n" for key, value in values.items())
        (folder / "pgbouncer.ini").write_text(text)
        process = subprocess.Popen(
            [path, "-q", str(folder / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It refuses to run as root.
            user=pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None,
        )
        try:
            _wait_until_it_answers(with_port(url, port), process)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, "PgBouncer ended"
            assert time.monotonic() < deadline
            time.sleep(0.02)

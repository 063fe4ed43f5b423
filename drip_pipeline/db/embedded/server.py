"""Create, start, monitor and stop the embedded PostgreSQL under DRIP_HOME.

Every change of state happens under a file lock, so any number of processes may request the server
at once.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from filelock import FileLock, Timeout
from psycopg import sql

from drip_pipeline.db.embedded import configuration as embedded_config
from drip_pipeline.db.embedded.binaries import find_binaries
from drip_pipeline.db.embedded.run_as import Placement, make_passable, place
from drip_pipeline.db.urls import with_database
from drip_pipeline.errors import EmbeddedServerError
from drip_pipeline.settings import Settings

log = logging.getLogger(__name__)

ROLE = "drip"
DATABASES = ("drip", "dagster")
LOCK_TIMEOUT_SECONDS = 180
START_RETRY_SECONDS = 15
RECOVERY_SECONDS = 60
LOG_BYTES = 10_000_000
PORTS = range(
    20_000, 32_000
)  # below the range from which systems take ports for outgoing connections


@dataclass(frozen=True, slots=True)
class EmbeddedStatus:
    """State of the server; `is_installed`: a data folder exists."""

    is_installed: bool
    is_running: bool
    pid: int | None
    port: int | None
    version: str | None
    data_folder: str


class EmbeddedServer:
    """The embedded server with its files in `home`/postgres. The constructor changes nothing."""

    def __init__(
        self,
        home: Path,
        *,
        postgres_bin: Path | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home
        self._folder = home / "postgres"
        self._postgres_bin = postgres_bin
        self._overrides = dict(overrides or {})

    @classmethod
    def from_settings(cls, settings: Settings) -> EmbeddedServer:
        """Return the server of these settings."""
        return cls(settings.home, postgres_bin=settings.postgres_bin)

    def ensure_running(self) -> str:
        """Create and start the server if needed, and return the libpq URL of its database `drip`.

        Takes one to two seconds the first time, milliseconds later. Raises EmbeddedServerError.
        """
        url = self._url()
        if url is not None and self._answers(url):
            return url
        try:
            with self._locked():
                return self._started()
        except OSError as error:
            raise EmbeddedServerError(
                f"the embedded PostgreSQL cannot use {self._folder}: {error.strerror or error}",
                hint="Use the same user as before, or another DRIP_HOME.",
            ) from error

    def stop(self) -> bool:
        """Stop the server and roll back open transactions; return False if it was not running."""
        if not self._data.exists():
            return False
        with self._locked():
            if self._postmaster() is None:
                return False
            placement = self._placement()
            # If a fast stop takes too long, writing the last checkpoint is left to the next start.
            for mode in ("fast", "immediate"):
                arguments = ["-D", str(placement.folder / "data"), "-m", mode, "-w", "-t", "60"]
                finished = placement.identity.run(
                    [placement.binaries.program("pg_ctl"), *arguments, "stop"], output=self._log
                )
                if finished.returncode == 0 or self._postmaster() is None:
                    break
            else:
                raise EmbeddedServerError(
                    "the embedded PostgreSQL did not stop", hint=f"See its log {self._log}."
                )
            log.info("embedded PostgreSQL stopped")
            return True

    def status(self) -> EmbeddedStatus:
        """Return the state of the server without changing it."""
        url = self._url()
        is_running = url is not None and self._answers(url)
        version_file = self._data / "PG_VERSION"
        return EmbeddedStatus(
            is_installed=version_file.exists(),
            is_running=is_running,
            pid=self._postmaster() if is_running else None,
            port=self._port() if is_running else None,
            version=version_file.read_text().strip() if version_file.exists() else None,
            data_folder=str(self._data),
        )

    # --- files ------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    @property
    def _password(self) -> Path:
        return self._folder / "password"

    def _port(self) -> int | None:
        try:
            return int((self._folder / "port").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _url(self) -> str | None:
        port = self._port()
        try:
            password = self._password.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise EmbeddedServerError(
                f"the embedded PostgreSQL in {self._folder} belongs to another user",
                hint="Use the same user as before, or another DRIP_HOME.",
            ) from error
        if port is None or not password:
            return None
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASES[0]}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_passable(self._home)
        lock = FileLock(self._home / "postgres.lock")
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_SECONDS)
        except Timeout:
            raise EmbeddedServerError(
                "another process has been starting or stopping the embedded PostgreSQL for "
                f"{LOCK_TIMEOUT_SECONDS} seconds",
                hint=f"See {self._log}; end that process, then try again.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    # --- state of the process ---------------------------------------------------------------------

    def _answers(self, url: str) -> bool:
        """Return whether this server answers; another one may use the port now."""
        if self._postmaster() is None:
            return False
        try:
            with psycopg.connect(url, connect_timeout=5, application_name="drip") as connection:
                row = connection.execute("SELECT current_setting('data_directory')").fetchone()
        except psycopg.Error:
            return False
        return row is not None and Path(str(row[0])).resolve() == self._data.resolve()

    def _postmaster(self) -> int | None:
        """Return the process id of the running server, None for a zombie or another program with
        the same id."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            is_alive = process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return pid if is_alive else None

    # --- create and start, under the lock ---------------------------------------------------------

    def _started(self) -> str:
        url = self._url()
        if url is not None and self._answers(url):
            return url  # another process started it
        make_passable(self._folder)
        placement = self._placement()
        if not self._data.exists():
            self._initialize(placement)
        self._start(placement)
        url = self._url()
        if url is None:
            raise EmbeddedServerError(
                f"the password of the embedded PostgreSQL is missing from {self._password}",
                hint="Restore that file, or move the folder away to start with an empty database.",
            )
        deadline = time.monotonic() + RECOVERY_SECONDS
        while not self._answers(with_database(url, "postgres")):
            # A server that does not answer yet is recovering after a crash.
            if time.monotonic() > deadline or self._postmaster() is None:
                raise EmbeddedServerError(
                    "the embedded PostgreSQL was started but does not answer",
                    hint=f"See its log {self._log}.",
                )
            time.sleep(0.2)
        _create_databases(url)
        return url

    def _placement(self) -> Placement:
        version_file = self._data / "PG_VERSION"
        major = int(version_file.read_text()) if version_file.exists() else None
        return place(find_binaries(self._postgres_bin, major=major), self._folder)

    def _initialize(self, placement: Placement) -> None:
        log.info("creating an embedded PostgreSQL %d in %s", placement.binaries.major, self._folder)
        # Renamed when complete, so that a killed initdb leaves no partial data folder.
        draft = placement.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        _write_private(self._password, password)
        handed_over = placement.folder / "password.new"
        _write_private(handed_over, password)
        for path in (draft, handed_over):
            placement.identity.give(path)
        command = [placement.binaries.program("initdb"), "-D", str(draft), "-U", ROLE]
        command += ["-A", "scram-sha-256", "--pwfile", str(handed_over), "-E", "UTF8"]
        command += ["--data-checksums"]
        if placement.binaries.major >= 16:
            # Iterations slow down guessing, and each connection: 4 ms, with one iteration 2 ms;
            # Dagster opens a connection for each event. 192 random bits cannot be guessed.
            command += ["-c", "scram_iterations=1"]
        try:
            # C.UTF-8 is unknown to older macOS; C sorts the same.
            for locale in ("C.UTF-8", "C"):
                finished = placement.identity.run(
                    [*command, f"--locale={locale}"], output=self._log
                )
                if finished.returncode == 0:
                    break
            else:
                raise EmbeddedServerError(
                    "the data folder of the embedded PostgreSQL could not be created",
                    hint=f"See its log {self._log}.",
                )
        finally:
            handed_over.unlink()
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\ninclude_if_exists = '{embedded_config.FILE_NAME}'\n")
        draft.rename(placement.folder / "data")

    def _start(self, placement: Placement) -> None:
        deadline = time.monotonic() + START_RETRY_SECONDS
        while self._postmaster() is None and not self._start_once(placement):
            # After a kill the old server's children hold its memory for some time; another program
            # may have taken the port.
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    "the embedded PostgreSQL does not start",
                    hint=f"See its log {self._log}.",
                )
            time.sleep(0.3)

    def _start_once(self, placement: Placement) -> bool:
        self._drop_stale_pid_file()
        port = self._port()
        if port is None or not _is_free(port):
            port = _free_port()
            (self._folder / "port").write_text(str(port), encoding="ascii")
        self._configure(placement, port, has_lz4=self._has_lz4(placement))
        _rotate(self._log)
        self._log.touch()
        placement.identity.give(self._log)
        arguments = ["-D", str(placement.folder / "data"), "-w", "-t", str(RECOVERY_SECONDS)]
        arguments += ["-l", str(placement.folder / self._log.name), "start"]
        finished = placement.identity.run(
            [placement.binaries.program("pg_ctl"), *arguments], output=self._log
        )
        if finished.returncode == 0:
            log.info("embedded PostgreSQL started on port %d", port)
        return finished.returncode == 0

    def _configure(self, placement: Placement, port: int, *, has_lz4: bool) -> None:
        path = placement.folder / "data" / embedded_config.FILE_NAME
        text = embedded_config.configuration(port, has_lz4=has_lz4, overrides=self._overrides)
        path.write_text(text, encoding="utf-8")
        placement.identity.give(path)

    def _has_lz4(self, placement: Placement) -> bool:
        """Return whether these binaries were built with lz4: they accept the setting only then."""
        command = [placement.binaries.program("postgres"), "-D", str(placement.folder / "data")]
        command += ["-c", "wal_compression=lz4", "-C", "wal_compression"]
        return placement.identity.run(command, output=Path(os.devnull)).returncode == 0

    def _drop_stale_pid_file(self) -> None:
        """Delete the pid file of a dead server. PostgreSQL does not start while the id in it is in
        use, even by another program after a reboot."""
        if self._postmaster() is not None or _postgres_works_in(self._data.resolve()):
            return
        (self._data / "postmaster.pid").unlink(missing_ok=True)


def _create_databases(url: str) -> None:
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in existing:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _rotate(path: Path) -> None:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))


def _free_port() -> int:
    for port in random.sample(PORTS, k=200):
        if _is_free(port):
            return port
    raise EmbeddedServerError(
        f"no free port was found between {PORTS.start} and {PORTS.stop} on 127.0.0.1"
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As PostgreSQL does: lingering connections of the last server do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _postgres_works_in(data: Path) -> bool:
    """Return whether a process of a killed server still works in the data folder."""
    for process in psutil.process_iter(["name", "cwd"]):
        if "postgres" in (process.info["name"] or "") and process.info["cwd"] == str(data):
            return True
    return False

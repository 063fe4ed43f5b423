from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from drip_pipeline.db.embedded import run_as as embedded_identity
from drip_pipeline.db.embedded.binaries import find_binaries
from drip_pipeline.db.embedded.configuration import configuration
from drip_pipeline.db.embedded.run_as import _copied_binaries
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.urls import with_database
from drip_pipeline.errors import EmbeddedServerError
from drip_pipeline.settings import CHECKOUT, Settings
from tests.conftest import quick_folder

QUICK = {"fsync": "off", "shared_buffers": "64MB"}
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's tmp_path: the other user that runs root's server cannot access it.
    folder = Path(tempfile.mkdtemp(prefix="drip-embedded-", dir=quick_folder()))
    folder.chmod(0o755)
    yield folder / "home"
    EmbeddedServer(folder / "home").stop()
    target = (folder / "home" / "postgres").resolve()
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def server(home: Path) -> EmbeddedServer:
    return EmbeddedServer(home, overrides=QUICK)


def asked(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


def test_the_server_is_created_started_reused_and_stopped(server, home):
    assert not server.status().is_installed
    url = server.ensure_running()
    assert server.ensure_running() == url
    assert asked(url, "SELECT current_database()") == "drip"
    assert asked(with_database(url, "dagster"), "SELECT current_database()") == "dagster"
    state = server.status()
    assert state.is_installed
    assert state.is_running
    assert state.pid is not None
    assert server.stop()
    assert not server.stop()
    assert not server.status().is_running
    assert not psutil.pid_exists(state.pid) or psutil.Process(state.pid).status() == "zombie"
    assert server.ensure_running() == url, "port and password stay"


def test_the_password_is_private_and_required(server, home):
    url = server.ensure_running()
    password = home / "postgres" / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert not (home / "postgres" / "password.new").exists()
    wrong = url.replace(password.read_text(), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        asked(wrong, "SELECT 1")


def test_data_survives_a_kill_of_the_server(server):
    url = server.ensure_running()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert asked(server.ensure_running(), "SELECT n FROM kept") == 7
    assert server.status().pid != pid


def test_a_pid_file_with_the_id_of_another_program_does_not_prevent_the_start(server, home):
    server.ensure_running()
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert asked(server.ensure_running(), "SELECT 1") == 1


def test_another_port_is_used_when_the_port_is_occupied(server):
    url = server.ensure_running()
    port = server.status().port
    assert port is not None
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert not server.status().is_running
        other = server.ensure_running()
        assert asked(other, "SELECT 1") == 1
    assert other != url


def test_concurrent_requests_start_one_server(home):
    servers = [EmbeddedServer(home, overrides=QUICK) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        urls = list(pool.map(EmbeddedServer.ensure_running, servers))
    assert len(set(urls)) == 1


def test_a_killed_initialization_is_started_again(server, home):
    (home / "postgres" / "data.new").mkdir(parents=True)
    (home / "postgres" / "data.new" / "half").touch()
    assert asked(server.ensure_running(), "SELECT 1") == 1
    assert not (home / "postgres" / "data.new").exists()


def test_a_long_path_works(home):
    deep = home.joinpath(*["a-folder-with-a-rather-long-name"] * 5)
    deep_server = EmbeddedServer(deep, overrides=QUICK)
    try:
        assert asked(deep_server.ensure_running(), "SELECT 1") == 1
    finally:
        deep_server.stop()


def test_an_installed_postgresql_can_be_used_instead(home):
    binaries = find_binaries().folder
    chosen = EmbeddedServer(home, postgres_bin=binaries, overrides=QUICK)
    assert asked(chosen.ensure_running(), "SELECT 1") == 1


def test_a_folder_without_postgresql_is_refused(tmp_path):
    with pytest.raises(EmbeddedServerError, match="DRIP_POSTGRES_BIN"):
        find_binaries(tmp_path)


def test_data_of_another_major_version_is_refused_with_a_hint():
    with pytest.raises(EmbeddedServerError, match="written by PostgreSQL 3") as caught:
        find_binaries(major=3)
    assert "DRIP_POSTGRES_BIN" in caught.value.hint


def test_the_server_writes_no_rows_into_its_log(server, home):
    url = server.ensure_running()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (email text PRIMARY KEY)")
        connection.execute("INSERT INTO people VALUES ('ann@example.com')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO people VALUES ('ann@example.com')")
    written = (home / "postgres" / "server.log").read_text()
    assert "duplicate key" in written
    assert "ann@" not in written


def test_the_configuration_quotes_values_and_applies_overrides():
    text = configuration(5555, has_lz4=True, overrides={"fsync": "off", "cluster_name": "it's"})
    assert "port = '5555'" in text
    assert "wal_compression = 'lz4'" in text
    assert "cluster_name = 'it''s'" in text
    assert "wal_compression" not in configuration(5555, has_lz4=False)


def test_the_settings_choose_home_and_programs(tmp_path):
    settings = Settings(home=tmp_path, postgres_bin=tmp_path / "bin")
    with pytest.raises(EmbeddedServerError, match="DRIP_POSTGRES_BIN"):
        EmbeddedServer.from_settings(settings).ensure_running()


def test_the_commands_start_migrate_show_and_stop_the_server(home):
    for arguments in (["start"], ["migrate", "--json"], ["url"], ["status", "--json"], ["stop"]):
        done = subprocess.run(
            [sys.executable, "-m", "drip_pipeline.cli", "db", *arguments],
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], "DRIP_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if arguments[0] == "migrate":
            assert "0001" in json.loads(done.stdout)["applied"][0]
        if arguments[0] == "url":
            assert done.stdout.startswith("postgresql://drip:")
            assert asked(done.stdout.strip(), "SELECT count(*) > 0 FROM drip_schema_migrations")
        if arguments[0] == "status":
            assert json.loads(done.stdout)["is_current"]


def as_root_would(monkeypatch: pytest.MonkeyPatch, home: Path, *, can_unshare: bool) -> None:
    """Close the folder to other users, and choose whether root may use a user namespace."""
    home.mkdir()
    home.chmod(0o700)
    if not can_unshare:
        monkeypatch.setattr(embedded_identity, "_NAMESPACE", ("false",))


if IS_ROOT:  # these ways exist for root only; a normal user runs the server as itself

    def test_a_normal_user_runs_the_server_as_itself(server, home):
        server.ensure_running()  # by root first: imports what the child could no longer read
        server.stop()
        entry = pwd.getpwnam("nobody")
        own = home.parent / "own"
        own.mkdir()
        os.chown(own, entry.pw_uid, entry.pw_gid)
        binaries = _copied_binaries(find_binaries(), home.parent)
        # A fork, since neither the interpreter nor the checkout need be reachable for that user.
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
                mine = EmbeddedServer(own, postgres_bin=binaries.folder, overrides=QUICK)
                code = 0 if asked(mine.ensure_running(), "SELECT 1") == 1 and mine.stop() else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (own / "postgres" / "data").stat().st_uid == entry.pw_uid

    def test_root_hands_the_server_to_another_user(server, home):
        server.ensure_running()
        assert (home / "postgres" / "data").stat().st_uid != 0

    def test_root_uses_a_user_namespace_where_no_other_user_can_reach(monkeypatch, server, home):
        as_root_would(monkeypatch, home, can_unshare=True)
        assert asked(server.ensure_running(), "SELECT 1") == 1
        assert (home / "postgres" / "data").stat().st_uid == 0
        assert server.stop()
        assert asked(server.ensure_running(), "SELECT 1") == 1

    def test_root_moves_the_data_within_reach_when_namespaces_are_forbidden(
        monkeypatch, server, home, tmp_path
    ):
        reachable = home.parent / "reachable"
        monkeypatch.setattr(embedded_identity, "REACHABLE_FOLDER", reachable)
        as_root_would(monkeypatch, home, can_unshare=False)
        url = server.ensure_running()
        assert asked(url, "SELECT 1") == 1
        assert (home / "postgres").is_symlink()
        assert (home / "postgres").resolve().parent == reachable
        assert server.stop()
        assert server.ensure_running() == url

    def test_root_gets_a_hint_when_no_user_can_run_the_server(monkeypatch, server, home):
        monkeypatch.setattr(embedded_identity, "USERS", ())
        as_root_would(monkeypatch, home, can_unshare=False)
        with pytest.raises(EmbeddedServerError, match="does not run as root") as caught:
            server.ensure_running()
        assert "normal user" in caught.value.hint

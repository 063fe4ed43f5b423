"""What a session through a pooler has: settings in each transaction, and nothing that lasts."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import LOCK_KEY, migrate
from drip_pipeline.errors import DatabaseError, DatabaseUnsuitable, SettingsError
from drip_pipeline.settings import CHECKOUT
from tests.poolers.matrix import run_cell
from tests.poolers.pgbouncer import pgbouncer, program
from tests.poolers.transaction_proxy import transaction_proxy, with_port

SHOWN = "SELECT current_setting('TimeZone'), current_setting('jit'), current_setting('work_mem')"


@pytest.fixture
def pooled_url(empty_database: Database, pooler_port: int) -> str:
    return with_port(empty_database.url, pooler_port)


def test_a_pooler_is_noticed_and_a_server_is_not_taken_for_one(empty_database, pooled_url):
    assert not empty_database.is_pooled
    with Database(pooled_url) as pooled:
        assert pooled.is_pooled
    with Database(empty_database.url, pooler="transaction") as forced:
        assert forced.is_pooled


@pytest.mark.parametrize(
    "options", ["-c work_mem=5MB", "-cwork_mem=5MB -c  TimeZone=UTC", "--work-mem=5MB"]
)
def test_settings_of_the_url_hold_in_every_transaction(pooled_url, options):
    with Database(f"{pooled_url}?options={quote(options)}") as database:
        for _ in range(5):
            with database.transaction() as connection:
                assert connection.execute(SHOWN).fetchone() == ("UTC", "off", "5MB")
        with (
            database.transaction(is_read_only=True) as connection,
            database.transaction() as beside,
        ):
            assert connection.execute(SHOWN).fetchone() == ("UTC", "off", "5MB")
            assert beside.execute(SHOWN).fetchone() == ("UTC", "off", "5MB")
        with pytest.raises(DatabaseUnsuitable, match="work_mem"), database.autocommit():
            pass


def test_settings_do_not_stay_in_the_sessions_of_the_server(pooled_url):
    with Database(f"{pooled_url}?options=-cwork_mem%3D5MB") as database:
        for _ in range(4):
            with database.transaction() as connection:
                connection.execute("SELECT")
    for _ in range(4):
        with psycopg.connect(pooled_url) as other:
            assert other.execute("SHOW work_mem").fetchone() != ("5MB",)


@pytest.mark.parametrize("options", ["-e", "-c work_mem", "--work_mem"])
def test_options_that_are_no_settings_are_refused(pooled_url, options):
    database = Database(f"{pooled_url}?options={quote(options)}", pooler="transaction")
    with pytest.raises(SettingsError, match="options"), database.transaction():
        pass


def test_a_statement_that_was_prepared_in_another_session_names_the_setting(empty_database):
    def prepare_often(pooled_url: str) -> None:
        sessions = [Database(pooled_url, pooler="session") for _ in range(2)]
        for one, two in [sessions, sessions[::-1]] * 8:
            with one.transaction() as connection:
                connection.execute("SELECT %s::int", [1])
                with two.transaction() as beside:
                    beside.execute("SELECT %s::int", [1])

    # The proxy changes the session in each transaction; PgBouncer does only under load.
    with transaction_proxy(empty_database.url) as proxy, pytest.raises(DatabaseError) as caught:
        prepare_often(with_port(empty_database.url, proxy.port))
    assert "DRIP_DATABASE_POOLER=transaction" in (caught.value.hint or "")


def test_a_process_that_is_killed_while_it_migrates_leaves_no_lock(empty_database, pooled_url):
    source = (
        "import os, sys\n"
        "from drip_pipeline.db.connection import Database\n"
        "from drip_pipeline.db.migrate import LOCK_KEY\n"
        "with Database(sys.argv[1]) as database, database.transaction() as connection:\n"
        "    connection.execute('SELECT pg_advisory_xact_lock(%s)', [LOCK_KEY])\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", source, pooled_url], cwd=CHECKOUT, check=False)
    assert killed.returncode == -9
    with Database(pooled_url) as database:
        assert migrate(database, wait_seconds=10).applied
    with empty_database.transaction() as connection:
        free = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK_KEY]).fetchone()
    assert free == (True,)


def test_doctor_names_the_pooler(empty_database, pooled_url, monkeypatch, tmp_path):
    migrate(empty_database)
    monkeypatch.setenv("DRIP_DATABASE_URL", pooled_url)
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))
    shown = CliRunner().invoke(main, ["doctor"]).output
    assert "responds, through a pooler" in shown


def test_a_role_of_its_own_and_another_schema_need_no_pooler(server_url):
    port = int(server_url.rpartition(":")[2].partition("/")[0])
    assert run_cell(server_url, port, schema="own, in the URL", roles="plain").problem == ""


if program():

    def test_a_pooler_in_statement_mode_is_refused_by_name(empty_database):
        with pgbouncer(empty_database.url, settings={"pool_mode": "statement"}) as port:
            database = Database(with_port(empty_database.url, port))
            with pytest.raises(DatabaseError, match="statement pooling") as caught:
                database.check()
        assert "pool_mode" in (caught.value.hint or "")

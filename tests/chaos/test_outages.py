"""The database server is killed while `drip run` works, and comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.migrate import migrate
from drip_pipeline.errors import DatabaseUnavailable
from drip_pipeline.settings import CHECKOUT
from tests.conftest import quick_folder
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import email, end, graph, trigger, wait_hours

PEOPLE = 9_000


@pytest.fixture
def own_server() -> Iterator[tuple[Path, EmbeddedServer]]:
    """A DRIP_HOME and its server, which no other test uses."""
    home = Path(tempfile.mkdtemp(prefix="drip-outage-", dir=quick_folder()))
    home.chmod(0o755)
    server = EmbeddedServer(home)
    yield home, server
    server.stop()
    shutil.rmtree(home)


def lose_connection(database: Database, server: EmbeddedServer) -> None:
    """Stop the server during a transaction."""
    with database.transaction() as connection:
        server.stop()
        connection.execute("SELECT")


def kill_server(home: Path) -> None:
    postmaster = (home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
    os.kill(int(postmaster), signal.SIGKILL)


@pytest.mark.parametrize("is_embedded", [False, True], ids=["DRIP_DATABASE_URL", "embedded"])
def test_a_run_goes_on_when_the_database_is_back(own_server, is_embedded):
    home, server = own_server
    url = server.ensure_running()
    flow = graph(
        trigger("first"),
        email("first", default="rest"),
        wait_hours("rest", 0, default="second"),
        email("second", default="end"),
        end(),
    )
    with Database(url) as database:
        migrate(database)
        with database.transaction() as connection:
            campaign = a_published_campaign(connection, flow)
            enrolled(connection, campaign, contacts(connection, campaign.workspace_id, PEOPLE))
    environment = {"DRIP_HOME": str(home), "DRIP_BATCH_SIZE": "40"}
    if not is_embedded:
        environment["DRIP_DATABASE_URL"] = url
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "drip_pipeline.cli", "run", "--until-idle", "--json"),
            *("--now", NOW.isoformat()),
        ],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert "advanced" in process.stderr.readline()
        # Otherwise it could be done before the server is gone, on a busy machine.
        process.send_signal(signal.SIGSTOP)
        kill_server(home)
        process.send_signal(signal.SIGCONT)
        if not is_embedded:
            time.sleep(3)
            assert server.ensure_running() == url
        printed, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    # A backend that is never idle outlives its server, and the run may be done before it notices.
    assert said.count("trying to connect again") == said.count("the database answers again") <= 1
    report = json.loads(printed)
    assert report["is_idle"]
    with Database(server.ensure_running()) as database, database.transaction() as connection:
        completed = connection.execute(
            "SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'completed'"
        ).fetchone()
        sent = connection.execute(
            "SELECT count(*), count(DISTINCT delivery_id) FROM recorded_messages"
        ).fetchone()
        open_deliveries = connection.execute(
            "SELECT count(*) FROM campaign_deliveries WHERE status = 'sending'"
        ).fetchone()
    # Messages that were being sent are settled when their lease ends, not by this run.
    assert completed is not None
    assert open_deliveries is not None
    assert completed[0] + open_deliveries[0] == PEOPLE
    assert open_deliveries[0] <= 50
    assert sent is not None
    assert sent[0] == sent[1]


def test_during_an_outage_each_use_fails_at_once_with_the_reason(own_server):
    _, server = own_server
    with Database(server.ensure_running()) as database:
        with pytest.raises(DatabaseUnavailable):
            lose_connection(database, server)
        started_at = time.monotonic()
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="refused"):
                database.check()
        assert time.monotonic() - started_at < 10
        server.ensure_running()
        database.check()


def test_a_wrong_url_is_reported_at_once(tmp_path):
    started_at = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-m", "drip_pipeline.cli", "run"],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "DRIP_HOME": str(tmp_path),
            "DRIP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "the database is not available" in finished.stderr
    assert "trying to connect again" not in finished.stderr
    assert time.monotonic() - started_at < 30

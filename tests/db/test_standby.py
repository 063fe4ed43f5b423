"""Two servers under streaming replication: reports read from the standby, the engine refuses it,
and runs go on after the primary is lost and the standby promoted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.standby import ReadDatabase
from drip_pipeline.errors import DatabaseUnsuitable
from tests.cli.conftest import Drip, answered, drip
from tests.conftest import OVERRIDES, quick_folder
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, trigger

__all__ = ["drip"]

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"
FLOW = graph(trigger("mail"), email("mail", default="end"), end())
REPLICATION = {
    **OVERRIDES,
    "shared_buffers": "64MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "synchronous_commit": "on",  # otherwise a commit is written, and sent, only later
    "wal_retrieve_retry_interval": "200ms",
}


class Pair(NamedTuple):
    """A primary and its standby."""

    primary: EmbeddedServer
    primary_url: str
    standby_url: str

    @property
    def either(self) -> str:
        """The URL of the server that can be written to."""
        hosts = ",".join(
            f"127.0.0.1:{port_of(url)}" for url in (self.primary_url, self.standby_url)
        )
        user = urlsplit(self.primary_url).netloc.rpartition("@")[0]
        return f"postgresql://{user}@{hosts}/drip?target_session_attrs=read-write"


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def execute(url: str, statement: str, *params: object) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement, params).fetchone()
    return row[0] if row else None


def replayed(pair: Pair) -> None:
    """Return when the standby has what the primary has committed."""
    end_of_log = execute(pair.primary_url, "SELECT pg_current_wal_lsn()")
    for _ in range(200):
        if execute(
            pair.standby_url,
            "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn FROM pg_sleep(0.05)",
            end_of_log,
        ):
            return
    raise AssertionError("the standby does not follow")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The standby is a cold copy of the primary's folder, which needs no pg_basebackup."""
    folder = Path(tempfile.mkdtemp(prefix="drip-standby-", dir=quick_folder()))
    folder.chmod(0o755)
    first = EmbeddedServer(folder / "first", overrides=REPLICATION)
    second = None
    try:
        url = first.ensure_running()
        with Database(url) as database:
            migrate(database)
        first.stop()
        (folder / "second").mkdir()
        subprocess.run(
            ["cp", "-a", folder / "first" / "postgres", folder / "second" / "postgres"], check=True
        )
        copied = folder / "second" / "postgres"
        (copied / "port").unlink()
        mark = copied / "data" / "standby.signal"
        mark.touch()
        owner = (copied / "data").stat()
        os.chown(mark, owner.st_uid, owner.st_gid)
        url = first.ensure_running()
        parts = urlsplit(url)
        source = f"host=127.0.0.1 port={parts.port} user={parts.username} password={parts.password}"
        second = EmbeddedServer(
            folder / "second", overrides={**REPLICATION, "primary_conninfo": source}
        )
        yield Pair(first, url, second.ensure_running())
    finally:
        first.stop()
        if second is not None:
            second.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_standby_is_read_refused_when_it_lags_and_promoted_when_the_primary_is_lost(
    pair: Pair, drip: Drip, monkeypatch: pytest.MonkeyPatch
):
    with Database(pair.primary_url) as primary, primary.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW, name="Welcome")
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 3))
    replayed(pair)

    # Reports read the standby only: the primary's URL leads nowhere.
    monkeypatch.setenv("DRIP_DATABASE_URL", NOWHERE)
    monkeypatch.setenv("DRIP_READ_DATABASE_URL", pair.standby_url)
    result = drip("campaign", "funnel", "Welcome", "--json")
    assert answered(result)["entered"] == 3
    assert "behind the primary" in result.stderr
    for command in (
        ("campaign", "show", "Welcome"), ("metrics", "show"), ("metrics", "live"), ("audit",),
    ):  # fmt: skip
        assert drip(*command).exit_code == 0, command
    assert drip("campaign", "pause", "Welcome").exit_code == 1

    # The engine names a server that it cannot write to.
    monkeypatch.setenv("DRIP_DATABASE_URL", pair.standby_url)
    for command in (("run",), ("doctor",)):
        refused = drip(*command)
        assert refused.exit_code == 1, command
        assert "is a standby, and the engine must write" in " ".join(refused.output.split())
    refused = drip("campaign", "pause", "Welcome")
    assert "read-only" in refused.stderr
    assert "target_session_attrs=read-write" in refused.stderr

    # An idle primary sends nothing: its standby is not behind.
    reads = ReadDatabase(pair.standby_url, max_lag_seconds=1)
    execute(pair.primary_url, "SELECT pg_sleep(1.2)")
    with reads, reads.transaction():
        pass
    assert reads.lag_seconds == 0

    # Behind, it is refused: never an old answer.
    execute(pair.standby_url, "SELECT pg_wal_replay_pause()")
    execute(pair.primary_url, "UPDATE drip_campaigns SET status = 'paused' RETURNING 1")
    execute(pair.primary_url, "SELECT pg_sleep(1.2)")
    monkeypatch.setenv("DRIP_READ_MAX_LAG", "1")
    refused = drip("campaign", "show", "Welcome")
    assert refused.exit_code == 1
    assert "behind its primary" in refused.stderr
    assert "DRIP_READ_MAX_LAG" in refused.stderr
    monkeypatch.setenv("DRIP_READ_MAX_LAG", "0")
    old = drip("campaign", "show", "Welcome", "--json")
    assert answered(old)["campaign"]["status"] == "active"
    execute(pair.standby_url, "SELECT pg_wal_replay_resume()")
    execute(pair.primary_url, "UPDATE drip_campaigns SET status = 'active' RETURNING 1")
    replayed(pair)

    # One URL with both hosts survives the loss of the primary, also with an open pool.
    with Database(pair.either) as either:
        with either.transaction() as connection:
            assert connection.info.port == port_of(pair.primary_url)
        pid = pair.primary.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        execute(pair.standby_url, "SELECT pg_sleep(1.2)")
        with pytest.raises(DatabaseUnsuitable, match="or has lost it"), reads.transaction():
            pass
        reads.close()
        assert execute(pair.standby_url, "SELECT pg_promote()") is True
        run_until_idle(either, NOW)  # the pool still has a connection to the lost primary
        monkeypatch.setenv("DRIP_DATABASE_URL", pair.either)
        assert answered(drip("run", "--until-idle", "--now", NOW.isoformat(), "--json"))["is_idle"]
        with either.transaction() as connection:
            ended = connection.execute(
                "SELECT s.workflow_status, d.status, count(*) FROM campaign_workflow_states s"
                " JOIN campaign_deliveries d ON d.enrollment_id = s.id GROUP BY 1, 2"
            ).fetchall()
    assert ended == [("completed", "sent", 3)]
    assert drip("db", "url").stdout.strip() == pair.either

"""A backup is one when it was restored: the scripts of deploy/, on people amid their way."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.binaries import find_binaries
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.settings import CHECKOUT
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled, run_until_idle
from tests.engine.graphs import email, end, graph, trigger, wait_hours

SCRIPTS = CHECKOUT / "deploy" / "postgres"
FLOW = graph(
    trigger("first"),
    email("first", default="rest"),
    wait_hours("rest", 24, default="second"),
    email("second", default="end"),
    end(),
)


def script(name: str, *arguments: object) -> str:
    binaries = find_binaries().folder
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(SCRIPTS / name), *map(str, arguments)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def messages(database: Database) -> set[tuple[object, ...]]:
    with database.transaction() as connection:
        return set(
            connection.execute(
                "SELECT message_id, enrollment_id, node_id FROM campaign_message_outcomes"
            ).fetchall()
        )


def test_a_restored_backup_continues_where_it_was_made(database, empty_database, tmp_path: Path):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW)
        people = contacts(connection, campaign.workspace_id, 40)
        enrolled(connection, campaign, people)
    run_until_idle(database, now=NOW)
    (file,) = script("backup.sh", tmp_path / "backups", database.url).splitlines()
    assert not list((tmp_path / "backups").glob("*.part"))
    assert Path(file).stat().st_mode & 0o077 == 0
    script("restore.sh", file, empty_database.url)
    assert messages(empty_database) == messages(database)
    later = NOW + timedelta(days=2)
    for each in (database, empty_database):
        run_until_idle(each, now=later)
        assert [check.name for check in check_invariants(each, now=later) if not check.holds] == []
    assert messages(empty_database) == messages(database)
    assert len(messages(empty_database)) == 80

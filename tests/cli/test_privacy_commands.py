"""`drip contacts export` and `drip contacts erase`, as an operator calls them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import orjson

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.factories import contacts, the_workspace

ANN = "ann@example.com"


def test_a_person_is_exported_and_then_erased(drip: Drip, database: Database, tmp_path: Path):
    with database.transaction() as connection:
        contacts(connection, the_workspace(connection), 1, prefix="ann")
        connection.execute("UPDATE contacts SET email = %s", [ANN])
    answered(drip("contacts", "suppress", ANN, "--reason", "by phone", "--json"))
    out = tmp_path / "ann.zip"
    result = answered(drip("contacts", "export", ANN, "--out", str(out), "--json"))
    assert result["rows"]["contacts"] == 1
    with zipfile.ZipFile(out) as archive:
        (row,) = orjson.loads(archive.read("data/contacts.json"))
    assert row["email"] == ANN

    erased = answered(drip("contacts", "erase", ANN, "--reason", f"{ANN} wrote", "--json"))
    assert (erased["contacts"], erased["is_complete"], erased["reasons"]) == (1, True, [])
    again = drip("contacts", "erase", ANN)
    assert (again.exit_code, again.stdout) == (0, "0 contacts erased\n")
    actions = answered(drip("audit", "--action", "erase", "--json"))
    assert ANN not in str(actions)
    assert len(actions) == 2

    gone = drip("contacts", "export", ANN, "--out", str(out))
    assert gone.exit_code == 1
    assert "nothing is stored of this address" in gone.stderr

    path = tmp_path / "people.csv"
    path.write_text(f"email\n{ANN}\n", encoding="utf-8")
    answered(drip("contacts", "import", str(path), "--json"))
    with database.transaction() as connection:
        sources = connection.execute("SELECT source FROM campaign_suppressions").fetchall()
    assert sources == [("erasure",)]


def test_an_erasure_that_waits_says_for_what(drip: Drip, database: Database):
    with database.transaction() as connection:
        contacts(connection, the_workspace(connection), 1)
        connection.execute(
            "INSERT INTO campaign_archives (kind, month, file, rows_archived, begun_at,"
            " archived_at) VALUES ('campaign_events', '2024-01-01', 'x.parquet', 1, now(), now())"
        )
    waiting = drip("contacts", "erase", "person1@example.com")
    assert waiting.exit_code == 1
    assert "waiting: 1 archive files are not in archive, for example x.parquet" in waiting.stdout
    done = drip("contacts", "erase", "person1@example.com", "--archives-gone")
    assert done.exit_code == 0

"""`drip enroll --data`: one object for all contacts, or a file with the data of each run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.events.incoming import rows

CAMPAIGN: dict[str, Any] = {
    "name": "Orders",
    "campaign_type": "linear",
    "re_entry": {"per_key": "order_id"},
    "steps": [
        {
            "node_id": "mail",
            "node_type": "email",
            "channel_config": {
                "email": {
                    "subject": "Order {{ entry.order_id }}: {{ entry.total }}",
                    "body": "{{ unsubscribe_url }}",
                }
            },
        }
    ],
}


@pytest.fixture
def orders(drip: Drip, tmp_path: Path) -> Path:
    """Publish the campaign, import two contacts, and return a folder for files."""
    file = tmp_path / "orders.json"
    file.write_text(json.dumps(CAMPAIGN))
    people = tmp_path / "people.csv"
    people.write_text("email,name\nann@example.com,Ann\nbob@example.com,Bob\n")
    answered(drip("contacts", "import", people, "--json"))
    answered(drip("campaign", "publish", file, "--json"))
    return tmp_path


def subjects(drip: Drip, database: Database) -> list[str]:
    """Run the campaign, and return the subjects of its messages."""
    answered(drip("run", "--json"))
    sent = rows(database, "SELECT subject FROM recorded_messages ORDER BY subject")
    return [subject for (subject,) in sent]


AS_CSV = """order_id,Email,total,note
7,ann@example.com,12.50,
8,ANN@example.com,9,x
9,bob@example.com,1,
,bob@example.com,1,
10,nobody@example.com,1,
11,,1,
"""
AS_NDJSON = """{"email": "ann@example.com", "order_id": 7, "total": "12.50"}

{"email": "ann@example.com", "order_id": "8", "total": 9}
{"email": "bob@example.com", "order_id": 9, "total": 1}
{"email": "bob@example.com", "order_id": {"a": 1}}
{"email": "nobody@example.com", "order_id": 10}
{"order_id": 11}
"""


@pytest.mark.parametrize(("name", "content"), [("o.csv", AS_CSV), ("o.ndjson", AS_NDJSON)])
def test_a_file_enrolls_a_run_for_each_of_its_lines(
    drip: Drip, database: Database, orders: Path, name: str, content: str
) -> None:
    (orders / name).write_text(content)
    result = answered(drip("enroll", "Orders", "--data", orders / name, "--json"))
    assert result["enrolled"] == 3
    assert result["refused"] == {"no_entry_key": 1, "not_found": 1, "no_email": 1}
    assert subjects(drip, database) == ["Order 7: 12.50", "Order 8: 9", "Order 9: 1"]
    again = answered(drip("enroll", "Orders", "--data", orders / name, "--json"))
    assert (again["enrolled"], again["already_in"]) == (0, 3)


def test_one_object_is_the_data_of_all(drip: Drip, database: Database, orders: Path) -> None:
    data = '{"order_id": "A-7", "total": {"net": 1}}'
    assert answered(drip("enroll", "Orders", "--all", "--data", data, "--json"))["enrolled"] == 2
    file = orders / "one.json"
    file.write_text('{\n "order_id": "A-8"\n}')
    assert answered(drip("enroll", "Orders", "--all", "--data", file, "--json"))["enrolled"] == 2
    assert len(subjects(drip, database)) == 4


def test_lines_that_cannot_be_used_are_named_and_the_others_enroll(
    drip: Drip, database: Database, orders: Path
) -> None:
    file = orders / "o.ndjson"
    deep = "[" * 20 + "]" * 20
    file.write_text(
        '{"email": "ann@example.com", "order_id": 1}\n{broken\n[1]\n'
        f'{{"email": "bob@example.com", "order_id": 2, "x": {deep}}}\n'
        f'{{"email": "bob@example.com", "order_id": 3, "x": "{"y" * 40_000}"}}\n'
        '{"email": "bob@example.com", "order_id": 4, "x": "\\u0000"}\n'
    )
    result = drip("enroll", "Orders", "--data", file)
    assert result.exit_code == 0
    assert "1 enrolled" in result.stdout
    for text in (
        "line 2: not_json",
        "line 3: not_an_object",
        "line 4: entry data: it is nested",
        "line 5: entry data: it has 40,",
        "line 6: entry data: a text has the character NUL",
    ):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all"], "there is no entry data"),
        (["--all", "--data", "{broken"], "--data is not JSON"),
        (["--all", "--data", '{"x": "\\u0000"}'], "a text has the character NUL"),
        (["--all", "--data", "missing.json"], "missing.json"),
        (["--all", "--data", "FILE"], "names its contacts"),
        (["--data", '{"order_id": 1}'], "exactly one of"),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_what_to_do(
    drip: Drip, orders: Path, arguments: list[str], message: str
) -> None:
    file = orders / "o.csv"
    file.write_text("email,order_id\nann@example.com,1\n")
    result = drip("enroll", "Orders", *[str(file) if a == "FILE" else a for a in arguments])
    assert result.exit_code != 0
    assert message in result.stderr


def test_a_table_without_addresses_is_refused(drip: Drip, orders: Path) -> None:
    (orders / "o.csv").write_text("address,order_id\nann@example.com,1\n")
    result = drip("enroll", "Orders", "--data", orders / "o.csv")
    assert result.exit_code != 0
    assert "has no column `email`" in result.stderr


def test_an_entry_key_serves_where_the_data_has_none(
    drip: Drip, database: Database, orders: Path
) -> None:
    result = drip("enroll", "Orders", "--all", "--entry-key", "K-1", "--json")
    assert answered(result)["enrolled"] == 2
    assert rows(database, "SELECT DISTINCT entry_key FROM campaign_enrollments") == [("K-1",)]

"""`drip suppressions import`, `drip contacts resubscribe` and `drip workspace region`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Drip, answered

NOW = "2026-03-02T09:00:00+00:00"


def test_a_list_is_imported_and_the_columns_are_named(drip: Drip, tmp_path: Path):
    path = tmp_path / "bounces.csv"
    path.write_text("status,reason,email\n5.1.1,550 5.1.1 gone,one@example.com\n", encoding="utf-8")
    result = drip("suppressions", "import", path, "--now", NOW)
    assert result.exit_code == 0
    assert "1 addresses added" in result.stdout
    assert "reason from status, reason" in result.stdout
    assert "bounced" in result.stdout


def test_a_file_of_which_no_row_can_be_taken_exits_with_1(drip: Drip, tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text("phone\n0151 23456780\n4.9E+12\n", encoding="utf-8")
    result = drip("suppressions", "import", path, "--now", NOW, "--json")
    assert result.exit_code == 1
    assert "drip workspace region" in drip("suppressions", "import", path).stdout
    assert json.loads(result.stdout)["rejected"] == {"phone_without_country": 1, "invalid_phone": 1}
    assert answered(drip("workspace", "region", "de", "--json")) == {"region": "DE"}
    assert answered(drip("suppressions", "import", path, "--now", NOW, "--json"))["added"] == 1
    assert drip("workspace", "region", "XX").exit_code == 1


def test_columns_are_mapped(drip: Drip, tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text("Kunde\none@example.com\n", encoding="utf-8")
    assert drip("suppressions", "import", path).exit_code == 1
    report = answered(drip("suppressions", "import", path, "--map", "Kunde=email", "--json"))
    assert report["added"] == 1


def test_an_address_is_taken_off_the_list(drip: Drip, tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text("email\none@example.com\n", encoding="utf-8")
    answered(drip("suppressions", "import", path, "--now", NOW, "--json"))
    assert drip("contacts", "resubscribe", "one@example.com").exit_code == 2  # without a reason
    done = answered(
        drip("contacts", "resubscribe", "ONE@example.com", "--reason", "asked", "--json")
    )
    assert done["lifted"] == 1
    assert drip("contacts", "resubscribe", "ONE@example.com", "--reason", "asked").exit_code == 1

"""The doctor names the time zones that the database computes differently."""

from __future__ import annotations

import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.campaigns.workspaces import ZoneOffset
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.zone_differences import zone_differences
from tests.engine.factories import a_workspace

NOW = datetime(2026, 1, 28, 12, 30, tzinfo=UTC)


def test_zones_come_from_the_package_alone() -> None:
    # In a new process: another library may have read the zones of the operating system first.
    code = (
        "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin');"
        "from drip_pipeline.domain.conditions.time_zones import find_zone;"
        "print(zoneinfo.TZPATH, find_zone('Europe/Berlin') is zoneinfo.ZoneInfo('Europe/Berlin'))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["()", "True"]
    assert zoneinfo.TZPATH == ()


def test_a_zone_without_differences_is_not_named(database: Database) -> None:
    with database.transaction() as connection:
        a_workspace(connection)
        connection.execute("UPDATE workspaces SET time_zone = 'Asia/Tokyo'")
        assert zone_differences(connection, NOW) == []


def test_a_differing_zone_is_named_with_its_days(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = workspaces_db.offsets
    differs_from = datetime(2026, 11, 1, tzinfo=UTC)

    def with_other_rules(*arguments: Any) -> list[ZoneOffset]:
        return [
            row._replace(utc_offset=row.utc_offset + timedelta(hours=1))
            if row.at >= differs_from and row.zone == "Asia/Tokyo"
            else row
            for row in real(*arguments)
        ]

    monkeypatch.setattr(workspaces_db, "offsets", with_other_rules)
    with database.transaction() as connection:
        for name, zone in (("A", "Asia/Tokyo"), ("B", "Asia/Kathmandu"), ("C", "<+03>-3")):
            connection.execute(
                "UPDATE workspaces SET time_zone = %s WHERE id = %s",
                [zone, a_workspace(connection, name)],
            )
        differences = zone_differences(connection, NOW)
    unknown, differing = (each.describe() for each in differences)
    assert unknown == "time zone <+03>-3 is unknown to drip, which uses UTC instead"
    assert differing.startswith("time zone Asia/Tokyo: the database's clock differs from drip's")
    assert differing.endswith("between 2026-11-01 and 2028-01-28")

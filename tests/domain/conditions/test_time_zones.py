"""Names of time zones: IANA in any case, Windows, offsets; and what an unknown one means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.conditions.time_zones import find_zone, iana_name
from drip_pipeline.domain.graph.nodes import ConditionConfig
from drip_pipeline.engine.contacts.cell_values import CellInvalid, time_zone
from drip_pipeline.engine.enrollment.audience import matching_contacts
from tests.engine.factories import (
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import add_tag, end, graph, node, trigger

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
AT_21: dict[str, Any] = {"type": "time", "field": "hour", "operator": "==", "value": 21}


@pytest.mark.parametrize(
    ("name", "hour"),
    [
        ("Europe/Berlin", 13),
        ("europe/berlin", 13),
        (" EUROPE/BERLIN ", 13),
        ("america/new york", 7),
        ("W. Europe Standard Time", 13),
        ("tokyo standard time", 21),
        ("UTC", 12),
        ("Z", 12),
        ("UTC+9", 21),
        ("GMT-05:00", 7),
        ("+0930", 21),
        ("-3", 9),
        ("Etc/GMT+2", 10),
        ("CET", 13),
    ],
)
def test_a_time_zone_is_found_by_its_usual_names(name: str, hour: int) -> None:
    zone = find_zone(name)
    assert zone is not None
    assert NOON.astimezone(zone).hour == hour


@pytest.mark.parametrize("name", ["", "Berlin time", "Europe", "../etc/passwd", "+25", "a\0b", 5])
def test_other_texts_are_no_time_zone(name: Any) -> None:
    assert find_zone(name) is None


def test_an_imported_time_zone_becomes_its_iana_name_or_is_set_aside() -> None:
    assert time_zone("europe/berlin") == "Europe/Berlin"
    assert time_zone("Tokyo Standard Time") == "Asia/Tokyo"
    assert time_zone("UTC+2") == "UTC+2"
    assert iana_name("UTC+2") is None
    with pytest.raises(CellInvalid, match="unknown_timezone"):
        time_zone("Middle-earth")


def test_without_a_known_time_zone_a_contact_has_that_of_its_workspace(database: Database) -> None:
    branches: Any = [{"id": "yes", "condition": AT_21}, {"id": "else"}]
    flow = graph(
        trigger("c"),
        node("c", "condition", ConditionConfig(branches=branches), yes="t", else_="end"),
        add_tag("t", "evening", default="end"),
        end(),
    )
    zones = ["Middle-earth", None, "Europe/Berlin", "tokyo standard time"]
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        connection.execute("UPDATE workspaces SET time_zone = 'Asia/Tokyo'")
        ids = contacts(connection, workspace, len(zones))
        for contact_id, zone in zip(ids, zones, strict=True):
            connection.execute(
                "UPDATE contacts SET custom_fields = jsonb_build_object('timezone', %s::text)"
                " WHERE id = %s",
                [zone, contact_id],
            )
        expected = {ids[0], ids[1], ids[3]}
        selected = matching_contacts(connection, ids, Condition.model_validate(AT_21), NOON)
        campaign = a_published_campaign(connection, flow, workspace_id=workspace, now=NOON)
        enrolled(connection, campaign, ids, at=NOON)
    assert set(selected) == expected
    run_until_idle(database, NOON)
    with database.transaction() as connection:
        tagged = connection.execute("SELECT id FROM contacts WHERE tags = '{evening}'").fetchall()
    assert {row[0] for row in tagged} == expected

"""Importing a suppression list: what a row means, what is refused, and that nobody comes off it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.import_suppressions import import_suppressions
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.errors import ImportFileError
from tests.engine.factories import NOW, a_published_campaign, contacts
from tests.engine.graphs import email, end, graph, trigger

LETTER = graph(trigger("hello"), email("hello", default="end"), end())


def listed(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def on_the_list(database: Database) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT address, reason, channel, campaign_id, contact_id IS NOT NULL "
            "FROM campaign_suppressions ORDER BY address, channel"
        ).fetchall()


def test_rows_become_suppressions_of_the_contacts_they_name(database, tmp_path):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, LETTER)
        contacts(connection, campaign.workspace_id, 4)
    path = listed(
        tmp_path,
        "email,reason,channel,campaign\n"
        "PERSON1@example.com,unsubscribed,,\n"
        "person2@example.com,bounced,email,\n"
        "person3@example.com,complained,,Welcome\n"
        "stranger@example.com,,,\n",
    )
    report = import_suppressions(database, path, now=NOW)
    assert (report.rows, report.added, report.already) == (4, 4, 0)
    assert on_the_list(database) == [
        ("PERSON1@example.com", "unsubscribed", None, None, True),
        ("person2@example.com", "bounced", "email", None, True),
        ("person3@example.com", "complained", None, campaign.campaign_id, True),
        ("stranger@example.com", "manual", None, None, False),
    ]
    enrollment = enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    assert (enrollment.enrolled, enrollment.refused) == (1, {"suppressed": 3})


def test_repeating_adds_nothing_and_keeps_the_first_reason(database, tmp_path):
    path = listed(tmp_path, "address,reason\na@example.com,bounced\nA@example.com,manual\n")
    assert import_suppressions(database, path, now=NOW).added == 1
    path = listed(tmp_path, "address,reason\na@example.com,complained\n")
    again = import_suppressions(database, path, now=NOW)
    assert (again.added, again.already) == (0, 1)
    assert [row[:2] for row in on_the_list(database)] == [("a@example.com", "bounced")]


def test_invalid_rows_are_reported_with_their_line(database, tmp_path):
    path = listed(
        tmp_path,
        "address,reason,channel,campaign\n"
        "+15550100,,sms,\n"
        ",manual,,\n"
        "a@b,manual,,\n"
        "b@example.com,bored,,\n"
        "c@example.com,manual,fax,\n"
        "d@example.com,manual,,Nothing\n",
    )
    report = import_suppressions(database, path, now=NOW)
    assert (report.rows, report.added) == (6, 1)
    assert report.first_rejected == (
        (3, "no_address"),
        (4, "invalid_address"),
        (5, "invalid_reason"),
        (6, "invalid_channel"),
        (7, "unknown_campaign"),
    )


def test_a_file_without_addresses_is_refused(database, tmp_path):
    with pytest.raises(ImportFileError, match="has no column `address`"):
        import_suppressions(database, listed(tmp_path, "name\nAnn\n"), now=NOW)

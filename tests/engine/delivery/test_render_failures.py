"""A value that a template cannot use stops the message of its contact only."""

from __future__ import annotations

import logging
from typing import Any

from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig, SmsAction
from tests.engine.events.incoming import rows
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import add_tag, end, graph, node, trigger


def mail(subject: str, body: str = "Hello") -> CampaignGraph:
    config = EmailConfig(subject=subject, body=body)
    return graph(
        trigger("m"),
        node("m", "email", config, default="after"),
        add_tag("after", "passed", default="end"),
        end(),
    )


def run(database: Database, flow: CampaignGraph, fields: list[dict[str, Any]]) -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        ids = contacts(connection, campaign.workspace_id, len(fields))
        for contact_id, custom in zip(ids, fields, strict=True):
            connection.execute(
                "UPDATE contacts SET custom_fields = %s, phone = '+4915112345678' WHERE id = %s",
                [Jsonb(custom), contact_id],
            )
        enrolled(connection, campaign, ids)
    run_until_idle(database)


def subjects(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT k.email, m.subject FROM contacts k "
        "LEFT JOIN recorded_messages m ON m.recipient = k.email ORDER BY k.email",
    )


def test_one_text_in_a_column_of_numbers_fails_nobodys_mail(database):
    flow = mail("{% if seats > 5 %}Your big team{% else %}Your team{% endif %}")
    run(database, flow, [{"seats": value} for value in ("n/a", "12", "3", 25)])
    assert [subject for _, subject in subjects(database)] == [
        "Your team",
        "Your big team",
        "Your team",
        "Your big team",
    ]


def test_a_message_with_an_empty_subject_is_skipped_with_its_reason(database):
    run(database, mail("{{ offer }}"), [{"offer": "Half price"}, {"offer": "  "}, {}])
    assert [subject for _, subject in subjects(database)] == ["Half price", None, None]
    assert rows(
        database,
        "SELECT status, error_code, count(*) FROM campaign_deliveries GROUP BY 1, 2 ORDER BY 1",
    ) == [("sent", None, 1), ("skipped", "empty_subject", 2)]
    # The run goes on, as after any other message that is skipped.
    assert rows(database, "SELECT count(*) FROM contacts WHERE tags = '{passed}'") == [(3,)]


def test_a_text_message_without_a_text_is_skipped(database):
    sms = node("m", "action", SmsAction(body="{{ offer }}"), default="end")
    run(database, graph(trigger("m"), sms, end()), [{"offer": "Half price"}, {}])
    assert rows(database, "SELECT status, error_code FROM campaign_deliveries ORDER BY status") == [
        ("sent", None),
        ("skipped", "empty_text"),
    ]


def test_a_message_beyond_its_budget_fails_alone(database):
    flow = mail("Hello", "{{ x | replace: 'a', 'aaaaaaaaaa' | replace: 'a', 'aaaaaaaaaa' }}")
    run(database, flow, [{"x": "a" * 20_000}, {"x": "a"}])
    assert rows(database, "SELECT status, error_code FROM campaign_deliveries ORDER BY status") == [
        ("failed", "template_budget"),
        ("sent", None),
    ]


def test_a_date_that_cannot_be_read_is_logged_once_without_its_value(database, caplog):
    with caplog.at_level(logging.WARNING):
        run(database, mail("{{ renewal | date: '%Y' }}"), [{"renewal": "soon"}] * 3)
    assert {subject for _, subject in subjects(database)} == {"soon"}
    warnings = [r.getMessage() for r in caplog.records if "ISO date" in r.getMessage()]
    assert len(warnings) == 1
    assert "soon" not in warnings[0]


def test_now_is_the_time_of_the_tick(database):
    run(database, mail("{{ 'now' | date: '%d.%m.%Y' }}"), [{}])
    assert subjects(database)[0][1] == NOW.strftime("%d.%m.%Y")

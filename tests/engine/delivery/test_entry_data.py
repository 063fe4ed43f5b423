"""`personalization_data` of an enrollment is `entry` in the texts of its messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import EmailConfig, NodeConfig, SmsAction, WebhookAction
from tests.engine.delivery.sending import one_step
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    contacts,
    run_until_idle,
)

ORDER = {"order_id": "A-7", "total": 12.5, "items": [{"name": "tea"}], "gift": True}


def insert(database: Database, campaign: Published, people: list[Any], *data: object) -> None:
    """Enroll people as an application does, each with its own `personalization_data` as SQL."""
    with database.transaction() as connection:
        for contact_id, given in zip(people, data, strict=True):
            connection.execute(
                "INSERT INTO campaign_enrollments (campaign_id, contact_id, started_at,"
                " personalization_data) VALUES (%s, %s, %s, %s::jsonb)",
                [campaign.campaign_id, contact_id, NOW, given],
            )


def bodies_of(database: Database, config: NodeConfig, *data: object, **fields: object) -> list[str]:
    """Return what each enrollment is sent, in the order of `data`; `fields` are custom fields."""
    kind = "email" if isinstance(config, EmailConfig) else "action"
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, one_step(config, node_type=kind))
        people = contacts(connection, campaign.workspace_id, len(data))
        connection.execute(
            "UPDATE contacts SET phone = '+15550100001', custom_fields = %s::jsonb",
            [json.dumps(fields)],
        )
    insert(database, campaign, people, *data)
    run_until_idle(database)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT e.contact_id, coalesce(m.body_html, m.body, m.payload #>> '{payload,order}')"
            " FROM recorded_messages m JOIN campaign_enrollments e ON e.id = m.enrollment_id"
        ).fetchall()
    sent = dict(rows)
    return [sent[contact_id] for contact_id in people]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (EmailConfig(subject="Hi", body="No. {{ entry.order_id }}"), "No. A-7"),
        (
            EmailConfig(subject="Hi", body="{{ entry.total | plus: 1 }} {{ entry.items[0].name }}"),
            "13.5 tea",
        ),
        (EmailConfig(subject="Hi", body="{% if entry.gift %}Gift{% endif %}"), "Gift"),
        (SmsAction(body="No. {{ entry.order_id }}"), "No. A-7"),
        (
            WebhookAction(url="https://example.com/", payload={"order": "{{ entry.order_id }}"}),
            "A-7",
        ),
    ],
)
def test_texts_read_the_data_of_their_enrollment(
    database: Database, config: NodeConfig, expected: str
) -> None:
    assert bodies_of(database, config, json.dumps(ORDER)) == [expected]


@pytest.mark.parametrize("nothing", [None, "{}", "[]", '"text"', "7", "null", '{"other": 1}'])
def test_an_enrollment_without_data_renders_empty_beside_one_with_data(
    database: Database, nothing: str | None
) -> None:
    mail = EmailConfig(subject="Hi", body="No. {{ entry.order_id }}!")
    assert bodies_of(database, mail, nothing, json.dumps(ORDER)) == ["No. !", "No. A-7!"]


def test_data_overrides_neither_contact_nor_engine_variables(database: Database) -> None:
    mail = EmailConfig(
        subject="Hi", body="{{ campaign_name }} {{ plan }} {{ unsubscribe_url | slice: 0, 8 }}"
    )
    hostile = {"campaign_name": "x", "plan": "x", "unsubscribe_url": "https://evil.example/"}
    with_entry = EmailConfig(subject="Hi", body=f"{mail.body} {{{{ entry.plan }}}}")
    (body,) = bodies_of(database, with_entry, json.dumps(hostile), plan="pro")
    assert body == "Welcome pro https:// x"


def test_a_custom_field_of_that_name_is_read_where_the_enrollment_has_no_data(
    database: Database,
) -> None:
    mail = EmailConfig(subject="Hi", body="{{ entry }}{{ entry.order_id }}")
    sent = bodies_of(database, mail, "{}", '{"order_id": 7}', entry="north gate")
    assert sent[0] == "north gate"
    assert sent[1].endswith("7")


def test_html_is_escaped(database: Database) -> None:
    mail = EmailConfig(subject="Hi", body="-", body_html="<p>{{ entry.note }}</p>")
    (html,) = bodies_of(database, mail, json.dumps({"note": "<b>&"}))
    assert "&lt;b&gt;&amp;" in html


def test_data_that_cannot_be_read_stops_its_own_message_only(database: Database) -> None:
    deep = '{"order_id": ' + "[" * 2000 + "]" * 2000 + "}"
    mail = EmailConfig(subject="Hi", body="No. {{ entry.order_id }}")
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, one_step(mail, node_type="email"))
        people = contacts(connection, campaign.workspace_id, 2)
    insert(database, campaign, people, deep, json.dumps(ORDER))
    run_until_idle(database)
    with database.transaction() as connection:
        sent = connection.execute("SELECT body FROM recorded_messages").fetchall()
        ((code, error),) = connection.execute(
            "SELECT error_code, last_error FROM campaign_deliveries WHERE status = 'failed'"
        ).fetchall()
    assert sent == [("No. A-7",)]
    assert code == "contact_unreadable"
    assert "personalization_data cannot be read" in error

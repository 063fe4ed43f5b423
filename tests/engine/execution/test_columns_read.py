"""A lease returns only the contact columns that the messages read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import LeasedDelivery, LeasedRows
from drip_pipeline.db.execution.batch_context import ATTRIBUTE_COLUMNS
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig, WebhookAction
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.delivery.render import columns_read
from drip_pipeline.errors import TemplateError
from tests.engine.factories import a_published_campaign, contacts, enrolled, run_until_idle
from tests.engine.graphs import end, graph, node, trigger

ADDRESS = {"name", "email", "phone"}


def letter(body: str, **more: Any) -> CampaignGraph:
    """A campaign of one email."""
    config = EmailConfig(subject="Hello", body=body, **more)
    return graph(trigger("letter"), node("letter", "email", config, default="end"), end())


def version(campaign: CampaignGraph) -> PublishedVersion:
    """A published version of a campaign."""
    return PublishedVersion(UUID(int=1), 1, "Welcome", UUID(int=2), campaign)


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ("Hello", set()),
        ("{{ campaign_name }} {{ unsubscribe_url }} {{ now }}", set()),
        ("{{ company_name }}", {"company"}),
        ("{{ first_name }}", {"custom_fields"}),
        ("{{ plan }}{{ lead_score }}", {"custom_fields", "ai_score"}),
        ("{% if custom_fields.a %}{{ updated_at }}{% endif %}", {"custom_fields", "updated_at"}),
        ("{{ id }}", {"id"}),
        ("{{ entry.order_id }}", {"custom_fields", "personalization_data"}),
    ],
)  # fmt: skip
def test_an_email_reads_the_columns_it_names(body: str, columns: set[str]) -> None:
    assert columns_read(version(letter(body)), "letter") == ADDRESS | columns


def test_an_email_without_personalization_reads_only_the_address() -> None:
    verbatim = letter("{{ company }}", personalization_enabled=False)
    assert columns_read(version(verbatim), "letter") == ADDRESS


def test_the_leaves_of_a_payload_may_read_anything() -> None:
    hook = WebhookAction(type="webhook", url="https://example.com/hook")
    campaign = graph(trigger("hook"), node("hook", "action", hook, default="end"), end())
    assert columns_read(version(campaign), "hook") == {*ATTRIBUTE_COLUMNS}


@pytest.mark.parametrize(
    ("payload", "columns"),
    [
        ({"n": ["{{ entry.order_id }}"]}, {"personalization_data"}),
        ({"n": "{{ event.amount }} {{ vars.x }}"}, {"workflow_variables"}),
        (
            [{"a": {"b": "{% if vars.x %}1{% endif %}{{ entry }}"}}],
            {"personalization_data", "workflow_variables"},
        ),
    ],
)
def test_a_payload_reads_the_variables_of_the_run_that_it_names(
    payload: Any, columns: set[str]
) -> None:
    hook = WebhookAction(url="https://example.com/hook", payload=payload)
    campaign = graph(trigger("hook"), node("hook", "action", hook, default="end"), end())
    assert columns_read(version(campaign), "hook") == {*ATTRIBUTE_COLUMNS} | columns


def test_a_missing_node_is_named() -> None:
    with pytest.raises(TemplateError, match="no node 'gone'"):
        columns_read(version(letter("Hello")), "gone")


def test_a_lease_returns_the_columns_that_the_messages_read(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, letter("{{ company }}"))
        people = contacts(connection, campaign.workspace_id, 2)
        connection.execute("UPDATE contacts SET company = 'Acme', job_title = 'Baker'")
        enrolled(connection, campaign, people)
    leased: list[LeasedDelivery] = []
    lease = deliveries_db.lease

    def watched(*given: Any, **named: Any) -> LeasedRows:
        rows = lease(*given, **named)
        leased.extend(rows.rows)
        return rows

    monkeypatch.setattr(deliveries_db, "lease", watched)
    report = run_until_idle(database)
    assert report.delivered["email"].sent == 2
    assert [(row.company, row.job_title, row.tags) for row in leased] == [("Acme", None, None)] * 2
    with database.transaction() as connection:
        assert connection.execute("SELECT DISTINCT body FROM recorded_messages").fetchall() == [
            ("Acme",)
        ]

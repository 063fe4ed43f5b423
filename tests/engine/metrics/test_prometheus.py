"""Prometheus metrics: equal to what is due, what was done and what is blocked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.metrics.prometheus import WINDOW, prometheus_text, read_metrics
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, trigger

FLOW = graph(trigger("first"), email("first", default="end"), end())


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_backlog_rates_and_levels_are_what_the_engine_did(database):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW)
        people = contacts(connection, campaign.workspace_id, 30)
        enrolled(connection, campaign, people)
    later = NOW + timedelta(minutes=7)
    before = samples(prometheus_text(read_metrics(database, now=later)))
    assert before["drip_backlog", "people"] == 30
    assert before["drip_oldest_due_seconds", "people"] == 7 * 60
    assert before["drip_backlog", "messages"] == 0
    advance_batch(database, now=NOW, batch_size=1_000)
    # The ledger's times are the real ones, whatever the engine's clock says.
    ended = datetime.now(UTC) + timedelta(seconds=1)
    halfway = samples(prometheus_text(read_metrics(database, now=ended)))
    assert halfway["drip_states_claimed_per_second",] == 30 / WINDOW.total_seconds()
    assert halfway["drip_states_committed_per_second",] == 30 / WINDOW.total_seconds()
    assert halfway["drip_backlog", "messages"] == 30
    assert halfway["drip_batches", "advance", "committed"] == 1
    run_until_idle(database)
    ended = datetime.now(UTC) + timedelta(seconds=1)
    after = samples(prometheus_text(read_metrics(database, now=ended)))
    assert after["drip_backlog", "people"] == after["drip_backlog", "messages"] == 0
    assert after["drip_messages_per_second", "sent"] == 30 / WINDOW.total_seconds()
    quiet = samples(prometheus_text(read_metrics(database, now=ended + 2 * WINDOW)))
    assert quiet["drip_states_committed_per_second",] == 0


def test_blocked_transports_and_stale_days_are_counted(database):
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO channel_flow (transport, channel, refilled_at, updated_at, open_until) "
            "VALUES ('email', 'email', %s, %s, %s)",
            [NOW] * 3,
        )
        connection.execute(
            "INSERT INTO stale_metric_days (workspace_id, metric_date) "
            "VALUES (gen_random_uuid(), '2026-03-01'), (gen_random_uuid(), '2026-03-01')"
        )
    found = samples(prometheus_text(read_metrics(database, now=NOW)))
    assert found["drip_transport_blocked", "open", "email"] == 1
    assert found["drip_stale_metric_days",] == 1
    assert found["drip_messages", "unknown"] == 0

"""A campaign in two versions, with states at all nodes of the first version.

Messages are pending, being sent, of unknown outcome or rejected. States wait for a time or an
event, are inside variants, paused or failed. Version 2 removes a node, shortens a wait, waits for
another event and adds a branch.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.enrollment.audience import Tagged
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.publishing.publish import PublishReport, publish
from drip_pipeline.engine.publishing.publish_options import PIN, InFlightPolicy, PublishOptions
from drip_pipeline.settings import Settings
from tests.engine.factories import NOW, a_workspace, contacts, run_until_idle

NAME: Final = "Onboarding"
MAP: Final = {"extra": "ask"}
DAY: Final = timedelta(days=1)
# Days before NOW at which each cohort enrolled, which determines its node.
COHORTS: Final = {
    "tail": 5.5,
    "letters": 5,
    "asked": 4,
    "extra": 3,
    "rest_long": 2,
    "rest_short": 0.5,
    "hello": 0,
    "start": 0,
}


def _mail(node_id: str, subject: str | None = None) -> dict[str, Any]:
    text = {"subject": subject or f"About {node_id}", "body": f"Dear reader of {node_id}"}
    return {
        "node_id": node_id,
        "node_type": "email",
        "step_name": f"Letter {node_id}",
        "channel_config": {"email": text},
    }


def _wait(node_id: str, **config: Any) -> dict[str, Any]:
    return {
        "node_id": node_id,
        "node_type": "wait",
        "step_name": f"Wait {node_id}",
        "wait_config": config,
    }


def _file(steps: list[dict[str, Any]], edges: list[tuple[str, ...]]) -> dict[str, Any]:
    nodes = [
        {
            "id": step["node_id"],
            "type": step["node_type"],
            "position": {"x": 100 * number, "y": 0},
            "data": {"label": step["step_name"]},
        }
        for number, step in enumerate(steps)
    ]
    drawn = [
        {"id": f"e{number}", "source": edge[0], "target": edge[1]}
        | ({"sourceHandle": edge[2]} if len(edge) > 2 else {})
        for number, edge in enumerate(edges)
    ]
    return {
        "name": NAME,
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": nodes,
            "edges": drawn,
            "viewport": {"x": 1, "y": 2, "zoom": 1.5},
        },
        "steps": steps,
    }


_START: Final = {"node_id": "start", "node_type": "trigger", "step_name": "In"}
_END: Final = {"node_id": "end", "node_type": "exit", "step_name": "Out"}
_SPLIT: Final = {
    "node_id": "split",
    "node_type": "split",
    "step_name": "Which letter",
    "variants": [{"id": "a", "percentage": 50}, {"id": "b", "percentage": 50}],
}


def version_1() -> dict[str, Any]:
    """start → hello → rest (3 days) → extra → ask (an open, 2 days) → thanks, or a split: letter_a,
    or letter_b and a tail of a day."""
    steps = [
        _START,
        _mail("hello"),
        _wait("rest", type="duration", value=3, unit="days"),
        _mail("extra"),
        _wait("ask", type="until_event", event_type="email_opened", max_wait=_duration(2, "days")),
        _mail("thanks"),
        _SPLIT,
        _mail("letter_a"),
        _mail("letter_b"),
        _wait("tail", type="duration", value=1, unit="days"),
        _END,
    ]
    edges = [
        ("start", "hello"), ("hello", "rest"), ("rest", "extra"), ("extra", "ask"),
        ("ask", "thanks", "event"), ("ask", "split", "timeout"), ("thanks", "end"),
        ("split", "letter_a", "a"), ("split", "letter_b", "b"), ("letter_a", "end"),
        ("letter_b", "tail"), ("tail", "end"),
    ]  # fmt: skip
    return _file(steps, edges)


def version_2() -> dict[str, Any]:
    """Version 1 without `extra`, with a rest of one day, a wait for a purchase, another text of
    letter_b, and a branch for a high score."""
    steps = [
        _START,
        _mail("hello"),
        _wait("rest", type="duration", value=1, unit="days"),
        _wait("ask", type="until_event", event_type="purchase", max_wait=_duration(2, "days")),
        _mail("thanks"),
        {
            "node_id": "vip",
            "node_type": "condition",
            "step_name": "Scores high?",
            "conditional_branches": [
                {
                    "id": "high",
                    "target_node_id": "offer",
                    "condition": {"type": "score", "operator": ">=", "value": 60},
                },
                {"id": "else", "target_node_id": "split"},
            ],
        },
        _mail("offer"),
        _SPLIT,
        _mail("letter_a"),
        _mail("letter_b", "A better letter"),
        _wait("tail", type="duration", value=1, unit="days"),
        _END,
    ]
    edges = [
        ("start", "hello"), ("hello", "rest"), ("rest", "ask"),
        ("ask", "thanks", "event"), ("ask", "vip", "timeout"), ("thanks", "end"),
        ("vip", "offer", "high"), ("vip", "split", "else"), ("offer", "end"),
        ("split", "letter_a", "a"), ("split", "letter_b", "b"), ("letter_a", "end"),
        ("letter_b", "tail"), ("tail", "end"),
    ]  # fmt: skip
    return _file(steps, edges)


def _duration(value: int, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit}


def published(
    database: Database,
    file: dict[str, Any],
    *,
    in_flight: InFlightPolicy = PIN,
    dry_run: bool = False,
    now: datetime = NOW,
) -> PublishReport:
    """Publish a file."""
    return publish(
        database,
        file,
        PublishOptions(now=now, settings=Settings(), in_flight=in_flight, dry_run=dry_run),
    )


def a_campaign_in_flight(database: Database, count: int) -> UUID:
    """Publish version 1 and enroll about `count` contacts, equally in all cohorts; return its id.

    Some messages of `hello` and `extra` are being sent, of unknown outcome or rejected; some states
    are paused, failed or due for a retry; some contacts at `ask` have bought meanwhile.
    """
    size = count // len(COHORTS)
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        for name in COHORTS:
            ids = contacts(connection, workspace, size, prefix=f"{name}-")
            connection.execute(
                "UPDATE contacts k SET tags = ARRAY[%s], ai_score = u.n %% 100 "
                "FROM unnest(%s::uuid[]) WITH ORDINALITY AS u (id, n) WHERE k.id = u.id",
                [name, ids],
            )
    campaign = published(database, version_1(), now=NOW - 7 * DAY).campaign_id
    assert campaign is not None
    times = {NOW - days * DAY for days in COHORTS.values()}
    times |= {NOW - days * DAY for days in (2.5, 2, 1, 0.5)}
    for at in sorted(times - {NOW}):
        for name, days in COHORTS.items():
            if NOW - days * DAY == at:
                _enroll(database, name, at)
        run_until_idle(database, at)
    _enroll(database, "hello", NOW)
    while advance_batch(database, now=NOW, batch_size=5_000).claimed:
        pass
    _enroll(database, "start", NOW)
    _diversify(database)
    return campaign


def _enroll(database: Database, tag: str, at: datetime) -> None:
    enroll(database, NAME, Tagged(tag), now=at)


def _diversify(database: Database) -> None:
    """Change states by their number: of ten messages one is being sent, one of unknown outcome and
    one rejected; of ten waiting states one is paused and one has failed."""
    with database.transaction() as connection:
        connection.execute(
            """
            CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS
            SELECT s.id, s.contact_id, s.current_node_id AS node_id,
                   s.pending_delivery_id AS delivery_id,
                   row_number() OVER (PARTITION BY s.current_node_id ORDER BY s.id) % 10 AS n
            FROM campaign_workflow_states s WHERE s.workflow_status IN ('running', 'waiting')
            """
        )
        connection.execute(
            "UPDATE campaign_deliveries d SET status = 'sending', due_at = NULL, attempts = 1,"
            " leased_until = %s, lease_token = gen_random_uuid() FROM numbered x"
            " WHERE x.delivery_id = d.id AND x.n = 1",
            [NOW + timedelta(minutes=5)],
        )
        connection.execute(
            "UPDATE campaign_deliveries d SET status = 'unknown', due_at = NULL, attempts = 1,"
            " leased_until = %s FROM numbered x WHERE x.delivery_id = d.id AND x.n = 2",
            [NOW + timedelta(minutes=15)],
        )
        connection.execute(
            "UPDATE campaign_deliveries d SET status = 'failed', due_at = NULL, attempts = 3,"
            " settled_at = %s FROM numbered x WHERE x.delivery_id = d.id AND x.n = 3",
            [NOW],
        )
        connection.execute(
            "UPDATE campaign_workflow_states s SET workflow_status = 'failed', completed_at = %s,"
            " last_error = 'refused', next_execution_at = NULL,"
            " wait_until = NULL, wait_for_event = NULL"
            " FROM numbered x WHERE x.id = s.id AND x.n = 3",
            [NOW],
        )
        connection.execute(
            "UPDATE campaign_enrollments e SET status = 'paused' FROM numbered x"
            " WHERE x.id = e.id AND x.n = 4"
        )
        connection.execute(
            "UPDATE campaign_workflow_states s SET workflow_status = 'paused' FROM numbered x"
            " WHERE x.id = s.id AND x.n = 4 AND x.delivery_id IS NULL"
        )
        connection.execute(
            "UPDATE campaign_workflow_states s SET retry_count = 1, next_execution_at = %s"
            " FROM numbered x WHERE x.id = s.id AND x.n = 5 AND s.workflow_status = 'running'",
            [NOW + timedelta(hours=1)],
        )
        # After their last message, which was sent a day ago.
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at,"
            " recorded_at) SELECT k.workspace_id, k.id, 'purchase', %s, %s"
            " FROM numbered x JOIN contacts k ON k.id = x.contact_id"
            " WHERE x.node_id = 'ask' AND x.n IN (6, 7)",
            [NOW - 0.25 * DAY, NOW - 0.25 * DAY],
        )

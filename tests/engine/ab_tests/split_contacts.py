"""Split tests with people in them, written straight into the tables: many people in little time,
with any figures. Nothing here asserts anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.ab_tests.judge import EvaluationReport
from drip_pipeline.engine.ab_tests.results import campaign_results
from drip_pipeline.engine.ab_tests.results_json import as_json
from tests.engine.factories import NOW, Published, a_published_campaign, the_workspace
from tests.engine.graphs import email, end, graph, split, trigger

LATER = NOW + timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SplitTest:
    """A running test of the split `s` of a campaign."""

    test_id: UUID
    campaign: Published
    started_at: datetime


def a_split_test(
    connection: Connection,
    weights: dict[str, float] | None = None,
    *,
    name: str = "Welcome",
    now: datetime = NOW,
    **config: Any,
) -> SplitTest:
    """A campaign with a split into mails (`holdout` gets none) and its running test; `config` are
    keys of ab_test_config.
    """
    shares = weights or {"a": 50, "b": 50}
    mailed = [variant for variant in shares if variant != "holdout"]
    made = graph(
        trigger("s"),
        split("s", shares, **{variant: f"mail_{variant}" for variant in mailed}),
        *(email(f"mail_{variant}", default="end") for variant in mailed),
        end(),
        variant_of_node={f"mail_{variant}": ("s", variant) for variant in mailed},
    )
    campaign = a_published_campaign(connection, made, name=name, now=now)
    variants: list[dict[str, Any]] = [
        {
            "id": variant,
            "name": f"Variant {variant}",
            "percentage": share,
            "holdout": variant == "holdout",
            "values": [],
            "first_step_id": step_of(campaign, f"mail_{variant}"),
        }
        for variant, share in shares.items()
    ]
    told = {"winner_metric": "open_rate", "auto_select_winner": True} | config
    row = connection.execute(
        "INSERT INTO campaign_ab_tests (workspace_id, campaign_id, split_node_id, test_number, "
        "config, config_hash, campaign_versions, started_at) "
        "VALUES (%s, %s, 's', 1, %s, 'x', ARRAY[1], %s) RETURNING id",
        [campaign.workspace_id, campaign.campaign_id, told | {"variants": variants}, now],
    ).fetchone()
    assert row is not None
    return SplitTest(row[0], campaign, now)


def step_of(campaign: Published, node_id: str) -> str | None:
    """Return the id of a node's step."""
    node = campaign.graph.nodes.get(node_id)
    return None if node is None else node.step_id


def people(
    connection: Connection,
    test: SplitTest,
    variant: str,
    assigned: int,
    *,
    sent: int | None = None,
    at: datetime | None = None,
    reacts_after: timedelta = timedelta(minutes=5),
    is_randomized: bool = True,
    **reacted: int,
) -> None:
    """Insert contacts of a variant. `sent`: how many got the mail (all; of a holdout none). How
    many of them did what, the first ones of each: `delivered`, `opened`, `clicked`, `replied`,
    `converted`, `unsubscribed`, `bounced`, `complained`, `machine_opened`, `machine_clicked`.
    """
    is_holdout = variant == "holdout"
    reached = (0 if is_holdout else assigned) if sent is None else sent
    when = at or test.started_at
    campaign = test.campaign
    # Foreign keys and the enrollment's trigger cost a minute for 64,000 people.
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute(
        "CREATE TEMPORARY TABLE crowd ON COMMIT DROP AS "
        "SELECT gen_random_uuid() AS enrollment_id, gen_random_uuid() AS contact_id, n "
        "FROM generate_series(1, %s) AS n",
        [assigned],
    )
    connection.execute(
        "INSERT INTO contacts (id, workspace_id, email, name) SELECT c.contact_id, %s, "
        "c.contact_id || '@example.com', 'Person' FROM crowd c",
        [the_workspace(connection)],
    )
    connection.execute(
        "INSERT INTO campaign_enrollments (id, campaign_id, contact_id, contact_email, "
        "workspace_id, started_at) "
        "SELECT c.enrollment_id, %s, c.contact_id, c.contact_id || '@example.com', %s, %s "
        "FROM crowd c",
        [campaign.campaign_id, campaign.workspace_id, when],
    )
    connection.execute("SET LOCAL session_replication_role = origin")
    happened = when + reacts_after
    connection.execute(
        "INSERT INTO campaign_split_assignments (enrollment_id, split_node_id, workspace_id, "
        "campaign_id, campaign_version, ab_test_id, contact_id, variant_group, is_holdout, "
        "is_randomized, assigned_at, first_converted_at) "
        "SELECT c.enrollment_id, 's', %s, %s, 1, %s, c.contact_id, %s, %s, %s, %s, "
        "CASE WHEN c.n <= %s THEN %s::timestamptz END FROM crowd c",
        [
            campaign.workspace_id, campaign.campaign_id, test.test_id, variant, is_holdout,
            is_randomized, when, reacted.pop("converted", 0), happened,
        ],
    )  # fmt: skip
    columns = {
        "opened": "first_opened_at",
        "machine_opened": "first_machine_opened_at",
        "clicked": "first_clicked_at",
        "machine_clicked": "first_machine_clicked_at",
        "replied": "first_replied_at",
        "delivered": "delivered_at",
        "unsubscribed": "unsubscribed_at",
        "bounced": "bounced_at",
        "complained": "complained_at",
    }
    names = [columns[what] for what in reacted]
    connection.execute(
        "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
        "campaign_version, enrollment_id, contact_id, node_id, channel, split_node_id, "
        f"variant_group, sent_at {''.join(f', {name}' for name in names)}) "
        "SELECT gen_random_uuid(), %s, %s, 1, c.enrollment_id, c.contact_id, %s, 'email', 's', %s, "
        f"%s {', CASE WHEN c.n <= %s THEN %s::timestamptz END' * len(names)} "
        "FROM crowd c WHERE c.n <= %s",
        [
            campaign.workspace_id, campaign.campaign_id, f"mail_{variant}", variant, when,
            *(value for count in reacted.values() for value in (count, happened)),
            reached,
        ],
    )  # fmt: skip
    connection.execute("DROP TABLE crowd")


def results_by_variant(connection: Connection, test: SplitTest) -> dict[str, dict[str, Any]]:
    """Return the rows of the results table."""
    found = connection.execute(
        "SELECT to_jsonb(r) FROM campaign_ab_test_results r WHERE r.ab_test_id = %s",
        [test.test_id],
    ).fetchall()
    return {row[0]["variant_group"]: row[0] for row in found}


def results_now(database: Database, test: SplitTest, now: datetime = LATER) -> dict[str, Any]:
    """Return the output of `drip ab results --json`."""
    return as_json(campaign_results(database, test.campaign.campaign_id, now=now))


def only(report: EvaluationReport) -> Any:
    """Return the only evaluated test."""
    (judged,) = report.evaluated
    return judged

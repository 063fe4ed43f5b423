"""Engines are killed while they work: no state is lost, no message is recorded twice."""

from __future__ import annotations

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.nodes import VariableAction
from tests.chaos.killed_process import kill_repeatedly
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import add_tag, email, end, graph, node, split, trigger, wait_hours

PEOPLE = 4_000
KILLS = 5
_ENGINE = """
import sys
from datetime import datetime
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.runner.tick import Engine, tick
from tests.engine.factories import MESSAGES

database = Database(sys.argv[1])
engine = Engine(database, {"email": RecorderChannel("email")}, MESSAGES, batch_size=100)
print("ready", flush=True)
tick(engine, now=datetime.fromisoformat(sys.argv[2]), until_idle=True)
print("done", flush=True)
"""


def count(node_id: str, to: str) -> GraphNode:
    """Return an action that counts in a variable of the run."""
    return node(node_id, "action", VariableAction(set={"n": "{{ vars.n | plus: 1 }}"}), default=to)


def test_an_engine_killed_five_times_loses_and_repeats_no_state(database: Database) -> None:
    g = graph(
        trigger("v1"),
        count("v1", "s"),
        split("s", {"a": 50, "b": 50}, a="first", b="t"),
        add_tag("t", "b", default="first"),
        email("first", default="w"),
        wait_hours("w", 0, default="v2"),
        count("v2", "second"),
        email("second", default="end"),
        end(),
    )
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, g)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, PEOPLE))
    interrupted = kill_repeatedly(
        _ENGINE,
        [database.url, NOW.isoformat()],
        kills=KILLS,
        within=(0.05, 0.35),
        seed=20260302,
    )
    assert interrupted >= 3, "the engine must be killed while it works for this to show anything"

    run_until_idle(database)
    with database.transaction() as connection:
        population = states_db.population(connection)
        recorded = connection.execute(
            "SELECT count(*), count(DISTINCT delivery_id) FROM recorded_messages"
        ).fetchone()
        per_node = connection.execute(
            "SELECT node_id, count(*), count(DISTINCT enrollment_id) FROM recorded_messages"
            " GROUP BY 1 ORDER BY 1"
        ).fetchall()
        events = dict(
            connection.execute(
                "SELECT event_type, count(*) FROM campaign_events GROUP BY 1"
            ).fetchall()
        )
        variables = connection.execute(
            "SELECT workflow_variables, count(*) FROM campaign_workflow_states GROUP BY 1"
        ).fetchall()
    assert variables == [({"vars": {"n": 2}}, PEOPLE)]
    assert [(row.entered, row.completed) for row in population] == [(PEOPLE, PEOPLE)]
    assert recorded == (2 * PEOPLE, 2 * PEOPLE)
    assert per_node == [("first", PEOPLE, PEOPLE), ("second", PEOPLE, PEOPLE)]
    assert events["email_sent"] == 2 * PEOPLE
    assert events["variant_assigned"] == PEOPLE
    assert events["enrollment_completed"] == PEOPLE

"""Properties of a run's variables: interrupted batches and a migration to another version neither
lose nor repeat what actions set.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.nodes import EmailConfig, VariableAction
from drip_pipeline.engine.execution import run_variables
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from tests.conftest import own_database
from tests.engine.enrollment.arrivals import publish_again
from tests.engine.factories import NOW, a_published_campaign, contacts, rows_of, run_until_idle
from tests.engine.graphs import end, graph, node, trigger, wait_hours

PEOPLE = 3
KINDS = ("set", "set", "wait", "mail")


@pytest.fixture(scope="module")
def empty(server_url: str, template: str) -> Iterator[Database]:
    """A database that is reused by all examples; each has a campaign of its own."""
    with own_database(server_url, template) as database:
        yield database


class Interrupted(BaseException):
    """The process ends here: unlike an error, it is not isolated to one state."""


def flow(kinds: list[str]) -> CampaignGraph:
    """Return a sequence of actions that count and remember, waits of an hour, and mails."""
    nodes: list[GraphNode] = []
    for number, kind in enumerate(kinds):
        here, after = f"n{number}", f"n{number + 1}" if number + 1 < len(kinds) else "end"
        if kind == "wait":
            nodes.append(wait_hours(here, 1, default=after))
        elif kind == "mail":
            mail = EmailConfig(subject="{{ vars.n }}/{{ entry.order }}", body=here)
            nodes.append(node(here, "email", mail, default=after))
        else:
            count: Any = {"n": "{{ vars.n | plus: 1 }}", "path": f"{{{{ vars.path }}}}{here} "}
            nodes.append(node(here, "action", VariableAction(set=count), default=after))
    return graph(trigger("n0"), *nodes, end())


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[str], int, list[bool]]:
    """Generate the nodes, the hour of the migration, and which writes are interrupted."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=7))
    return kinds, draw(st.integers(0, 4)), draw(st.lists(st.booleans(), max_size=6))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example((["wait"], 0, [True, True]))
@given(histories())
def test_variables_are_set_once_whatever_interrupts_the_run(
    empty: Database, history: tuple[list[str], int, list[bool]]
) -> None:
    kinds, migration_hour, interruptions = history
    name = str(uuid4())
    with empty.transaction() as connection:
        campaign = a_published_campaign(connection, flow(kinds), name=name)
        people = contacts(connection, campaign.workspace_id, PEOPLE, prefix=name)
        for number, contact_id in enumerate(people):
            connection.execute(
                "INSERT INTO campaign_enrollments (campaign_id, contact_id, started_at,"
                " personalization_data) VALUES (%s, %s, %s, %s)",
                [campaign.campaign_id, contact_id, NOW, Jsonb({"order": f"o{number}"})],
            )
    left = list(interruptions)
    write = run_variables.write

    def interrupted_write(*arguments: Any) -> None:
        write(*arguments)
        if left and left.pop():
            raise Interrupted

    with patch.object(run_variables, "write", interrupted_write):
        for hour in range(len(kinds) + 1):
            if hour == migration_hour:
                publish_again(empty, campaign, flow([*kinds, "set"]))
                migrate_states(empty, campaign.campaign_id, now=NOW + timedelta(hours=hour))
            while True:
                try:
                    run_until_idle(empty, NOW + timedelta(hours=hour))
                    break
                except Interrupted:
                    continue
    with empty.transaction() as connection:
        states = connection.execute(
            "SELECT s.campaign_version, s.workflow_status, s.workflow_variables,"
            " e.personalization_data ->> 'order'"
            " FROM campaign_workflow_states s JOIN campaign_enrollments e ON e.id = s.id"
            " WHERE s.campaign_id = %s ORDER BY 4",
            [campaign.campaign_id],
        ).fetchall()
        sent = connection.execute(
            "SELECT e.personalization_data ->> 'order', m.subject FROM recorded_messages m"
            " JOIN campaign_enrollments e ON e.id = m.enrollment_id WHERE e.campaign_id = %s",
            [campaign.campaign_id],
        ).fetchall()
        assert rows_of(connection, "campaign_data_faults") == []
    assert [order for *_, order in states] == ["o0", "o1", "o2"]
    for version, status, variables, order in states:
        kinds_run = kinds if version == 1 else [*kinds, "set"]
        passed = [f"n{n}" for n, kind in enumerate(kinds_run) if kind == "set"]
        assert status == "completed"
        expected = {"n": len(passed), "path": " ".join(passed)} if passed else None
        actual = variables.get("vars")
        assert (actual and {**actual, "path": actual["path"].strip()}) == expected
        counts = [
            f"{kinds[:n].count('set') or ''}/{order}"
            for n, kind in enumerate(kinds)
            if kind == "mail"
        ]
        assert sorted(subject for of, subject in sent if of == order) == sorted(counts)

"""The ids of a batch's events: one each, whatever groups the batch consists of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.engine.execution import commit
from tests.engine.factories import NOW, people_inside, run_until_idle
from tests.engine.graphs import add_tag, email, end, graph, score_at_least, trigger, wait_hours

# Low scores pass one node more than high ones; who waits leaves other events than who ends.
PARTING = graph(
    trigger("score"),
    score_at_least("score", 50, yes="pause", else_="tag"),
    add_tag("tag", "low", default="hello"),
    email("hello", default="pause"),
    wait_hours("pause", 1, default="end"),
    end(),
)


def test_groups_of_one_batch_share_the_ids_without_gap_or_overlap(
    database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, set[int]]] = []
    places = commit._event_positions

    def watched(transitions):
        columns: Any = places(transitions)
        members = 0
        taken: list[int] = []
        for number, transition in enumerate(transitions):
            offset, count = (
                columns["event_offset"][number],
                columns["event_count"][number],
            )
            for _ in transition.states:
                members += 1
                taken += range(offset + members * count, offset + members * count + count)
        asked.append((columns["event_total"], set(taken)))
        assert len(taken) == len(set(taken))
        return columns

    monkeypatch.setattr(commit, "_event_positions", watched)
    people_inside(database, PARTING, 0)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contacts (workspace_id, name, email, ai_score) SELECT w.id, 'P' || i,"
            " 'p' || i || '@example.com', i * 10 FROM workspaces w, generate_series(0, 9) i"
        )
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, started_at)"
            " SELECT c.id, k.id, k.email, %s FROM drip_campaigns c, contacts k",
            [NOW],
        )
    run_until_idle(database)
    run_until_idle(database, NOW + timedelta(hours=1))
    assert any(total for total, _ in asked)
    for total, taken in asked:
        assert taken == set(range(1, total + 1))
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE event_type ="
            " 'enrollment_completed') FROM campaign_events"
        ).fetchone()
    assert row is not None
    assert row[0] == row[1]
    assert row[2] == 10

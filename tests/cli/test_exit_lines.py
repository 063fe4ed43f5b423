"""What `drip campaign show` says about the goal and the exit rules."""

from __future__ import annotations

import pytest

from drip_pipeline.cli.campaign.exit_lines import exit_lines
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.metrics.funnel import campaign_funnel
from tests.engine.events.goals import inside, purchase
from tests.engine.events.incoming import ingest
from tests.engine.factories import NOW, run_until_idle


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, []),
        ({"goal_event": {"event_type": "purchase"}}, ["Goal: purchase, ends runs"]),
        ({"goal_event": {"event_type": "purchase"}, "exit_on_goal": False},
         ["Goal: purchase, counts only"]),
        ({"exits": [
            {"id": "a", "when": {"event_type": "x", "within": {"value": 1}}, "reason": "is away"},
            {"id": "b", "when": {"type": "field", "field": "plan", "operator": "is empty"}},
            {"id": "c", "when": {"type": "composite", "sub_conditions": []}},
            {"id": "d", "when": 3},
        ]},
         ["Exit rule a (is away): event x with within", "Exit rule b: condition on field plan",
          "Exit rule c: condition on composite", "Exit rule d: unreadable"]),
    ],
)  # fmt: skip
def test_show_names_what_ends_a_run(settings: dict[str, object], lines: list[str]) -> None:
    assert exit_lines(settings) == lines


def test_the_funnel_counts_contacts_at_the_goal_as_ended(database: Database) -> None:
    inside(database, 3)
    run_until_idle(database)
    ingest(database, [purchase(1, 1, 60), purchase(2, 2, 61)])
    funnel = campaign_funnel(database, "Welcome", now=NOW)
    assert [funnel.total("now"), funnel.total("ended"), funnel.total("at_goal")] == [1, 2, 2]
    assert funnel.total("lost_total") == 0

"""What the engine in memory reads of events equals what the statements of the database return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import batch_context as batch_context_db
from drip_pipeline.domain.conditions.event_matcher import EventMatcher
from drip_pipeline.engine.execution.matched_events import load_occurrences, load_positions
from drip_pipeline.engine.in_memory.event_lookup import latest_events, occurrences, position
from tests.engine.factories import NOW
from tests.engine.in_memory.both_engines import BothEngines, some_people
from tests.engine.in_memory.test_both_engines import reactions

MAIL = "channel_config: {email: {subject: Hello, body: '{{ unsubscribe_url }}'}}"
CAMPAIGN = f"""
name: Looking back
steps:
  - {{node_id: one, node_type: email, step_name: One, {MAIL}}}
  - {{node_id: clicked, node_type: wait, step_name: Clicked, wait_config: {{type: until_event,
     event_type: email_clicked, machines: true, max_wait: {{value: 1, unit: days}}}}}}
  - {{node_id: two, node_type: email, step_name: Two, {MAIL}}}
  - {{node_id: opened, node_type: wait, step_name: Opened, wait_config: {{type: until_event,
     event_type: email_opened, of: run, max_wait: {{value: 5, unit: days}}}}}}
  - {{node_id: viewed, node_type: wait, step_name: Viewed, wait_config: {{type: until_event,
     event_type: page_view, of: any, max_wait: {{value: 60, unit: days}}}}}}
"""
TYPES = ("email_clicked", "email_opened", "page_view")
REACHES: Sequence[Mapping[str, Any]] = (
    {},
    {"of": "run"},
    {"of": "any"},
    {"machines": True},
    {"within": {"value": 1, "unit": "days"}},
    {"count": {"operator": ">=", "value": 2}},
    {"count": {"operator": "<=", "value": 1}},
)


def test_events_positions_and_matchers_are_the_same(database: Database) -> None:
    both = BothEngines.begin(database, CAMPAIGN, some_people(60, seed=21))
    own: Sequence[tuple[str, Mapping[str, Any]]] = (("page_view", {}), ("page_view", {"n": 1}))
    both.run(reactions(22, own), days=3)
    now = NOW + timedelta(days=3)
    runs = list(both.store.runs.values())
    states = both.store.due_states(runs)
    with database.transaction() as connection:
        ids, contact_ids = [s.id for s in states], [s.contact_id for s in states]
        latest: dict[Any, dict[str, Any]] = {}
        for run_id, event_type, at in batch_context_db.latest_events(
            connection, ids, contact_ids, list(TYPES)
        ):
            of_run = latest.setdefault(run_id, {})
            of_run[event_type] = max(at, of_run.get(event_type, at))
        since = dict(batch_context_db.look_back_from(connection, ids))
        positions = load_positions(connection, states, TYPES)
        events, unreadable = load_occurrences(connection, states, TYPES, ["page_view"])
    assert unreadable == {}
    tests = [
        EventMatcher.model_validate({"event_type": event_type, **keys}).test()
        for event_type in TYPES
        for keys in REACHES
    ]
    held = 0
    random = Random(23)
    for run in runs:
        assert dict(latest_events(run)) == latest.get(run.id, {})
        assert run.since == since[run.id]
        here, there = position(run), positions[run.id]
        assert here._replace(entry={}) == there._replace(entry={})
        at = now - timedelta(hours=random.randrange(60))
        for test in tests:
            ours = test.holds(occurrences(run).get(test.event_type, ()), here, at)
            theirs = test.holds(events.get(run.id, {}).get(test.event_type, ()), there, at)
            assert ours == theirs, (test, run.id)
            held += ours
    assert 50 < held < len(runs) * len(tests) - 50

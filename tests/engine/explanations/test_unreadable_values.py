"""A contact with values that Python cannot hold is explained, too: they may be why it failed."""

from __future__ import annotations

from rich.console import Console

from drip_pipeline.cli.person.explanation_text import explanation_text
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.explanations.show_person import show_person
from tests.engine.factories import NOW, people_inside
from tests.engine.graphs import email, end, graph, trigger, wait_hours

FLOW = graph(
    trigger("mail"), email("mail", default="pause"), wait_hours("pause", 5, default="end"), end()
)


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(database: Database) -> None:
    _, (run_id,) = people_inside(database, FLOW, 1)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE contacts SET last_interaction = 'infinity', custom_fields = '{\"n\": 1e400}',"
            " tags = ARRAY[ARRAY['a']]"
        )
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at)"
            " SELECT workspace_id, id, 'purchase', 'infinity' FROM contacts"
        )
        connection.execute(
            "UPDATE campaign_events SET event_data = '{\"until\": 1e400}'"
            " WHERE enrollment_id = %s AND event_type = 'wait_started'",
            [run_id],
        )
    shown = show_person(database, "person1@example.com", now=NOW)
    assert shown.sentence.startswith("Waits in 'Welcome' at 'pause' until Mon 2 Mar 14:00 (UTC)")
    assert shown.unreadable == [
        "custom_fields: the JSON has a number beyond 1e308 or is nested too deeply",
        "last_interaction: the time is outside the years 1 to 9999",
        "tags: it is an array of arrays",
    ]
    assert [(each.event_type, each.latest_at) for each in shown.own_events] == [("purchase", None)]
    assert len(shown.runs[0].path) == 3
    console = Console()
    with console.capture() as capture:
        console.print(explanation_text(shown))
    assert "unreadable" in capture.get()

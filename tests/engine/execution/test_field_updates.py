"""A field update writes where conditions and templates of the same name read."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import ConditionConfig, EmailConfig, FieldUpdateAction
from tests.engine.events.incoming import rows
from tests.engine.factories import people_inside
from tests.engine.graphs import add_tag, end, graph, node, trigger


@pytest.mark.parametrize(
    ("field", "subject"),
    [
        ("custom_fields.plan", "{{ plan }} {{ custom_fields.plan }}"),
        ("contact.custom_fields.plan", "{{ plan }} {{ custom_fields.plan }}"),
        ("plan", "{{ plan }} {{ custom_fields.plan }}"),
        ("company_name", "{{ company }} {{ company_name }}"),
        ("contact.company", "{{ company }} {{ company_name }}"),
        ("contact.job_title", "{{ job_title }} {{ job_title }}"),
        ("custom_fields.company", "{{ custom_fields.company }} {{ custom_fields.company }}"),
    ],
)
def test_what_is_written_is_read_under_the_same_name(
    database: Database, field: str, subject: str
) -> None:
    condition: Any = {"type": "field", "field": field, "operator": "==", "value": "gold"}
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    flow = graph(
        trigger("w"),
        node("w", "action", FieldUpdateAction(field=field, value="gold"), default="c"),
        node("c", "condition", ConditionConfig(branches=branches), yes="t", else_="m"),
        add_tag("t", "read at once", default="m"),
        node("m", "email", EmailConfig(subject=subject, body="b"), default="c2"),
        node("c2", "condition", ConditionConfig(branches=branches), yes="t2", else_="end"),
        add_tag("t2", "read later", default="end"),
        end(),
    )
    people_inside(database, flow, 1)
    assert rows(database, "SELECT subject FROM recorded_messages") == [("gold gold",)]
    assert rows(database, "SELECT tags FROM contacts") == [(["read at once", "read later"],)]

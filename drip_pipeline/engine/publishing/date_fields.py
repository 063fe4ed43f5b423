"""Check that the fields which waits until a date read have dates."""

from __future__ import annotations

from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.conditions.field_names import field_name
from drip_pipeline.domain.contact_fields import CONTACT_COLUMNS, CUSTOM_FIELDS
from drip_pipeline.domain.definition.problems import Problem
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import DateWait


def date_field_problems(
    connection: Connection, graph: CampaignGraph, workspace_id: UUID
) -> list[Problem]:
    """Return warnings for custom fields in which no contact has a date, although some have a value.

    A graph without waits until a date reads nothing.
    """
    fields = {
        node_id: name.removeprefix(f"{CUSTOM_FIELDS}.")
        for node_id, node in graph.nodes.items()
        if isinstance(node.config, DateWait)
        and (name := field_name(node.config.field)) not in CONTACT_COLUMNS
    }
    if not fields:
        return []
    counts = {
        row.name: row
        for row in publish_db.dates_in_fields(connection, workspace_id, sorted({*fields.values()}))
    }
    return [
        Problem(
            node_id,
            "wait_field_without_dates",
            f"none of {row.filled:,} values of {name} is a date ({', '.join(row.types)}): these"
            " contacts take the port missing; a date is a text such as 2026-01-28 or"
            " 2026-01-28T09:00:00+01:00",
            "warning",
        )
        for node_id, name in fields.items()
        if (row := counts.get(name)) is not None and not row.dates
    ]

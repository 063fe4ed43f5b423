"""Contacts in waits that follow them, and changes of contacts. Nothing here asserts anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.contact_waits import ConditionWait, DateWait
from drip_pipeline.domain.graph.graph import CampaignGraph
from tests.engine.events.incoming import rows, value
from tests.engine.factories import (
    Published,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import end, graph, node, trigger

AT = datetime(2026, 1, 31, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRIAL: dict[str, Any] = {"type": "until_date", "field": "trial_ends_at", "time": "09:00"}
CHANGE = 'UPDATE contacts SET custom_fields = custom_fields || \'{"trial_ends_at": "2026-02-20"}\''
PORTS = {"default": "on", "past": "past", "missing": "missing"}


def until_date(**keys: Any) -> CampaignGraph:
    config = DateWait.model_validate({**TRIAL, **keys})
    return graph(trigger("w"), node("w", "wait", config, **PORTS), *map(end, PORTS.values()))


def until(condition: dict[str, Any], days: float = 2) -> CampaignGraph:
    config = ConditionWait.model_validate(
        {"condition": condition, "max_wait": {"value": days, "unit": "days"}}
    )
    ports = {"met": "met", "timeout": "timeout"}
    return graph(trigger("w"), node("w", "wait", config, **ports), *map(end, ports))


def inside(
    database: Database, flow: CampaignGraph, fields: list[dict[str, Any]]
) -> tuple[Published, list[UUID]]:
    """A campaign, run until idle, with a contact for each of these custom fields; the contacts."""
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        ids = contacts(connection, workspace, len(fields))
        connection.cursor().executemany(
            "UPDATE contacts SET custom_fields = %s WHERE id = %s",
            [(Jsonb(values), id_) for values, id_ in zip(fields, ids, strict=True)],
        )
        campaign = a_published_campaign(connection, flow, workspace_id=workspace, now=AT)
        enrolled(connection, campaign, ids, at=AT)
    run_until_idle(database, AT)
    return campaign, ids


def states(database: Database) -> list[Any]:
    """Node and end of the wait of each contact, in their order."""
    return rows(
        database,
        "SELECT s.current_node_id,"
        " to_char(s.wait_until AT TIME ZONE 'UTC', 'MM-DD HH24:MI') FROM campaign_workflow_states s"
        " JOIN contacts k ON k.id = s.contact_id ORDER BY length(k.email), k.email",
    )


def set_field(database: Database, id_: UUID, **fields: Any) -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE contacts SET custom_fields = custom_fields || %s WHERE id = %s",
            [Jsonb(fields), id_],
        )


def queued(database: Database) -> int:
    return int(value(database, "SELECT count(*) FROM campaign_wait_queue"))


def trial(day: str | None, **more: Any) -> dict[str, Any]:
    return {"trial_ends_at": day, **more}


PRO = {"type": "field", "field": "plan", "operator": "==", "value": "pro"}


def bought(number: int, person: int = 1, amount: float = 500) -> dict[str, Any]:
    at = (AT + timedelta(minutes=number)).isoformat()
    return an_event(
        number, "purchase", email=f"person{person}@example.com", occurred_at=at,
        data={"value": amount},
    )  # fmt: skip


LARGE = {"type": "field", "field": "value", "operator": ">", "value": 100}
BOUGHT = {"type": "event", "event_type": "purchase", "where": LARGE}

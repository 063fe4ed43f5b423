"""Campaigns of topics for tests, by the functions that commands and the receiver call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.campaigns.topics import add_topic
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import EnrollReport, enroll
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.publishing.topic_confirmation import ensure_confirmation
from drip_pipeline.settings import Settings
from tests.engine.factories import NOW, contacts, the_workspace

DAYS = 86_400


def a_file(name: str, topic: str | None = None, **keys: Any) -> dict[str, Any]:
    """Two mails, a day apart."""

    def mail(node_id: str) -> dict[str, Any]:
        text = {"subject": f"{name} {node_id}", "body": "A text. {{ unsubscribe_url }}"}
        step = {"node_id": node_id, "node_type": "email", "step_name": node_id}
        return {**step, "channel_config": {"email": text}}

    wait = {"type": "duration", "value": 1, "unit": "days"}
    pause = {"node_id": "pause", "node_type": "wait", "step_name": "pause", "wait_config": wait}
    file = {"name": name, "steps": [mail("first"), pause, mail("second")], **keys}
    return file | ({"topic": topic} if topic else {})


def a_topic(database: Database, name: str, **keys: Any) -> None:
    """A topic of the first workspace."""
    with database.transaction() as connection:
        the_workspace(connection)
    if keys.get("double_opt_in"):
        ensure_confirmation(database, None, settings=Settings(), now=NOW)
    add_topic(database, None, name, now=NOW, **keys)


def published(database: Database, *files: dict[str, Any]) -> None:
    """Publish campaign files."""
    for file in files:
        publish(database, file, PublishOptions(now=NOW, settings=Settings()))


def people(database: Database, count: int = 1) -> list[UUID]:
    """Contacts of the first workspace."""
    with database.transaction() as connection:
        return contacts(connection, the_workspace(connection), count)


def entered(database: Database, *names: str) -> dict[str, EnrollReport]:
    """Enroll everybody in these campaigns."""
    return {name: enroll(database, name, Everybody(), now=NOW) for name in names}


def campaign_id(database: Database, name: str) -> UUID:
    """The id of the campaign of this name."""
    with database.transaction() as connection:
        return find_campaign(connection, name).campaign_id

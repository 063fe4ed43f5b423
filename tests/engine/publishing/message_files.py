"""Campaign files of one mail, and the messages that contacts get of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.publishing.publish import PublishReport, publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.runner.factory import engine_from
from drip_pipeline.engine.runner.tick import tick
from drip_pipeline.settings import Secret, Settings
from tests.engine.factories import NOW

SETTINGS = Settings(
    mail_from="Acme <news@acme.io>",
    public_url="https://mail.acme.io",
    secret_key=Secret("a key for tests"),
    tracking=("clicks",),
)
UNSUBSCRIBE = '<a href="{{ unsubscribe_url }}">Leave</a>'


def campaign(mail: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """A campaign `Tea` that sends this mail."""
    return {
        "name": "Tea",
        **keys,
        "steps": [
            {"node_id": "start", "node_type": "trigger", "trigger_config": {"trigger": "manual"}},
            {"node_id": "mail", "node_type": "email", "channel_config": {"email": dict(mail)}},
            {"node_id": "end", "node_type": "exit"},
        ],
    }


def options(**changes: Any) -> PublishOptions:
    return PublishOptions(**{"now": NOW, "settings": SETTINGS, "workspace": "Acme", **changes})


def people(database: Database, *contacts: Mapping[str, Any]) -> None:
    """Contacts of the workspace Acme: their custom fields, `email` included."""
    with database.transaction() as connection:
        row = connection.execute(
            "INSERT INTO workspaces (name) VALUES ('Acme') RETURNING id"
        ).fetchone()
        assert row is not None
        for contact in contacts:
            fields = dict(contact)
            connection.execute(
                "INSERT INTO contacts (workspace_id, email, name, custom_fields)"
                " VALUES (%s, %s, %s, %s)",
                [row[0], fields.pop("email"), fields.pop("name", None), json.dumps(fields)],
            )


def recorded(database: Database) -> dict[str, Any]:
    """Enroll everybody, run, and return the recorded messages by recipient."""
    enroll(database, "Tea", Everybody(), now=NOW)
    tick(engine_from(SETTINGS, database), now=NOW, until_idle=True)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT recipient, subject, body, body_html FROM recorded_messages"
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


def published(database: Database, file: Mapping[str, Any] | Path, **changes: Any) -> PublishReport:
    source = file.read_text(encoding="utf-8") if isinstance(file, Path) else file
    return publish(database, source, options(**changes))

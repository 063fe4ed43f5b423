"""The campaign that asks people to confirm a topic: created once, and changed as any other.

The eligibility check logs the event topic_requested once for each address, and the campaign enrolls
its contact once for each such event. Its mail is an ordinary transactional message.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import existing_workspace
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings

NAME: Final = "Topic confirmation"
FILE: Final[dict[str, object]] = {
    "name": NAME,
    "description": "Asks people to confirm a topic that needs it. Change the text as you like;"
    " keep {{ confirm_url }}.",
    "kind": "transactional",
    "re_entry": {"per_key": "request"},
    "steps": [
        {
            "node_id": "requested",
            "node_type": "trigger",
            "step_name": "Confirmation requested",
            "trigger_config": {"trigger": "event", "event_type": "topic_requested"},
        },
        {
            "node_id": "confirm",
            "node_type": "email",
            "step_name": "Please confirm",
            "channel_config": {
                "email": {
                    "subject": "Please confirm: {{ entry.title }}",
                    "body": "Please confirm that you want to get our messages about"
                    " “{{ entry.title }}”:\n\n{{ confirm_url }}\n\n"
                    "If you did not ask for them, you need not do anything: without your"
                    " confirmation we send none.\n\n{{ unsubscribe_url }}\n",
                }
            },
        },
    ],
}


def ensure_confirmation(
    database: Database,
    workspace: str | None,
    *,
    settings: Settings,
    now: datetime,
    actor: Actor = LIBRARY,
) -> bool:
    """Publish the campaign that sends confirmations, unless the workspace has one of its name.

    Return whether it was published. Raises NotAllowed for an unknown workspace, and as `publish`
    does.
    """
    with database.transaction() as connection:
        workspace_id = existing_workspace(connection, workspace)
        if publish_db.lock_campaigns(connection, workspace_id, name=NAME, campaign_id=None):
            return False
    options = PublishOptions(
        now=now,
        settings=settings,
        workspace=workspace,
        description="sends the confirmations of topics",
        actor=actor,
    )
    publish(database, FILE, options)
    return True

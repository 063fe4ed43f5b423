"""Read the audit trail. `engine/audit.py` records it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import audit as audit_db
from drip_pipeline.db.operations.audit import ListedAction
from drip_pipeline.domain.addresses import clean
from drip_pipeline.engine.campaigns.campaign import find_campaign


def audit_trail(
    database: Database,
    *,
    campaign: str | UUID | None = None,
    contact: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> list[ListedAction]:
    """Return recorded operations, latest first: on a campaign, on a contact (id or email address),
    by an actor, of one kind, since a time.

    The id of a campaign or contact that no longer exists finds its operations too. Raises
    CampaignNotFound, CampaignAmbiguous for a name.
    """
    with database.transaction(is_read_only=True) as connection:
        object_ids: list[UUID] | None = None
        if campaign is not None:
            campaign_id = _uuid(str(campaign))
            object_ids = [campaign_id or find_campaign(connection, campaign).campaign_id]
        if contact is not None:
            contact_id = _uuid(contact)
            ids = (
                [contact_id]
                if contact_id
                else audit_db.contacts_of_address(connection, clean(contact))
            )
            object_ids = [*(object_ids or ()), *ids]
        return audit_db.listed(
            connection,
            object_ids=object_ids,
            actor=actor,
            action=action,
            since=since,
            limit=limit,
        )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

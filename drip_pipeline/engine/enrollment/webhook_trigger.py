"""A call that lets people into the campaign whose trigger is a webhook: whoever is not known yet is
made a contact of the campaign's workspace. One transaction; a repeated call does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from drip_pipeline.db.connection import Connection, Database, savepoint
from drip_pipeline.db.contacts import contacts as contacts_db
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.enrollment.enroll import (
    EntryTerms,
    admit,
    check_key,
    lock_entry_terms,
)
from drip_pipeline.engine.enrollment.webhook_payload import (
    CallInvalid,
    WebhookContacts,
    read_webhook_contacts,
)
from drip_pipeline.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """What a call did: people enrolled, in already, refused by reason; contacts made; and who could
    not be read (their place in the call, from 0, and why). `is_repeat`: the call came before, and
    this is what it was answered then.
    """

    campaign_id: str
    campaign: str
    enrolled: int = 0
    already_in: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    contacts_created: int = 0
    not_read: tuple[dict[str, Any], ...] = ()
    is_repeat: bool = False


def enroll_by_webhook(
    database: Database, campaign: str, body: bytes, *, now: datetime, call_key: str | None = None
) -> TriggerResult:
    """Let in the people whom the body (JSON) names. `call_key` names the call; the body may, too.

    Raises CallInvalid, CampaignNotFound, CampaignAmbiguous, NotAllowed (another trigger, not
    published, no entry key where one is needed, another call under the same key).
    """
    people = read_webhook_contacts(_json(body))
    key = people.call_key or call_key

    def transaction() -> TriggerResult:
        # A connection of its own: the staged contacts live as long as it does.
        with database.autocommit() as connection:
            contacts_db.stage(connection, people.rows)
            with savepoint(connection):
                return _enter(connection, campaign, people, key, body, now)

    return retry_on_conflict(transaction)


def _enter(
    connection: Connection,
    name: str,
    people: WebhookContacts,
    key: str | None,
    body: bytes,
    now: datetime,
) -> TriggerResult:
    campaign = find_campaign(connection, name)
    door = _webhook_door(connection, campaign)
    body_hash = sha256(body).hexdigest()
    if key is not None:
        earlier = inbox_db.earlier_call(connection, campaign.campaign_id, key)
        if earlier is not None:
            if earlier[0] != body_hash:
                raise NotAllowed(
                    "another call came under the same key",
                    hint="A repeated call must have the same body; a new one needs a new key.",
                )
            return TriggerResult(**{**earlier[1], "is_repeat": True})
    merged = contacts_db.merge(
        connection,
        campaign.workspace_id,
        first_line=1,
        last_line=max((row[0] for row in people.rows), default=0),
        now=now,
    )
    verdicts = _let_all_in(connection, campaign, door, people, now)
    answer = TriggerResult(
        campaign_id=str(campaign.campaign_id),
        campaign=campaign.name,
        enrolled=verdicts.pop("enrolled", 0),
        already_in=verdicts.pop("already_in", 0),
        refused=verdicts,
        contacts_created=merged.inserted,
        not_read=tuple({"place": place, "reason": why} for place, why in people.problems),
    )
    if key is not None:
        inbox_db.keep_call(
            connection,
            campaign.campaign_id,
            key,
            workspace_id=campaign.workspace_id,
            body_hash=body_hash,
            answer=asdict(answer),
            now=now,
        )
    return answer


def _let_all_in(
    connection: Connection,
    campaign: Campaign,
    door: EntryTerms,
    people: WebhookContacts,
    now: datetime,
) -> dict[str, int]:
    addresses = [row[1] for row in people.rows]
    ids: dict[str, UUID] = {
        address: contact_id
        for address, contact_id, _ in enrollments_db.contacts_by_address(
            connection, campaign.workspace_id, addresses
        )
        if contact_id is not None
    }
    keys = [people.keys.get(row[0]) for row in people.rows]
    for key in keys:
        check_key(campaign, door, key)
    listed = [ids[address] for address in addresses]
    return dict(admit(connection, campaign, door, listed, keys, 0, now))


def _webhook_door(connection: Connection, campaign: Campaign) -> EntryTerms:
    door = lock_entry_terms(connection, campaign)
    if door.trigger.kind != "webhook":
        raise NotAllowed(
            f"campaign {campaign.name!r} is not entered by a webhook, its trigger is"
            f" {door.trigger.kind!r}",
            hint='Give its trigger node {"trigger": "webhook"} and publish it.',
        )
    return door


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CallInvalid("the call's body is not JSON") from None

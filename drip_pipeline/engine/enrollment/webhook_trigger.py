"""Enroll the contacts of a webhook call in a campaign with a webhook trigger.

Unknown addresses become contacts of the campaign's workspace. One transaction; a repeated call with
the same key returns the stored result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import TypedDict

import orjson

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import webhook_contacts as webhook_contacts_db
from drip_pipeline.db.contacts.contacts import StagedContact
from drip_pipeline.db.contacts.webhook_contacts import CallMerge
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import TriggerCall
from drip_pipeline.domain.addresses import canonical_email
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.enrollment.admission import REFUSED_BY_DATABASE, admit
from drip_pipeline.engine.enrollment.entry_keys import RunEntry
from drip_pipeline.engine.enrollment.entry_terms import EntryTerms, check_key, lock_entry_terms
from drip_pipeline.engine.enrollment.webhook_payload import (
    CallInvalid,
    WebhookContacts,
    read_webhook_contacts,
)
from drip_pipeline.engine.isolation import apply_isolating
from drip_pipeline.errors import NotAllowed


class RejectedContact(TypedDict):
    """An invalid contact of a call: its position (from 0) and the reason."""

    place: int
    reason: str


class FieldSetAside(TypedDict):
    """A field of a contact that cannot be read: the contact's position (from 0) and the reason."""

    place: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """The result of a call: contacts enrolled, already enrolled, refused by reason, and created.

    `not_read` are invalid contacts: their `place` in the call (from 0) and the `reason`;
    `fields_set_aside` are fields that cannot be read, of contacts that were accepted without them.
    `is_repeat`: the call is a repetition, and this is the result of the first one.
    """

    campaign_id: str
    campaign: str
    enrolled: int = 0
    already_in: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    contacts_created: int = 0
    not_read: tuple[RejectedContact, ...] = ()
    fields_set_aside: tuple[FieldSetAside, ...] = ()
    is_repeat: bool = False


def enroll_by_webhook(
    database: Database,
    campaign: str,
    body: bytes,
    *,
    now: datetime,
    call_key: str | None = None,
    workspace: str | None = None,
    actor: Actor = LIBRARY,
) -> TriggerResult:
    """Enroll the contacts of a JSON body.

    `call_key` is the idempotency key, unless the body has one. With a `workspace`, a name or id,
    only its campaigns are found.

    Raises CallInvalid, CampaignNotFound, CampaignAmbiguous, NotAllowed (another trigger, not
    published, no entry key where one is needed, another call under the same key).
    """
    content = _json(body)
    with database.transaction(is_read_only=True) as connection:
        workspace_id = find_campaign(connection, campaign).workspace_id
        region = workspaces_db.regions(connection, [workspace_id])[workspace_id]
    contacts = read_webhook_contacts(content, region)
    key = contacts.call_key or call_key

    def transaction() -> TriggerResult:
        with database.transaction() as connection:
            target = find_campaign(connection, campaign, workspace=workspace)
            result = _enter(connection, target, contacts, key, body, now)
            if result.enrolled and not result.is_repeat:
                audit.record(
                    connection,
                    actor,
                    "enroll",
                    target.subject,
                    now=now,
                    details={"enrolled": result.enrolled, "created": result.contacts_created},
                )
            return result

    return retry_on_conflict(transaction)


def _enter(
    connection: Connection,
    campaign: Campaign,
    contacts: WebhookContacts,
    key: str | None,
    body: bytes,
    now: datetime,
) -> TriggerResult:
    terms = _webhook_terms(connection, campaign)
    body_hash = sha256(body).hexdigest()
    if key is not None:
        earlier = inbox_db.earlier_call(connection, campaign.campaign_id, key)
        if earlier is not None:
            if earlier.body_hash != body_hash:
                raise NotAllowed(
                    "another call used the same key",
                    hint="A repeated call must have the same body; a new call needs a new key.",
                )
            return TriggerResult(**{**earlier.answer, "is_repeat": True})
    created, refused = _merge(connection, campaign, contacts.rows, now)
    rows = [row for row in contacts.rows if row.line_number not in refused]
    counts = _admit_all(connection, campaign, terms, contacts, rows, now)
    result = TriggerResult(
        campaign_id=str(campaign.campaign_id),
        campaign=campaign.name,
        enrolled=counts.pop("enrolled", 0),
        already_in=counts.pop("already_in", 0),
        refused=counts,
        contacts_created=created,
        not_read=tuple(
            RejectedContact(place=position, reason=reason)
            for position, reason in sorted(
                [*contacts.problems, *((line - 1, REFUSED_BY_DATABASE) for line in refused)]
            )
        ),
        fields_set_aside=tuple(
            FieldSetAside(place=cell.line_number - 1, field=cell.column_name, reason=cell.reason)
            for cell in contacts.set_aside
        ),
    )
    if key is not None:
        inbox_db.save_call(
            connection,
            campaign.campaign_id,
            key,
            TriggerCall(body_hash, asdict(result)),
            workspace_id=campaign.workspace_id,
            now=now,
        )
    return result


def _merge(
    connection: Connection, campaign: Campaign, rows: Sequence[StagedContact], now: datetime
) -> tuple[int, set[int]]:
    """Merge contacts, and return the number of new ones and the lines that the database refused."""
    refused: set[int] = set()

    def merge(part: Sequence[StagedContact]) -> CallMerge:
        return webhook_contacts_db.merge(connection, campaign.campaign_id, part, now=now)

    def refuse(row: StagedContact, _error: Exception) -> None:
        refused.add(row.line_number)
        # What the contact refuses counts all the same, as in an import.
        webhook_contacts_db.merge(
            connection, campaign.campaign_id, [row], now=now, refusals_only=True
        )

    parts = apply_isolating(connection, rows, merge, refuse) if rows else []
    return sum(part.inserted for part in parts), refused.union(*(part.refused for part in parts))


def _admit_all(
    connection: Connection,
    campaign: Campaign,
    terms: EntryTerms,
    contacts: WebhookContacts,
    rows: Sequence[StagedContact],
    now: datetime,
) -> dict[str, int]:
    addresses = [canonical_email(row.email) for row in rows]
    keys = [contacts.keys.get(row.line_number) for row in rows]
    for key in keys:
        check_key(campaign, terms, key)
    if not rows:
        return {}
    # Nobody repeats a call: unlike the triggers, it waits for locked contacts.
    ids = webhook_contacts_db.contacts_by_address(connection, campaign.campaign_id, addresses)
    entries = [
        RunEntry(ids[address], key, contacts.data.get(row.line_number))
        for address, key, row in zip(addresses, keys, rows, strict=True)
    ]
    return admit(connection, campaign, terms, entries, spread_minutes=0, now=now).counts


def _webhook_terms(connection: Connection, campaign: Campaign) -> EntryTerms:
    terms = lock_entry_terms(connection, campaign)
    if terms.trigger.kind != "webhook":
        raise NotAllowed(
            f"campaign {campaign.name!r} has no webhook trigger; its trigger is"
            f" {terms.trigger.kind!r}",
            hint='Set {"trigger": "webhook"} in its trigger node and publish it.',
        )
    return replace(terms, is_by_call=True)


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CallInvalid("the call's body is not JSON") from None

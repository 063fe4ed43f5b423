"""Rewrite the tables of erased persons, in one transaction for many of them.

Runs end; rows that are about nothing but the person are deleted; in the others a random id replaces
the contact's, and what could identify the person is emptied. Suppressions become hashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.campaigns import workspace_rules as rules_db
from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.execution import topic_states as states_db
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.db.privacy.erasures import (
    ErasedDelivery,
    PendingErasure,
    PersonTrace,
    TakenConsent,
    TakenSuppression,
)
from drip_pipeline.domain.addresses import canonical_email, parse_phone
from drip_pipeline.engine.campaigns import workspace_rules
from drip_pipeline.engine.erased_addresses import RULE, ErasureKeys
from drip_pipeline.engine.execution.exits import end_runs
from drip_pipeline.engine.privacy.identifiers import Identifiers

MOST_PERSONS: Final = 500
"""Persons of one transaction."""


def rewrite_tables(
    connection: Connection, keys: ErasureKeys, *, now: datetime, most: int = MOST_PERSONS
) -> int:
    """Rewrite the tables of at most `most` persons. Return their number."""
    # No event of these persons is being stored meanwhile.
    events_db.lock(connection, range(events_db.INGESTION_PARTITIONS))
    pending = erasures_db.lock_pending(connection, is_rewritten=False, most=most, failed_before=now)
    if not pending:
        return 0
    erasure_of = {each.contact_id: each.erasure_id for each in pending if each.contact_id}
    # Messages are locked before states, as everywhere.
    deliveries = erasures_db.lock_deliveries(connection, list(erasure_of))
    end_runs(
        connection,
        states_db.lock_open_states(connection, list(erasure_of)),
        exit_reason="removed",
        enrollment_status="completed",
        batch_id=uuid4(),
        now=now,
    )
    traces = erasures_db.traces(
        connection, [(erasure_id, contact_id) for contact_id, erasure_id in erasure_of.items()]
    )
    persons = _identified(connection, pending, deliveries, traces)
    _hash_suppressions(connection, pending, persons, keys, now)
    erasures_db.rewrite_deliveries(
        connection, {each.id: erasure_of[each.contact_id] for each in deliveries}
    )
    erasures_db.rewrite_rows(connection, enrollments_of(persons), erasure_of)
    erasures_db.finish_rewriting(
        connection,
        {erasure_id: dump_json(person.stored()).decode() for erasure_id, person in persons.items()},
        now,
    )
    return len(pending)


def enrollments_of(persons: Mapping[UUID, Identifiers]) -> dict[UUID, UUID]:
    """Return the enrollments of persons, given by their erasures, as {enrollment: erasure}."""
    return {
        UUID(enrollment): erasure_id
        for erasure_id, person in persons.items()
        for enrollment in person.enrollments
    }


def _identified(
    connection: Connection,
    pending: Sequence[PendingErasure],
    deliveries: Sequence[ErasedDelivery],
    traces: Sequence[PersonTrace],
) -> dict[UUID, Identifiers]:
    """Return what identifies each person, by its erasure. Addresses of other contacts of the
    workspace are not the person's any more."""
    values: dict[tuple[UUID, str], set[str]] = defaultdict(set)
    for trace in traces:
        values[trace.erasure_id, trace.kind].add(trace.value)
    erasure_of = {each.contact_id: each.erasure_id for each in pending}
    for delivery in deliveries:
        erasure_id = erasure_of[delivery.contact_id]
        values[erasure_id, "message"].add(str(delivery.id))
        if delivery.provider_message_id:
            values[erasure_id, "reference"].add(delivery.provider_message_id)
    regions = workspaces_db.regions(connection, {each.workspace_id for each in pending})
    addresses = {
        each.erasure_id: _spellings(
            [*values[each.erasure_id, "address"], each.email, each.phone],
            regions.get(each.workspace_id),
        )
        for each in pending
    }
    in_use = {
        row.address: row.is_here
        for row in erasures_db.in_use(
            connection,
            [
                (each.workspace_id, address)
                for each in pending
                for address in addresses[each.erasure_id]
            ],
        )
    }
    return {
        each.erasure_id: Identifiers(
            each.workspace_id,
            each.contact_id,
            tuple(a for a in addresses[each.erasure_id] if not in_use.get(a)),
            tuple(a for a in addresses[each.erasure_id] if in_use.get(a) is False),
            tuple(sorted(values[each.erasure_id, "enrollment"])),
            tuple(sorted(values[each.erasure_id, "message"])),
            tuple(sorted(values[each.erasure_id, "reference"])),
        )
        for each in pending
    }


def spellings_in_use(
    connection: Connection,
    workspace_id: UUID,
    addresses: Sequence[str],
    region: str | None,
    *,
    except_contacts: Sequence[UUID],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the spellings of a person's addresses, without those of other contacts of the
    workspace, and those of them that contacts of other workspaces have, too."""
    spellings = _spellings(addresses, region)
    in_use = {
        row.address: row.is_here
        for row in erasures_db.in_use(
            connection, [(workspace_id, each) for each in spellings], except_contacts
        )
    }
    return (
        tuple(each for each in spellings if not in_use.get(each)),
        tuple(each for each in spellings if in_use.get(each) is False),
    )


def _spellings(addresses: Sequence[str | None], region: str | None) -> list[str]:
    """Return addresses as they are compared; phone numbers also as they are sent to."""
    spellings: set[str] = set()
    for text in addresses:
        if not text:
            continue
        if "@" in text:
            spellings.add(canonical_email(text))
            continue
        spellings.add("".join(c for c in text if c.isdigit() or c == "+"))
        number = parse_phone(text, region)
        if isinstance(number, str):
            spellings.add(number)
    return sorted(spellings - {""})


def _hash_suppressions(
    connection: Connection,
    pending: Sequence[PendingErasure],
    persons: Mapping[UUID, Identifiers],
    keys: ErasureKeys,
    now: datetime,
) -> None:
    """Delete what these persons refused, and store hashes of the addresses in its place."""
    addressed = [
        (each.workspace_id, each.contact_id, address)
        for each in pending
        for address in persons[each.erasure_id].addresses
    ]
    if not addressed:
        return
    rows: list[TakenSuppression | TakenConsent] = [
        *erasures_db.take_suppressions(connection, addressed),
        *erasures_db.take_consents(connection, addressed),
    ]
    erasures_db.delete_rejected_cells(connection, addressed)
    if not rows:
        return
    hashes = [keys.hash(row.workspace_id, row.address) for row in rows]
    erasures_db.store_hashes(connection, keys.key_id, rows, hashes)
    for workspace_id in {row.workspace_id for row in rows}:
        rules_db.store(connection, workspace_id, kind=RULE, name=RULE, config={}, now=now)
        workspace_rules.forget(workspace_id)

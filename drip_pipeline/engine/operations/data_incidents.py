"""Incidents of bad data: enrollments that it stopped, and event lines that were rejected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.operations import data_faults as data_faults_db
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import NewIncident
from drip_pipeline.redaction import redact

DATA_FAULTS: Final = "enrollments_stopped_by_data"
REJECTED_EVENTS: Final = "events_rejected"

REJECTED_LIMIT: Final = 20
"""How many lines or payloads of a source may be rejected in a day without an incident."""
SHOWN_CONTACTS: Final = 200
"""How many contacts the details of an incident name."""
_READ_FAULTS: Final = 10_000
_PERIOD: Final = timedelta(days=1)


def stopped_by_data(connection: Connection, now: datetime) -> Iterator[NewIncident]:
    """Yield an incident per campaign with enrollments that failed because of their own data, and
    per workspace with contacts that were left out while they were selected, enrolled or settled.

    The details name each contact with its reason. Lasts while the enrollments are failed, and a day
    after a contact was selected.
    """
    faults = data_faults_db.current(
        connection, since=now - _PERIOD, shown=SHOWN_CONTACTS, limit=_READ_FAULTS
    )
    for (workspace_id, campaign_id), group in groupby(
        faults, key=lambda fault: (fault.workspace_id, fault.campaign_id)
    ):
        rows = list(group)
        count, campaign = rows[0].total, rows[0].campaign
        details = {
            "count": count,
            "contacts": [
                {
                    "contact_id": str(row.contact_id),
                    "enrollment_id": row.enrollment_id and str(row.enrollment_id),
                    "node_id": row.node_id,
                    "reason": redact(row.reason),
                }
                for row in rows
            ],
        }
        if campaign_id is not None:
            noun = "enrollment" if count == 1 else "enrollments"
            yield NewIncident(
                f"{DATA_FAULTS}/{campaign_id}",
                DATA_FAULTS,
                workspace_id,
                f"{count:,} {noun} of campaign {campaign!r} failed because of the data or texts"
                f" they read. The first: {redact(rows[0].reason)}.",
                "`drip alerts list` names each contact. Correct the named columns or the"
                f" campaign, then `drip requeue --campaign {campaign_id}`.",
                details,
                is_over=False,
            )
        else:
            noun = "contact" if count == 1 else "contacts"
            yield NewIncident(
                f"{DATA_FAULTS}/workspace/{workspace_id}",
                DATA_FAULTS,
                workspace_id,
                f"{count:,} {noun} could not be checked, enrolled or settled, and all others were."
                f" The first: {redact(rows[0].reason)}.",
                "`drip alerts list` names each contact. Correct the named columns, or the trigger"
                " that refuses them; the next selection checks the contacts again.",
                details,
                is_over=False,
            )


def rejected_events(connection: Connection, now: datetime) -> Iterator[NewIncident]:
    """Yield an incident per source of which REJECTED_LIMIT lines or payloads were rejected within a
    day. Events of unknown messages, contacts and campaigns do not count: providers report on
    messages of other systems, too."""
    for row in incidents_db.rejections_since(connection, now - _PERIOD, REJECTED_LIMIT):
        is_inbox = row.kind == "payloads"
        yield NewIncident(
            f"{REJECTED_EVENTS}/{row.kind}/{row.source}",
            REJECTED_EVENTS,
            None,
            f"{row.rejected:,} {row.kind} of {row.source} were rejected within a day, most of"
            f" them because: {redact(row.reason)}.",
            "`drip inbox status` lists them; `drip inbox retry` imports them again after the cause"
            " is corrected, and `drip inbox discard ID` gives one up."
            if is_inbox
            else "`drip events rejected` counts them by reason, and with --retry imports them again"
            " after the cause is corrected.",
            {"source": row.source, "rejected": row.rejected},
            is_over=False,
        )

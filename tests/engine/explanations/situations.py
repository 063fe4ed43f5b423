"""Contacts in every situation that an explanation distinguishes, in one database.

All ids are fixed, because retry delays, variants and the holdout are computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts.suppressions import Suppression
from drip_pipeline.domain.graph.holdout import Holdout, threshold
from drip_pipeline.engine.campaigns.frequency_caps import set_cap
from drip_pipeline.engine.campaigns.holdout import set_holdout
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.operations.operator_consents import suppress
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.engine.explanations.campaigns import CAMPAIGNS, email
from tests.engine.factories import an_event, run_until_idle

NOW: Final = datetime(2026, 11, 30, 8, tzinfo=UTC)
"""Monday, 09:00 in Berlin, where the workspace is."""
DAY: Final = timedelta(days=1)
LATER: Final = NOW + timedelta(hours=12)
"""Monday, 21:00 in Berlin: outside of the send window."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A contact, perhaps a campaign, and what the explanation at LATER says first and is next."""

    who: str
    sentence: str
    next_at: datetime | None = None
    campaign: str | None = None


# Contact, its score and custom fields, and the campaign that it is enrolled in at NOW.
_PEOPLE: Final[list[tuple[str, int, dict[str, Any], str | None]]] = [
    ("time", 10, {"plan": "pro"}, "Welcome"),
    ("event", 10, {}, "Opened"),
    ("window", 10, {}, None),
    ("before", 10, {}, None),
    ("after", 10, {}, "Welcome"),
    ("left", 10, {}, "Welcome"),
    ("failed", 60, {}, "Arms"),
    ("retried", 60, {}, None),
    ("heldout", 60, {"arm": "none"}, "Arms"),
    ("goal", 10, {}, "Goal"),
    ("finished", 10, {}, "Short"),
    ("none", 10, {}, None),
    ("twice", 10, {}, None),
    ("treated", 60, {"arm": "mail"}, "Arms"),
    ("paused", 10, {}, None),
    ("bought", 10, {}, "Win back"),
    ("date", 10, {"ends_on": "2026-12-24"}, "Renewal"),
    ("active", 10, {"projects": 0}, "Activation"),
]


def contact_id_of(name: str) -> UUID:
    """The fixed id of a contact of the situations."""
    number = [name for name, *_ in _PEOPLE].index(name)
    return UUID(int=0x1000 + number)


def build(database: Database) -> None:
    """Create the workspace, its campaigns and contacts, and run the engine up to LATER."""
    with database.transaction() as connection:
        workspace = _insert_workspace(connection, "Acme")
        for number, (name, score, custom, _) in enumerate(_PEOPLE):
            _insert_contact(connection, workspace, UUID(int=0x1000 + number), name, score, custom)
    campaigns = {each["name"]: _published(database, each, "Acme") for each in CAMPAIGNS}
    _enroll(database, campaigns, {"twice": "Again"}, NOW - DAY)
    run_until_idle(database, NOW - DAY)
    _enroll(database, campaigns, {"twice": "Again"}, NOW, number=0x3000, key="run-2")
    _enroll(database, campaigns, {name: of for name, *_, of in _PEOPLE if of}, NOW)
    run_until_idle(database, NOW)
    _happen(database, workspace)
    for minutes in (2, 10, 30, 120):  # the retries of `failed`
        run_until_idle(database, NOW + timedelta(minutes=minutes))
    _enroll(database, campaigns, {"window": "Office hours", "retried": "Arms"}, LATER)
    _enroll(database, campaigns, {"paused": "Welcome"}, NOW + timedelta(hours=1))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'paused' WHERE contact_id = %s",
            [contact_id_of("paused")],
        )
    run_until_idle(database, LATER)
    _hold_out(database)
    _cap(database)


def _happen(database: Database, workspace: UUID) -> None:
    """What happens to the contacts after their first message."""
    ingest_events(
        database,
        [
            an_event(3, "purchase", email="bought@example.com", occurred_at=_iso(1)),
            an_event(
                1, "purchase", email="goal@example.com", occurred_at=_iso(1), data={"total": 9}
            ),
            an_event(
                2, "email_opened", email="time@example.com", campaign="Welcome", occurred_at=_iso(2)
            ),
        ],
        source="situations",
        now=NOW + timedelta(minutes=3),
        workspace="Acme",
    )
    at = NOW + timedelta(hours=1)
    with database.transaction() as connection:
        rows = [
            Suppression(f"{name}@example.com", reason, None, None, "the yearly clean-up")
            for name, reason in (("before", "bounced"), ("after", "complained"))
        ]
        suppressions_db.insert(connection, workspace, rows, now=at)
    suppress(database, "left@example.com", reason="asked by phone", now=at, workspace="Acme")


def _hold_out(database: Database) -> None:
    """A workspace of its own with a contact in its holdout."""
    with database.transaction() as connection:
        workspace = _insert_workspace(connection, "Held out")
        _insert_contact(connection, workspace, in_holdout(), "held", 10, {})
    _published(database, {"name": "News", "steps": [email("News")]}, "Held out")
    set_holdout(database, "Held out", 50, salt="spring", now=NOW)


def _cap(database: Database) -> None:
    """A workspace of its own with a cap that a contact has reached."""
    with database.transaction() as connection:
        workspace = _insert_workspace(connection, "Capped")
        _insert_contact(connection, workspace, UUID(int=0x6000), "capped", 10, {})
    campaigns = {
        name: _published(database, {"name": name, "steps": [email(name)]}, "Capped")
        for name in ("Tips", "Sale")
    }
    cap = {"name": "weekly", "max": 1, "per": {"value": 7, "unit": "days"}}
    set_cap(database, "Capped", cap, now=NOW - DAY)
    for name, at, number in (("Tips", NOW, 0x7000), ("Sale", LATER, 0x7001)):
        _insert_run(database, campaigns[name], UUID(int=0x6000), at, UUID(int=number), "")
        run_until_idle(database, at)


def in_holdout() -> UUID:
    """The first fixed id in the holdout of half of the contacts."""
    holdout = Holdout("spring", threshold(50))
    return next(each for n in range(0x5000, 0x5100) if holdout.has(each := UUID(int=n)))


def _iso(minutes: int) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def _published(database: Database, definition: dict[str, Any], workspace: str) -> UUID:
    report = publish(
        database,
        definition | {"workspace": workspace},
        PublishOptions(now=NOW - 2 * DAY, settings=Settings(), channels=frozenset({"email"})),
    )
    assert report.campaign_id is not None
    return report.campaign_id


def _insert_workspace(connection: Connection, name: str) -> UUID:
    row = connection.execute(
        "INSERT INTO workspaces (name, time_zone) VALUES (%s, 'Europe/Berlin') RETURNING id",
        [name],
    ).fetchone()
    assert row is not None
    workspace: UUID = row[0]
    return workspace


def _insert_contact(
    connection: Connection,
    workspace: UUID,
    contact_id: UUID,
    name: str,
    score: int,
    custom: dict[str, Any],
) -> None:
    connection.execute(
        "INSERT INTO contacts (id, workspace_id, email, name, ai_score, custom_fields, created_at,"
        " updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            contact_id, workspace, f"{name}@example.com", f"{name.capitalize()} Lee", score,
            custom, NOW, NOW,
        ],
    )  # fmt: skip


def _enroll(
    database: Database,
    campaigns: Mapping[str, UUID],
    who: Mapping[str, str],
    at: datetime,
    *,
    number: int = 0x2000,
    key: str = "",
) -> None:
    for name, campaign in who.items():
        contact_id = contact_id_of(name)
        run_id = UUID(int=number + contact_id.int)
        _insert_run(database, campaigns[campaign], contact_id, at, run_id, key)


def _insert_run(
    database: Database, campaign_id: UUID, contact_id: UUID, at: datetime, run_id: UUID, key: str
) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_enrollments (id, campaign_id, contact_id, contact_email,"
            " entry_key, started_at, created_at, updated_at) SELECT %s, %s, k.id, k.email, %s,"
            " %s, %s, %s FROM contacts k WHERE k.id = %s",
            [
                run_id, campaign_id, key, at, at, at,
                contact_id,
            ],
        )  # fmt: skip


SITUATIONS: Final[Mapping[str, Situation]] = {
    "waiting for time": Situation(
        "time@example.com",
        "Waits in 'Welcome' at 'Three days' until Thu 3 Dec 09:00 (Berlin), then 'How is it"
        " going?'.",
        NOW + 3 * DAY,
    ),
    "waiting for an event": Situation(
        "event@example.com",
        "Waits in 'Opened' at 'Opened?' for email_opened, until Wed 2 Dec 09:00 (Berlin) at most;"
        " with it at once: 'Thanks', without it then: 'Reminder'.",
        NOW + 2 * DAY,
    ),
    "waiting for a date": Situation(
        "date@example.com",
        "Waits in 'Renewal' at 'Before the end' until 3 days before ends_on at 09:00, which is Mon"
        " 21 Dec 09:00 (Berlin), then 'Renew now'.",
        datetime(2026, 12, 21, 8, tzinfo=UTC),
    ),
    "waiting for a condition": Situation(
        "active@example.com",
        "Waits in 'Activation' at 'Active?' until projects is at least 1, until Mon 7 Dec 09:00"
        " (Berlin) at most, then 'Next steps'.",
        NOW + 7 * DAY,
    ),
    "in a window": Situation(
        "window@example.com",
        "Is in 'Office hours' at 'Offer': the send window holds the message until Tue 1 Dec 09:00"
        " (Berlin); it is sent then.",
        NOW + DAY,
    ),
    "capped": Situation(
        "capped@example.com",
        "Is in 'Sale' at 'Sale': the frequency cap 'weekly' holds the message until Mon 7 Dec 09:00"
        " (Berlin); it is sent then, if there is a place.",
        NOW + 7 * DAY,
    ),
    "suppressed before entry": Situation(
        "before@example.com",
        "Is not in 'Welcome' and cannot enter: the address has bounced (since Mon 30 Nov 10:00).",
        campaign="Welcome",
    ),
    "suppressed after entry": Situation(
        "after@example.com",
        "Waits in 'Welcome' at 'Three days' until Thu 3 Dec 09:00 (Berlin), then 'How is it"
        " going?' is not sent, because the contact has reported spam (since Mon 30 Nov 10:00), and"
        " the run ends.",
        NOW + 3 * DAY,
    ),
    "suppressed by an operator": Situation(
        "left@example.com",
        "Left 'Welcome' at 'Three days' on Mon 30 Nov 10:00 (Berlin): the address is suppressed;"
        " nothing more follows.",
    ),
    "failed": Situation(
        "failed@example.com",
        "Failed in 'Arms' at 'Arm' on Mon 30 Nov 09:30 (Berlin): split 'arm': the contact's field"
        " 'arm' names none of the variants 'mail', 'none'; `drip requeue` tries again.",
    ),
    "retried": Situation(
        "retried@example.com",
        "Is in 'Arms' at 'Arm': attempt 1 of 4 failed (split 'arm': the contact's field 'arm' names"
        " none of the variants 'mail', 'none'); the next one is on Mon 30 Nov 21:00:59 (Berlin).",
        LATER + timedelta(seconds=59),
    ),
    "held out of a test": Situation(
        "heldout@example.com",
        "Left 'Arms' at 'Arm' on Mon 30 Nov 09:00 (Berlin): the contact is in the holdout of the"
        " split; nothing more follows.",
    ),
    "held out of all": Situation(
        "held@example.com",
        "Is not in 'News' and cannot enter: the contact is in the workspace's holdout.",
        campaign="News",
    ),
    "exited by goal": Situation(
        "goal@example.com",
        "Left 'Goal' at 'Three days' on Mon 30 Nov 09:03 (Berlin): the goal was reached; nothing"
        " more follows.",
    ),
    "exited by a rule": Situation(
        "bought@example.com",
        "Left 'Win back' at 'Three days' on Mon 30 Nov 09:03 (Berlin): the exit rule 'bought' holds"
        " (purchase within 30 days); nothing more follows.",
    ),
    "kept out by a rule": Situation(
        "goal@example.com",
        "Is not in 'Win back' and cannot enter: the exit rule 'bought' holds (purchase within 30"
        " days).",
        campaign="Win back",
    ),
    "without a key": Situation(
        "none@example.com",
        "Is not in 'Orders': nobody has enrolled the contact, and it has no trigger; `drip enroll`"
        " enrolls contacts.",
        campaign="Orders",
    ),
    "finished": Situation(
        "finished@example.com",
        "Finished 'Short' on Mon 30 Nov 09:00 (Berlin); nothing more follows.",
    ),
    "in no campaign": Situation("none@example.com", "Is in no campaign; nothing is planned."),
    "entered twice": Situation(
        "twice@example.com",
        "Waits in 'Again' (run 2) at 'A day' until Tue 1 Dec 09:00 (Berlin), then the run ends.",
        NOW + DAY,
    ),
    "treated in a test": Situation(
        "treated@example.com",
        "Finished 'Arms' on Mon 30 Nov 09:00 (Berlin); nothing more follows.",
    ),
    "paused": Situation(
        "paused@example.com",
        "Is in 'Welcome' at 'Start'; the enrollment is paused, and nothing happens until it is"
        " active again.",
    ),
    "without the tag": Situation(
        "none@example.com",
        "Is not in 'Tagged': it is entered by the tag 'vip', which the contact does not have.",
        campaign="Tagged",
    ),
    "beside the schedule": Situation(
        "none@example.com",
        "Is not in 'Fridays': it is entered by the schedule '0 9 * * fri', next on Fri 4 Dec 09:00"
        " (Berlin), and the contact does not meet its condition (score is at least 50).",
        campaign="Fridays",
    ),
    "before the schedule": Situation(
        "failed@example.com",
        "Is not in 'Fridays': it is entered by the schedule '0 9 * * fri', next on Fri 4 Dec 09:00"
        " (Berlin), and the contact meets its condition (score is at least 50).",
        NOW + 4 * DAY,
        campaign="Fridays",
    ),
    "not enrolled": Situation(
        "none@example.com",
        "Is not in 'Welcome': nobody has enrolled the contact, and it has no trigger; `drip enroll`"
        " enrolls contacts.",
        campaign="Welcome",
    ),
}

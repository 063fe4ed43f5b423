"""Generate contacts that got an email, and the events of their provider: a shuffled Parquet file
with repeated, malformed and foreign lines, and the expected result.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any, Final

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.event_parser import OF_NO_MESSAGE
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings

NOW: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
REPORTED: Final = NOW + timedelta(days=2)
"""Time of the import, after all events."""
AGENTS: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.0 Safari",
    "Mozilla/5.0",  # a machine's
)
_SPOILT: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("event_id is missing", {"event_id": None}),
    (OF_NO_MESSAGE, {"event_type": "email_danced"}),
    ("occurred_at is not an ISO time", {"occurred_at": "yesterday"}),
    ("neither message_id nor email is given", {"message_id": None}),
    ("data is not a JSON object", {"data": "{oops"}),
)


def campaign(waits_for: str) -> dict[str, Any]:
    """One mail, then a wait for an event; both ways out end."""
    return {
        "name": "Reported",
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": [
                {"id": node, "type": kind, "position": {"x": n * 200, "y": 0}}
                for n, (node, kind) in enumerate(
                    (("start", "trigger"), ("mail", "email"), ("wait", "wait"), ("end", "exit"))
                )
            ],
            "edges": [
                {"id": "1", "source": "start", "target": "mail"},
                {"id": "2", "source": "mail", "target": "wait"},
                {"id": "3", "source": "wait", "target": "end", "sourceHandle": "event"},
                {"id": "4", "source": "wait", "target": "end", "sourceHandle": "timeout"},
            ],
        },
        "steps": [
            {"node_id": "start", "node_type": "trigger"},
            {
                "node_id": "mail",
                "node_type": "email",
                "channel_config": {
                    "email": {"subject": "Hello", "body": "Dear {{ name }} {{ unsubscribe_url }}"}
                },
            },
            {
                "node_id": "wait",
                "node_type": "wait",
                "wait_config": {
                    "type": "until_event",
                    "event_type": waits_for,
                    "max_wait": {"value": 30, "unit": "days"},
                },
            },
            {"node_id": "end", "node_type": "exit"},
        ],
    }


def message_id(person: int) -> str:
    """The message of a person, numbered from 1."""
    return md5(f"message {person}".encode(), usedforsecurity=False).hexdigest()


def mailed_people(database: Database, people: int, *, waiting: int, waits_for: str) -> None:
    """So many people who got the mail at NOW, the first of whom wait; the others are through.
    Written as the engine would have left them.
    """
    report = publish(
        database,
        campaign(waits_for),
        PublishOptions(now=NOW, settings=Settings(), channels=frozenset({"email"})),
    )
    values = {
        "campaign": report.campaign_id, "people": people, "waiting": waiting, "now": NOW,
        "event": waits_for, "until": NOW + timedelta(days=30),
    }  # fmt: skip
    with database.transaction() as connection:
        connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
        for statement in _PEOPLE:
            connection.execute(statement, values)
    with database.autocommit() as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


_PEOPLE: Final = (
    """
    CREATE TEMPORARY TABLE made ON COMMIT DROP AS
    SELECT i, md5('contact ' || i)::uuid AS contact, md5('enrollment ' || i)::uuid AS enrollment,
           md5('message ' || i)::uuid AS message, i <= %(waiting)s AS waits
    FROM generate_series(1, %(people)s::integer) i
    """,
    """
    INSERT INTO contacts (id, workspace_id, name, email)
    SELECT m.contact, c.workspace_id, 'Person ' || m.i, 'p' || m.i || '@example.com'
    FROM made m JOIN drip_campaigns c ON c.id = %(campaign)s
    """,
    """
    INSERT INTO campaign_enrollments (id, campaign_id, contact_id, contact_email, started_at)
    SELECT m.enrollment, %(campaign)s, m.contact, 'p' || m.i || '@example.com', %(now)s FROM made m
    """,
    """
    UPDATE campaign_workflow_states s
    SET current_node_id = 'wait', node_entered_at = %(now)s, last_message_at = %(now)s,
        workflow_status = CASE WHEN m.waits THEN 'waiting' ELSE 'completed' END,
        wait_for_event = CASE WHEN m.waits THEN %(event)s END,
        wait_until = CASE WHEN m.waits THEN %(until)s::timestamptz END,
        next_execution_at = CASE WHEN m.waits THEN %(until)s::timestamptz END,
        resume_port = CASE WHEN m.waits THEN 'timeout' END,
        completed_at = CASE WHEN NOT m.waits THEN %(now)s::timestamptz END
    FROM made m WHERE s.id = m.enrollment
    """,
    """
    INSERT INTO campaign_deliveries (
        id, workspace_id, campaign_id, campaign_version, enrollment_id, contact_id, node_id,
        channel, status, attempts, created_at, settled_at
    )
    SELECT m.message, s.workspace_id, s.campaign_id, 1, s.id, s.contact_id, 'mail', 'email', 'sent',
           1, %(now)s, %(now)s
    FROM made m JOIN campaign_workflow_states s ON s.id = m.enrollment
    """,
    """
    INSERT INTO campaign_events (
        id, campaign_id, enrollment_id, contact_id, event_type, node_id, created_at, workspace_id,
        campaign_version, message_id
    )
    SELECT d.id, d.campaign_id, d.enrollment_id, d.contact_id, 'email_sent', 'mail', %(now)s,
           d.workspace_id, 1, d.id
    FROM campaign_deliveries d
    """,
    """
    INSERT INTO campaign_message_outcomes (
        message_id, workspace_id, campaign_id, campaign_version, enrollment_id, contact_id, node_id,
        channel, sent_at
    )
    SELECT d.id, d.workspace_id, d.campaign_id, 1, d.enrollment_id, d.contact_id, 'mail', 'email',
           %(now)s
    FROM campaign_deliveries d
    """,
)


@dataclass(frozen=True, slots=True)
class Reported:
    """A file of provider events, and what must come of it: events new, repeated and set aside by
    reason; of the messages how many delivered, and opens and clicks by people.
    """

    path: Path
    lines: int
    accepted: int
    duplicates: int
    rejected: dict[str, int]
    delivered: int
    opens: int
    clicks: int
    clicked_by: frozenset[int]
    """People with a click of their own, by number."""


def provider_events(path: Path, lines: int, people: int, *, seed: int = 7) -> Reported:
    """Write the file: 1 % malformed lines, 5 % repeated ones, 2 % of messages that nobody sent."""
    chance = random.Random(seed)
    malformed, repeated, foreign = lines // 100, lines // 20, lines // 50
    good = lines - malformed - repeated - foreign
    rows: list[dict[str, Any]] = []
    delivered = min(people, good)
    opens = clicks = 0
    clicked_by: set[int] = set()
    for number in range(good):
        person = number + 1 if number < delivered else chance.randint(1, people)
        kind = "email_delivered"
        if number >= delivered:
            kind = chance.choices(("email_opened", "email_clicked", "email_deferred"), (70, 25, 5))[
                0
            ]
        agent = AGENTS[chance.randrange(len(AGENTS))] if kind != "email_delivered" else None
        if kind == "email_opened":
            opens += agent != AGENTS[-1]
        elif kind == "email_clicked":
            clicks += 1
            clicked_by.add(person)
        rows.append(_row(chance, number, kind, message_id(person), agent))
    wrong = dict.fromkeys((reason for reason, _ in _SPOILT), 0)
    for number in range(malformed):
        reason, change = _SPOILT[number % len(_SPOILT)]
        wrong[reason] += 1
        rows.append(_row(chance, f"bad {number}", "email_opened", message_id(1), None) | change)
    for number in range(foreign):
        nobody = md5(f"nobody {number}".encode(), usedforsecurity=False).hexdigest()
        rows.append(_row(chance, f"foreign {number}", "email_opened", nobody, None))
    rows += [dict(rows[chance.randrange(good)]) for _ in range(repeated)]
    chance.shuffle(rows)
    _write(path, rows)
    return Reported(
        path=path,
        lines=lines,
        accepted=good,
        duplicates=repeated,
        rejected={reason: n for reason, n in wrong.items() if n} | {"no such message": foreign},
        delivered=delivered,
        opens=opens,
        clicks=clicks,
        clicked_by=frozenset(clicked_by),
    )


def _row(
    chance: random.Random, number: int | str, kind: str, message: str, agent: str | None
) -> dict[str, Any]:
    at = NOW + timedelta(seconds=chance.randrange(1, 170_000), milliseconds=chance.randrange(1_000))
    return {
        "event_id": f"evt-{number}",
        "event_type": kind,
        "occurred_at": at.isoformat(),
        "message_id": message,
        "user_agent": agent,
        "ip_address": f"203.0.113.{chance.randrange(256)}" if agent else None,
        "url": "https://www.example.com/offer" if kind == "email_clicked" else None,
        "data": None,
    }


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    pq.write_table(
        pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path
    )

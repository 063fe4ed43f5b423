"""Measure email to a local sink: rendering, MIME and SMTP by four workers, against a bare smtplib
loop that sends one prebuilt message; and the whole delivery including the outbox.
"""

from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Final
from uuid import uuid4

from psycopg.types.json import Jsonb

from benchmarks.report import Figure, figure, in_turn
from benchmarks.server import fresh_database
from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.email.prepare import prepare_email
from drip_pipeline.channels.email.smtp_channel import SmtpChannel
from drip_pipeline.channels.email.smtp_url import SmtpServer
from drip_pipeline.channels.protocol import Outcome
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery.deliveries import LeasedDelivery
from drip_pipeline.domain.graph.graph import CampaignGraph, Edge, GraphNode, NodeType
from drip_pipeline.domain.graph.nodes import EmailConfig, ExitConfig, TriggerConfig
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.delivery.render import MessageSettings, PreparedNode
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.runner.tick import Engine, deliver_channel
from drip_pipeline.settings import Secret

NOW: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORKERS: Final = 4
MESSAGES: Final = MessageSettings(
    "Acme <news@example.com>", "https://mail.example.com", Secret("a key for benchmarks")
)
MAIL: Final = prepare_email(
    EmailConfig(
        subject="{{ first_name | default: 'Hello' }}, your trial at {{ company }}",
        preheader="Three things to try first",
        body="Hi {{ first_name }},\n\n" + "A line of text about the product.\n" * 20,
        body_html="<html><head><style>p {color: #333}</style></head><body>"
        "<p>Hi {{ first_name }},</p>" + "<p>A line about the product.</p>" * 20 + "</body></html>",
    )
)


def figures(server_url: str, *, mails: int, repeats: int) -> list[Figure]:
    """Two ratios to the bare loop; `mails` are sent in each measurement."""
    with sink() as port:
        bare, path, whole = in_turn(
            repeats,
            lambda: _bare(port, mails),
            lambda: _path(port, mails),
            lambda: delivery_rate(server_url, port, mails),
        )
    note = f"{mails:,} mails, {WORKERS} workers; bare loop {max(bare):,.0f}/s"
    return [
        figure("email_path_vs_smtplib", path, bare, f"render, MIME, SMTP; {note}"),
        figure("email_delivery_vs_smtplib", whole, bare, f"with the outbox; {note}"),
    ]


def _bare(port: int, mails: int) -> float:
    writer = EmailWriter(MESSAGES.mail_from)
    content = writer.write(_NODE.message(_row(0), NOW)).content
    began = perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for _ in range(mails):
            smtp.sendmail("news@example.com", ["person@example.com"], content)
    return mails / (perf_counter() - began)


def _path(port: int, mails: int) -> float:
    rows = [_row(number) for number in range(mails)]
    channel = _channel(port)
    began = perf_counter()
    for start in range(0, mails, 1_000):
        group = [_NODE.message(row, NOW) for row in rows[start : start + 1_000]]
        results = channel.send(group)
        assert all(result.outcome is Outcome.ACCEPTED for result in results)
    seconds = perf_counter() - began
    channel.close()
    return mails / seconds


def delivery_rate(
    server_url: str,
    port: int,
    mails: int,
    *,
    graph: CampaignGraph | None = None,
    prepare: Callable[[Database], None] | None = None,
) -> float:
    """Return mails a second, with the outbox. `prepare` is called before they are queued."""
    with fresh_database(server_url) as database:
        _fill(database, mails, graph or mail_graph())
        if prepare is not None:
            prepare(database)
        while advance_batch(database, now=NOW, batch_size=10_000).claimed:
            pass
        with database.autocommit() as connection:
            connection.execute("VACUUM ANALYZE")
        channel = _channel(port)
        engine = Engine(database, {"email": channel}, MESSAGES)
        began = perf_counter()
        done = deliver_channel(engine, channel, now=NOW)
        seconds = perf_counter() - began
        channel.close()
    assert done.sent == mails
    return mails / seconds


def _channel(port: int) -> SmtpChannel:
    server = SmtpServer("127.0.0.1", port, is_local=True)
    return SmtpChannel(server, MESSAGES.mail_from, connections=WORKERS)


@contextmanager
def sink() -> Iterator[int]:
    """Start an SMTP server that accepts everything, and yield its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.smtp_sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate(timeout=10)


def _row(number: int) -> LeasedDelivery:
    return LeasedDelivery(
        id=uuid4(),
        workspace_id=_VERSION.workspace_id,
        campaign_id=_VERSION.campaign_id,
        campaign_version=_VERSION.version,
        enrollment_id=uuid4(),
        contact_id=uuid4(),
        node_id="mail",
        step_id=None,
        attempts=0,
        due_at=NOW,
        blocked_reason=None,
        caps=None,
        personalization_data=None,
        workflow_variables=None,
        name=f"Person {number}",
        email=f"person{number}@example.com",
        company=f"Company {number}",
        phone=None,
        job_title=None,
        ai_score=50,
        status="lead",
        tags=[],
        custom_fields={},
        last_interaction=None,
        created_at=NOW,
        updated_at=NOW,
    )


def mail_graph() -> CampaignGraph:
    """Return the graph of the campaign: one mail to each contact."""
    nodes = [
        GraphNode("start", NodeType.TRIGGER, "start", None, TriggerConfig(), _to("mail")),
        GraphNode("mail", NodeType.EMAIL, "mail", None, MAIL, _to("end")),
        GraphNode("end", NodeType.EXIT, "end", None, ExitConfig(), {}),
    ]
    return CampaignGraph("start", {node.node_id: node for node in nodes}, {})


def _to(target: str) -> dict[str, Edge]:
    return {"default": Edge(target)}


def _fill(database: Database, mails: int, graph: CampaignGraph) -> None:
    with database.transaction() as connection:
        workspace, campaign = uuid4(), uuid4()
        connection.execute("INSERT INTO workspaces (id, name) VALUES (%s, 'Bench')", [workspace])
        connection.execute(
            "INSERT INTO drip_campaigns (id, workspace_id, name, status, published_version, "
            "version) VALUES (%s, %s, 'Bench', 'active', 1, 1)",
            [campaign, workspace],
        )
        connection.execute(
            "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
            "steps_snapshot, compiled_graph, waits_for, change_type, created_at) "
            "VALUES (%s, %s, 1, '{}', '[]', %s, '{}', 'published', %s)",
            [campaign, workspace, Jsonb(graph.to_dict()), NOW],
        )
        connection.execute(
            "INSERT INTO contacts (workspace_id, email, name, company) "
            "SELECT %s, 'person' || n || '@example.com', 'Person ' || n, 'Company ' || n "
            "FROM generate_series(1, %s) AS n",
            [workspace, mails],
        )
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, "
            "workspace_id, started_at) SELECT %s, k.id, k.email, k.workspace_id, %s "
            "FROM contacts k",
            [campaign, NOW],
        )


_VERSION: Final = PublishedVersion(uuid4(), 1, "Bench", uuid4(), mail_graph())
_NODE: Final = PreparedNode(_VERSION, "mail", MESSAGES)

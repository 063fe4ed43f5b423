"""The `drip` command line. This module is the table of commands and nothing else.

A command's module is imported only when the command is called, so that `drip --help` is fast.
Shared code is in `framework/`.
"""

from __future__ import annotations

from drip_pipeline.cli.framework.lazy_group import LazyCommand, LazyGroup

COMMANDS: dict[str, LazyCommand] = {
    "ab": LazyCommand(
        "drip_pipeline.cli.ab:ab",
        "A/B tests: show results, evaluate, declare a winner, unblock.",
    ),
    "alerts": LazyCommand(
        "drip_pipeline.cli.alerts:alerts",
        "Incidents: list, check now, send a test notification.",
    ),
    "audit": LazyCommand(
        "drip_pipeline.cli.audit:audit", "Audit trail: who changed what, when and why."
    ),
    "campaign": LazyCommand(
        "drip_pipeline.cli.campaign.commands:campaign",
        "Campaigns: publish, show, pause, archive, compare versions, export.",
    ),
    "channels": LazyCommand(
        "drip_pipeline.cli.channels:channels",
        "Channels: configure, show status, re-enable.",
    ),
    "contacts": LazyCommand(
        "drip_pipeline.cli.contacts:contacts",
        "Contacts: import from files; explain, change, suppress one.",
    ),
    "db": LazyCommand(
        "drip_pipeline.cli.db:db", "Database: migrate, show status and URL, start, stop."
    ),
    "demo": LazyCommand(
        "drip_pipeline.cli.local.demo:demo", "Run sample campaigns with generated contacts."
    ),
    "deliveries": LazyCommand(
        "drip_pipeline.cli.deliveries:deliveries",
        "Deliveries: list, resolve those with an unknown outcome.",
    ),
    "doctor": LazyCommand(
        "drip_pipeline.cli.doctor.commands:doctor",
        "Check settings, database and channels, and suggest fixes.",
    ),
    "enroll": LazyCommand("drip_pipeline.cli.enroll:enroll", "Enroll contacts in a campaign."),
    "report": LazyCommand(
        "drip_pipeline.cli.report:report", "Write an HTML report of a campaign's A/B tests."
    ),
    "events": LazyCommand(
        "drip_pipeline.cli.events:events", "Events: import from files, list files and rejections."
    ),
    "inbox": LazyCommand(
        "drip_pipeline.cli.inbox:inbox",
        "Payloads received over HTTP: drain, show status, retry, prune.",
    ),
    "metrics": LazyCommand(
        "drip_pipeline.cli.metrics:metrics",
        "Metrics: show, refresh, rebuild, export; check invariants.",
    ),
    "receive": LazyCommand(
        "drip_pipeline.cli.receive:receive",
        "Run the HTTP receiver for events, links and webhooks.",
    ),
    "requeue": LazyCommand(
        "drip_pipeline.cli.requeue:requeue", "Retry failed enrollments and deliveries."
    ),
    "retention": LazyCommand(
        "drip_pipeline.cli.retention:retention", "Archive and delete old data."
    ),
    "run": LazyCommand(
        "drip_pipeline.cli.run:run", "Advance and deliver due work without Dagster."
    ),
    "suppressions": LazyCommand(
        "drip_pipeline.cli.suppressions:suppressions",
        "Addresses excluded from sending: import a list.",
    ),
    "topics": LazyCommand(
        "drip_pipeline.cli.topics:topics", "Topics that people can leave: list, add, archive."
    ),
    "workspace": LazyCommand(
        "drip_pipeline.cli.workspace:workspace", "Workspaces: list, set the time zone."
    ),
    "up": LazyCommand(
        "drip_pipeline.cli.local.up:up", "Run the Dagster UI and all services on this machine."
    ),
}

main = LazyGroup(
    "drip",
    commands=COMMANDS,
    help="Run drip campaigns on PostgreSQL.\n\n"
    "Every command accepts --json for machine-readable output on stdout. Exit codes: 0 success,"
    " 1 failure with an explanation, 2 wrong usage.",
)

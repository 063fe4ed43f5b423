"""`drip …`: the engine's verbs for people and scripts. This module is the table of commands and
nothing else; a command's module is imported when it is called, so that `drip --help` stays quick.
What all commands share is in `command.py`.
"""

from __future__ import annotations

from drip_pipeline.cli.framework.lazy_group import LazyCommand, LazyGroup

COMMANDS: dict[str, LazyCommand] = {
    "ab": LazyCommand(
        "drip_pipeline.cli.ab:ab",
        "A/B tests: results, judge, declare, clear, and evaluate (a calculator).",
    ),
    "alerts": LazyCommand(
        "drip_pipeline.cli.alerts:alerts",
        "Incidents: what is open, a look now, a trial of the ways of telling.",
    ),
    "campaign": LazyCommand(
        "drip_pipeline.cli.campaign.commands:campaign",
        "Campaigns: publish, show, pause, archive; compare, go back; files; the funnel.",
    ),
    "channels": LazyCommand(
        "drip_pipeline.cli.channels:channels",
        "Ways out: set them up, see their state, bring them back.",
    ),
    "contacts": LazyCommand(
        "drip_pipeline.cli.contacts:contacts", "People: import them from a file."
    ),
    "db": LazyCommand(
        "drip_pipeline.cli.db:db", "The database: migrate, status, url, start, stop."
    ),
    "demo": LazyCommand(
        "drip_pipeline.cli.local.demo:demo", "See the engine at work on made-up people."
    ),
    "deliveries": LazyCommand(
        "drip_pipeline.cli.deliveries:deliveries",
        "Messages: list them, settle those in doubt.",
    ),
    "doctor": LazyCommand(
        "drip_pipeline.cli.doctor.commands:doctor",
        "Check settings, database and channels; say what to do.",
    ),
    "enroll": LazyCommand("drip_pipeline.cli.enroll:enroll", "Let people into a campaign."),
    "report": LazyCommand(
        "drip_pipeline.cli.report:report", "The report of a campaign's A/B tests as an HTML file."
    ),
    "events": LazyCommand(
        "drip_pipeline.cli.events:events", "Events: take in what providers report."
    ),
    "inbox": LazyCommand(
        "drip_pipeline.cli.inbox:inbox",
        "What came in over HTTP: drain, status, retry, prune.",
    ),
    "metrics": LazyCommand(
        "drip_pipeline.cli.metrics:metrics",
        "Figures by day: show, refresh, rebuild, export; check the laws.",
    ),
    "receive": LazyCommand(
        "drip_pipeline.cli.receive:receive",
        "Take events, followed links, unsubscribes and triggers over HTTP.",
    ),
    "requeue": LazyCommand(
        "drip_pipeline.cli.requeue:requeue", "Put what failed for good back to due."
    ),
    "retention": LazyCommand(
        "drip_pipeline.cli.retention:retention", "Data by age: archive events, delete what is old."
    ),
    "run": LazyCommand(
        "drip_pipeline.cli.run:run", "Advance and deliver what is due, without Dagster."
    ),
    "suppressions": LazyCommand(
        "drip_pipeline.cli.suppressions:suppressions",
        "Who must not be written to: import a list.",
    ),
    "workspace": LazyCommand(
        "drip_pipeline.cli.workspace:workspace", "Workspaces: list them, set their time zone."
    ),
    "up": LazyCommand(
        "drip_pipeline.cli.local.up:up", "The Dagster UI and everything behind it, on this machine."
    ),
}

main = LazyGroup(
    "drip",
    commands=COMMANDS,
    help="Drip campaigns on PostgreSQL. Every command takes --json for machine-readable output.",
)
